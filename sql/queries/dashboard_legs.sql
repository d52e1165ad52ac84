-- Legs with the quote stored for the advice's session, as long as retention keeps that chain.
SELECT l.recommendation_id, l.leg, l.symbol, l.contract, l.expiration, l.strike, l.option_type, l.side, l.quantity,
       l.price, l.price_source, l.price_session, l.recommendation_date, c.bid, c.ask, c.delta, c.implied_volatility,
       c.open_interest, c.volume, c.shares_per_contract
FROM recommendation_legs l
LEFT JOIN options_chains c ON c.symbol = l.symbol AND c.time = session_time(l.recommendation_date) AND c.contract = l.contract
WHERE l.recommendation_id = ANY (%(ids)s)
ORDER BY l.recommendation_id, l.leg
