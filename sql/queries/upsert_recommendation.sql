INSERT INTO recommendations (id, snapshot_time, snapshot_symbol, symbol, recommendation_date, direction, action,
    confidence, p_direction, justification, entry_price_target, stop_loss, profit_target, option_strike,
    option_expiration, option_type, option_strategy, candidate_id, breakeven, max_loss, max_gain, provider,
    model_version, rule_trace, alternatives, missing_data, what_would_change, evidence)
VALUES (%(id)s, session_time(%(session)s), %(symbol)s, %(symbol)s, %(session)s, %(direction)s, %(action)s,
    %(confidence)s, %(p_direction)s, %(justification)s, %(entry_price_target)s, %(stop_loss)s, %(profit_target)s,
    %(strike)s, %(expiration)s, %(option_type)s, %(strategy)s, %(candidate_id)s, %(breakeven)s, %(max_loss)s,
    %(max_gain)s, %(provider)s, %(model_version)s, %(rule_trace)s, %(alternatives)s, %(missing_data)s,
    %(what_would_change)s, %(evidence)s)
ON CONFLICT (id) DO UPDATE SET
    direction = excluded.direction, action = excluded.action, confidence = excluded.confidence,
    p_direction = excluded.p_direction, justification = excluded.justification,
    entry_price_target = excluded.entry_price_target, stop_loss = excluded.stop_loss,
    profit_target = excluded.profit_target, option_strike = excluded.option_strike,
    option_expiration = excluded.option_expiration, option_type = excluded.option_type,
    option_strategy = excluded.option_strategy, candidate_id = excluded.candidate_id, breakeven = excluded.breakeven,
    max_loss = excluded.max_loss, max_gain = excluded.max_gain, provider = excluded.provider,
    model_version = excluded.model_version, rule_trace = excluded.rule_trace, alternatives = excluded.alternatives,
    missing_data = excluded.missing_data, what_would_change = excluded.what_would_change, evidence = excluded.evidence
