SELECT id, symbol, recommendation_date, direction, p_direction, confidence, stop_loss, profit_target, max_loss, evidence
FROM recommendations r
WHERE recommendation_date >= %(first)s AND recommendation_date < %(session)s AND direction <> 'NEUTRAL'
ORDER BY recommendation_date, symbol
