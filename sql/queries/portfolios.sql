SELECT p.name, count(t.id) AS symbol_count,
       string_agg(t.symbol, ' ' ORDER BY t.symbol) FILTER (WHERE pt.priority = 'P1') AS p1,
       string_agg(t.symbol, ' ' ORDER BY t.symbol) FILTER (WHERE pt.priority = 'P2') AS p2
FROM portfolios p
LEFT JOIN portfolio_tickers pt ON pt.portfolio_id = p.id
LEFT JOIN tickers t ON t.id = pt.ticker_id
GROUP BY p.id ORDER BY p.name
