INSERT INTO tickers (symbol, first_ohlcv_date, last_ohlcv_date)
SELECT symbol, min(session_of(time)), max(session_of(time)) FROM ohlcv_daily
WHERE time BETWEEN session_time(%(first)s) AND session_time(%(last)s)
GROUP BY symbol
ON CONFLICT (symbol) DO UPDATE SET
    first_ohlcv_date = least(tickers.first_ohlcv_date, excluded.first_ohlcv_date),
    last_ohlcv_date = greatest(tickers.last_ohlcv_date, excluded.last_ohlcv_date)
WHERE tickers.first_ohlcv_date IS NULL OR excluded.first_ohlcv_date < tickers.first_ohlcv_date
   OR excluded.last_ohlcv_date > tickers.last_ohlcv_date
