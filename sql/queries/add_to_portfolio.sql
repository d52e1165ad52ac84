INSERT INTO portfolio_tickers (portfolio_id, ticker_id, priority)
SELECT %(portfolio)s, id, %(priority)s FROM tickers WHERE symbol = %(symbol)s
ON CONFLICT (portfolio_id, ticker_id) DO UPDATE SET priority = excluded.priority
