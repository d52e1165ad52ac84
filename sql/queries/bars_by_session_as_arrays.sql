-- Bars of whole sessions as one row each. The aggregates of a row see its bars in one order: a place means one symbol.
SELECT session_of(time), string_agg(symbol, ','), array_agg(high), array_agg(low), array_agg(close), array_agg(volume)
FROM ohlcv_daily
WHERE time BETWEEN session_time(%(first)s) AND session_time(%(last)s)
GROUP BY time
