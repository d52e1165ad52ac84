WITH newest (stage, newest) AS (
    SELECT 'ohlcv_daily', session_of(max(time)) FROM ohlcv_daily
    UNION ALL SELECT 'options_chains', session_of(max(time)) FROM options_chains
    UNION ALL SELECT 'options_daily_summary', session_of(max(time)) FROM options_daily_summary
    UNION ALL SELECT 'daily_snapshots', session_of(max(time)) FROM daily_snapshots
    UNION ALL SELECT 'recommendations', max(recommendation_date) FROM recommendations
    UNION ALL SELECT 'outcomes', max(evaluation_date) FROM recommendation_outcomes
    UNION ALL SELECT 'universe_indicators', session_of(max(time)) FROM universe_indicators
)
SELECT t.stage, n.newest, r.started_at, r.state, extract(epoch FROM r.finished_at - r.started_at) AS seconds
FROM unnest(%(tables)s::text[]) WITH ORDINALITY AS t (stage, place)
JOIN newest n USING (stage)
LEFT JOIN LATERAL (SELECT * FROM job_runs j WHERE j.stage = t.stage ORDER BY started_at DESC LIMIT 1) r ON true
ORDER BY t.place
