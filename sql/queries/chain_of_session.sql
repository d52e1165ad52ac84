SELECT symbol, contract, expiration, strike, option_type, bid, ask, last, close, volume, open_interest,
       implied_volatility, delta, gamma, theta, vega, shares_per_contract, last_session, is_standard, is_live,
       greeks_source
FROM options_chains
WHERE time = session_time(%(session)s) AND (%(symbols)s::text[] IS NULL OR symbol = ANY (%(symbols)s::text[]))
