UPDATE ohlcv_daily b SET vwap = g.vwap
FROM unnest(%(symbols)s::text[], %(vwap)s::float8[]) AS g (symbol, vwap)
WHERE b.symbol = g.symbol AND b.time = session_time(%(session)s) AND b.vwap IS NULL
