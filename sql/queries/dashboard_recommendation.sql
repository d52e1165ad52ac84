SELECT r.id, r.symbol, t.name, r.recommendation_date, r.action, r.direction, r.option_strategy, r.candidate_id,
       r.confidence, r.p_direction, r.evidence ->> 'p_direction_basis' AS p_direction_basis, r.justification,
       r.what_would_change, r.entry_price_target, r.stop_loss, r.profit_target, r.breakeven, r.max_loss, r.max_gain,
       r.status, r.provider, r.model_version, r.rule_trace, r.alternatives, r.missing_data, r.evidence
FROM recommendations r
LEFT JOIN tickers t ON t.symbol = r.symbol
WHERE r.id = %(id)s
