SELECT symbol FROM v_watchlist_tickers WHERE %(priority)s::text IS NULL OR priority = %(priority)s
UNION
SELECT symbol FROM load_manifest
WHERE dataset = 'options_chains' AND session_date = %(session)s AND %(priority)s::text IS NULL
UNION
SELECT symbol FROM daily_snapshots WHERE time = session_time(%(session)s) AND %(priority)s::text IS NULL
UNION
SELECT symbol FROM recommendations WHERE recommendation_date = %(session)s
ORDER BY 1
