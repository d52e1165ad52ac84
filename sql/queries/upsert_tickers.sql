INSERT INTO tickers (symbol, name, ticker_type, primary_exchange, is_active, delisted_date)
SELECT symbol, name, ticker_type, primary_exchange, is_active, delisted_date FROM listed_tickers
ON CONFLICT (symbol) DO UPDATE SET
    name = coalesce(excluded.name, tickers.name), ticker_type = coalesce(excluded.ticker_type, tickers.ticker_type),
    primary_exchange = coalesce(excluded.primary_exchange, tickers.primary_exchange),
    is_active = excluded.is_active, delisted_date = excluded.delisted_date
WHERE (tickers.name, tickers.ticker_type, tickers.primary_exchange, tickers.is_active, tickers.delisted_date)
      IS DISTINCT FROM (coalesce(excluded.name, tickers.name), coalesce(excluded.ticker_type, tickers.ticker_type),
                        coalesce(excluded.primary_exchange, tickers.primary_exchange), excluded.is_active,
                        excluded.delisted_date)
