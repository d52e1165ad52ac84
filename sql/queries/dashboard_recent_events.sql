-- Wyckoff events of the watchlist detected in the last `days` days up to the session, newest first.
SELECT v.symbol, e ->> 'type' AS event, e ->> 'event_date' AS event_date, e ->> 'detected_at' AS detected_at,
       e -> 'confidence' AS confidence, e -> 'price_level' AS price_level, e -> 'volume_ratio' AS volume_ratio,
       e ->> 'status' AS status, e ->> 'description' AS description
FROM fn_latest_snapshots(%(session)s) v
JOIN v_watchlist_tickers w ON w.symbol = v.symbol
CROSS JOIN LATERAL jsonb_path_query(v.events_json, '$.events[*]') AS e
WHERE e ->> 'detected_at' > (%(session)s::date - %(days)s::integer)::text
ORDER BY e ->> 'detected_at' DESC, v.symbol, e ->> 'type'
LIMIT %(limit)s
