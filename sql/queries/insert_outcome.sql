INSERT INTO recommendation_outcomes (id, recommendation_id, horizon, evaluation_date, entry_price_actual,
    exit_price_actual, exit_reason, direction_correct, predicted_confidence, directional_brier, underlying_return,
    option_pnl, option_price_source, mfe, mae, success_score_v1, outcome_status, missing_data)
VALUES (%(id)s, %(recommendation_id)s, %(horizon)s, %(evaluation_date)s, %(entry_price_actual)s,
    %(exit_price_actual)s, %(exit_reason)s, %(direction_correct)s, %(p_direction)s, %(directional_brier)s,
    %(underlying_return)s, %(option_pnl)s, %(option_price_source)s, %(max_favorable)s, %(max_adverse)s,
    %(success_score_v1)s, %(outcome_status)s, %(missing)s)
