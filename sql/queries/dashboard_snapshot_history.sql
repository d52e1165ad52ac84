SELECT session_of(d.time) AS session, d.symbol, d.wyckoff_phase, d.phase_confidence, d.events_detected, d.primary_event,
       d.primary_event_confidence, d.bc_score, d.events_json -> 'bc_available_max' AS bc_available_max, d.spring_score,
       d.events_json ->> 'signal_type' AS signal_type, d.events_json ->> 'alert_priority' AS alert_priority,
       d.events_json ->> 'signal_message' AS signal_message, d.rsi_14, d.rvol, d.vsi, d.hv_20, d.average_iv, d.iv_rank,
       d.gex_net, d.dgpi, d.gamma_flip_level, d.call_wall_primary, d.put_wall_primary, d.data_quality, d.model_version
FROM daily_snapshots d
WHERE d.symbol = %(symbol)s AND d.time <= session_time(%(session)s)
ORDER BY d.time DESC LIMIT %(limit)s
