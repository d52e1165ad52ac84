INSERT INTO option_contracts AS known (contract, symbol, expiration, strike, option_type, shares_per_contract,
                                       is_standard, first_session)
SELECT contract, symbol, expiration, strike, option_type, shares_per_contract, is_standard, session_of(time)
FROM options_chains
WHERE time = session_time(%(session)s) AND symbol = ANY (%(symbols)s)
ON CONFLICT (contract) DO UPDATE SET first_session = excluded.first_session
WHERE excluded.first_session < known.first_session
