SELECT contract, session_of(time), (bid + ask) / 2, 'mid' FROM options_chains
WHERE symbol = %(symbol)s AND contract = ANY (%(contracts)s) AND time <= session_time(%(session)s)
  AND bid > 0 AND ask >= bid
UNION ALL
SELECT contract, session_of(time), close, 'day_close' FROM options_chains
WHERE symbol = %(symbol)s AND contract = ANY (%(contracts)s) AND time <= session_time(%(session)s)
  AND close > 0 AND last_session = session_of(time)
