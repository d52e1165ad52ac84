SELECT s.*, o.close AS spot
FROM daily_snapshots s
LEFT JOIN ohlcv_daily o ON o.symbol = s.symbol AND o.time = s.time
WHERE s.time = session_time(%(session)s) AND s.symbol = ANY (%(symbols)s)
ORDER BY s.symbol
