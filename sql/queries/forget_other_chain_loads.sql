DELETE FROM load_manifest
WHERE dataset = 'options_chains' AND session_date = %(session)s AND symbol = ANY (%(symbols)s) AND source <> %(source)s
