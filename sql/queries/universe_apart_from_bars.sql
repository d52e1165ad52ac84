SELECT coalesce(b.symbol, u.symbol) AS symbol
FROM (SELECT symbol FROM ohlcv_daily WHERE time = session_time(%(session)s)) b
FULL JOIN (SELECT symbol FROM universe_indicators WHERE time = session_time(%(session)s)) u ON u.symbol = b.symbol
WHERE b.symbol IS NULL OR u.symbol IS NULL
ORDER BY 1
