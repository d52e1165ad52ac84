UPDATE tickers t SET
    first_ohlcv_date = least(t.first_ohlcv_date, s.first_session),
    last_ohlcv_date = greatest(t.last_ohlcv_date, s.last_session)
FROM seen_symbols s
WHERE t.symbol = s.symbol
  AND (t.first_ohlcv_date IS NULL OR s.first_session < t.first_ohlcv_date OR s.last_session > t.last_ohlcv_date)
