-- The newest snapshot of one symbol at or before the session, with every column.
SELECT session_of(d.time) AS session, d.*
FROM daily_snapshots d
WHERE d.symbol = %(symbol)s AND d.time <= session_time(%(session)s)
ORDER BY d.time DESC LIMIT 1
