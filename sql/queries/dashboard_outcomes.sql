SELECT horizon, evaluation_date, entry_price_actual, exit_price_actual, exit_reason, direction_correct,
       predicted_confidence, directional_brier, underlying_return, option_pnl, option_price_source, mfe, mae,
       success_score_v1, outcome_status, missing_data
FROM recommendation_outcomes
WHERE recommendation_id = %(id)s AND (%(until)s::date IS NULL OR evaluation_date <= %(until)s)
ORDER BY CASE horizon WHEN 'exit' THEN 1000 ELSE horizon::integer END
