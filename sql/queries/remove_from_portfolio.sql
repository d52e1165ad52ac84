DELETE FROM portfolio_tickers USING tickers t
WHERE portfolio_id = %(portfolio)s AND ticker_id = t.id AND t.symbol = %(symbol)s
