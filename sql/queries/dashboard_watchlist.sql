-- One row per watchlist symbol with its newest snapshot as of the session; without one the right side is NULL.
SELECT w.symbol, w.name, w.priority AS watch_priority, w.portfolio_names, session_of(s.time) AS session,
       s.wyckoff_phase, s.phase_confidence, s.phase_sub_stage, s.primary_event, s.primary_event_confidence,
       (SELECT max(e ->> 'detected_at') FROM jsonb_path_query(s.events_json, '$.events[*]') AS e
        WHERE e ->> 'type' = s.primary_event) AS primary_event_detected_at,
       s.bc_score, s.events_json -> 'bc_available_max' AS bc_available_max, s.spring_score,
       s.events_json ->> 'signal_type' AS signal_type, s.events_json ->> 'alert_priority' AS alert_priority,
       s.events_json ->> 'signal_message' AS signal_message, s.events_json -> 'signal_rule' AS signal_rule,
       s.data_quality, s.events_json -> 'missing_inputs' AS missing_inputs
FROM v_watchlist_tickers w
LEFT JOIN fn_latest_snapshots(%(session)s) s ON s.symbol = w.symbol
WHERE %(portfolio)s::text IS NULL OR %(portfolio)s = ANY (w.portfolio_names)
ORDER BY w.symbol
