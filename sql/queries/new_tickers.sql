INSERT INTO tickers (symbol, first_ohlcv_date, last_ohlcv_date)
SELECT s.symbol, s.first_session, s.last_session FROM seen_symbols s
WHERE NOT EXISTS (SELECT 1 FROM tickers t WHERE t.symbol = s.symbol)
ORDER BY s.symbol
ON CONFLICT (symbol) DO NOTHING
