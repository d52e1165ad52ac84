SELECT count(DISTINCT session_date) FROM load_manifest
WHERE dataset = 'ohlcv_daily' AND session_date BETWEEN %(first)s AND %(last)s
