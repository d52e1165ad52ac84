SELECT symbol, row_count FROM load_manifest WHERE dataset = 'options_chains' AND session_date = %(session)s
