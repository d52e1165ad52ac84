-- The stored session at or before the one asked for (NULL: the newest), its neighbours, and the ends of what is stored.
-- One index probe per analysed symbol, so the cost does not grow with the history.
WITH analysed AS (
    SELECT symbol FROM tickers WHERE last_analysis_date IS NOT NULL
), shown AS (
    SELECT max(s.time) AS at FROM analysed a CROSS JOIN LATERAL (
        SELECT d.time FROM daily_snapshots d
        WHERE d.symbol = a.symbol AND d.time <= session_time(coalesce(%(asked)s::date, '9999-12-31'))
        ORDER BY d.time DESC LIMIT 1) s
), earlier AS (
    SELECT max(s.time) AS at FROM shown, analysed a CROSS JOIN LATERAL (
        SELECT d.time FROM daily_snapshots d WHERE d.symbol = a.symbol AND d.time < shown.at
        ORDER BY d.time DESC LIMIT 1) s
), later AS (
    SELECT min(s.time) AS at FROM shown, analysed a CROSS JOIN LATERAL (
        SELECT d.time FROM daily_snapshots d WHERE d.symbol = a.symbol AND d.time > shown.at
        ORDER BY d.time LIMIT 1) s
), newest AS (
    SELECT max(s.time) AS at FROM analysed a CROSS JOIN LATERAL (
        SELECT d.time FROM daily_snapshots d WHERE d.symbol = a.symbol ORDER BY d.time DESC LIMIT 1) s
), oldest AS (
    SELECT min(s.time) AS at FROM analysed a CROSS JOIN LATERAL (
        SELECT d.time FROM daily_snapshots d WHERE d.symbol = a.symbol ORDER BY d.time LIMIT 1) s
)
SELECT session_of(shown.at) AS shown, session_of(earlier.at) AS earlier, session_of(later.at) AS later,
       session_of(newest.at) AS newest, session_of(oldest.at) AS oldest
FROM shown, earlier, later, newest, oldest
