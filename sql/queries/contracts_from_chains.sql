INSERT INTO option_contracts (contract, symbol, expiration, strike, option_type, shares_per_contract, is_standard,
                              first_session)
SELECT contract, symbol, expiration, strike, option_type, shares_per_contract, is_standard, session_of(time)
FROM options_chains
WHERE time = session_time(%(session)s) AND symbol = ANY (%(symbols)s)
ON CONFLICT DO NOTHING
