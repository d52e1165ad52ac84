SELECT symbol, session_of(time), open, high, low, close, volume, vwap FROM ohlcv_daily
WHERE time BETWEEN session_time(%(first)s) AND session_time(%(last)s)
