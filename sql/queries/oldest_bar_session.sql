SELECT min(session_date) FROM load_manifest WHERE dataset = 'ohlcv_daily'
