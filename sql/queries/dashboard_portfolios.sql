SELECT p.id, p.name, p.description,
       coalesce(jsonb_agg(jsonb_build_object('symbol', t.symbol, 'priority', pt.priority) ORDER BY pt.priority, t.symbol)
           FILTER (WHERE t.id IS NOT NULL), '[]') AS tickers
FROM portfolios p
LEFT JOIN portfolio_tickers pt ON pt.portfolio_id = p.id
LEFT JOIN tickers t ON t.id = pt.ticker_id
GROUP BY p.id
ORDER BY p.name
