CREATE TEMPORARY TABLE listed_tickers (
    symbol text, name text, ticker_type text, primary_exchange text, is_active boolean, delisted_date date,
    composite_figi text
) ON COMMIT DROP
