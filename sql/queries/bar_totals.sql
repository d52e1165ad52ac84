SELECT count(*) AS row_count, count(DISTINCT symbol) AS symbol_count FROM ohlcv_daily
WHERE time BETWEEN session_time(%(first)s) AND session_time(%(last)s)
