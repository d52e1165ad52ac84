SELECT contract, expiration, strike, option_type, bid, ask, last, close, volume, open_interest, implied_volatility,
       delta, gamma, theta, vega, shares_per_contract, last_session, is_standard, is_live, greeks_source
FROM options_chains
WHERE symbol = %(symbol)s AND time = session_time(%(session)s)
  AND (%(expiration)s::date IS NULL OR expiration = %(expiration)s)
ORDER BY expiration, strike, option_type, contract
LIMIT %(limit)s OFFSET %(offset)s
