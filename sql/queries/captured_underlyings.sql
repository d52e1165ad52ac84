SELECT session_date, symbol, source, row_count, etag, checksum, oi_session FROM load_manifest
WHERE dataset = 'options_chains' AND session_date BETWEEN %(first)s AND %(last)s
