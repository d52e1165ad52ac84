-- Tracked symbols: those of any portfolio, or the whole universe by name of tier.
SELECT t.symbol, t.name, t.sector, t.universe_tier, t.is_active, t.options_enabled, t.first_ohlcv_date, t.last_ohlcv_date,
       t.last_analysis_date, w.priority AS watch_priority, coalesce(w.portfolio_names, '{}') AS portfolio_names
FROM tickers t
LEFT JOIN v_watchlist_tickers w ON w.symbol = t.symbol
WHERE (%(symbol)s::text IS NULL OR t.symbol = %(symbol)s)
  AND (NOT %(watched)s OR w.symbol IS NOT NULL)
ORDER BY t.symbol
LIMIT %(limit)s OFFSET %(offset)s
