SELECT symbol, session_of(time), average_iv, hv_20 FROM daily_snapshots
WHERE symbol = ANY (%(symbols)s) AND time >= session_time(%(first)s) AND time < session_time(%(session)s)
