-- Returns added, changed. A row that would not change is not touched, not even locked.
-- Exchange-traded products become tier etf while nobody gave them another tier than polygon_full, and return to it
-- when the ticker passes to something else. A symbol in neither list is active as long as its bars go on: its newest
-- bar is within 90 days of the market's and later than any delisting.
WITH listed AS (
    SELECT *, coalesce(ticker_type IN ('ETF', 'ETN', 'ETV', 'ETS'), false) AS is_traded_product FROM listed_tickers
),
wanted AS (
    SELECT t.id, coalesce(l.name, t.name) AS name, coalesce(l.ticker_type, t.ticker_type) AS ticker_type,
           coalesce(l.primary_exchange, t.primary_exchange) AS primary_exchange,
           coalesce(l.composite_figi, t.composite_figi) AS composite_figi, l.is_active,
           CASE WHEN NOT l.is_active THEN coalesce(l.delisted_date, t.delisted_date) END AS delisted_date,
           CASE WHEN t.universe_tier = 'polygon_full' AND l.is_traded_product THEN 'etf'
                WHEN t.universe_tier = 'etf' AND t.ticker_type IN ('ETF', 'ETN', 'ETV', 'ETS')
                     AND l.ticker_type IS NOT NULL AND NOT l.is_traded_product THEN 'polygon_full'
                ELSE t.universe_tier END AS universe_tier
    FROM tickers t JOIN listed l ON l.symbol = t.symbol
    UNION ALL
    SELECT t.id, t.name, t.ticker_type, t.primary_exchange, t.composite_figi,
           t.last_ohlcv_date >= (SELECT max(last_ohlcv_date) FROM tickers) - 90
               AND t.last_ohlcv_date > coalesce(t.delisted_date, '-infinity'),
           t.delisted_date, t.universe_tier
    FROM tickers t
    WHERE t.last_ohlcv_date IS NOT NULL AND NOT EXISTS (SELECT FROM listed l WHERE l.symbol = t.symbol)
),
changed AS (
    UPDATE tickers t SET
        name = w.name, ticker_type = w.ticker_type, primary_exchange = w.primary_exchange,
        composite_figi = w.composite_figi, is_active = w.is_active, delisted_date = w.delisted_date,
        universe_tier = w.universe_tier
    FROM wanted w
    WHERE t.id = w.id
      AND (t.name, t.ticker_type, t.primary_exchange, t.composite_figi, t.is_active, t.delisted_date, t.universe_tier)
          IS DISTINCT FROM (w.name, w.ticker_type, w.primary_exchange, w.composite_figi, w.is_active, w.delisted_date,
                            w.universe_tier)
    RETURNING 1
),
added AS (
    INSERT INTO tickers (symbol, name, ticker_type, primary_exchange, composite_figi, is_active, delisted_date,
                         universe_tier)
    SELECT l.symbol, l.name, l.ticker_type, l.primary_exchange, l.composite_figi, l.is_active,
           CASE WHEN NOT l.is_active THEN l.delisted_date END,
           CASE WHEN l.is_traded_product THEN 'etf' ELSE 'polygon_full' END
    FROM listed l
    WHERE NOT EXISTS (SELECT FROM tickers t WHERE t.symbol = l.symbol)
    ON CONFLICT (symbol) DO NOTHING
    RETURNING 1
)
SELECT (SELECT count(*) FROM added) AS added, (SELECT count(*) FROM changed) AS changed
