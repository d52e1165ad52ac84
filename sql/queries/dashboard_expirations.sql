-- Expirations in the newest chain of one symbol at or before the session.
WITH newest AS (
    SELECT time FROM options_chains WHERE symbol = %(symbol)s AND time <= session_time(%(session)s)
    ORDER BY time DESC LIMIT 1
)
SELECT session_of(c.time) AS session, c.expiration, c.expiration - session_of(c.time) AS days, count(*) AS contracts
FROM options_chains c JOIN newest USING (time)
WHERE c.symbol = %(symbol)s
GROUP BY c.time, c.expiration
ORDER BY c.expiration
