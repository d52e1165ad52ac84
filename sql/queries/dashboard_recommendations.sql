-- Advice of one session, or of all up to it when only `symbol` is named; newest first, then by rank.
SELECT r.id, r.symbol, r.recommendation_date, r.action, r.direction, r.option_strategy, r.candidate_id, r.confidence,
       r.p_direction, r.evidence ->> 'p_direction_basis' AS p_direction_basis, r.justification, r.what_would_change,
       r.entry_price_target, r.stop_loss, r.profit_target, r.breakeven, r.max_loss, r.max_gain, r.status, r.provider,
       r.model_version, s.events_json ->> 'signal_type' AS signal_type
FROM recommendations r
LEFT JOIN daily_snapshots s ON s.symbol = r.symbol AND s.time = r.snapshot_time
WHERE (%(session)s::date IS NULL OR r.recommendation_date = %(session)s)
  AND (%(symbol)s::text IS NULL OR r.symbol = %(symbol)s)
  AND (%(until)s::date IS NULL OR r.recommendation_date <= %(until)s)
  AND (%(direction)s::text IS NULL OR r.direction = %(direction)s)
  AND (%(strategy)s::text IS NULL OR r.option_strategy = %(strategy)s)
  AND (%(signal)s::text IS NULL OR s.events_json ->> 'signal_type' = %(signal)s)
  AND (%(portfolio)s::text IS NULL OR EXISTS (
        SELECT 1 FROM tickers t JOIN portfolio_tickers pt ON pt.ticker_id = t.id JOIN portfolios p ON p.id = pt.portfolio_id
        WHERE t.symbol = r.symbol AND p.name = %(portfolio)s))
ORDER BY r.recommendation_date DESC, r.confidence DESC, r.symbol
LIMIT %(limit)s
