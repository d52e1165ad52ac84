INSERT INTO recommendation_legs (recommendation_id, leg, symbol, recommendation_date, contract, expiration, strike,
    option_type, side, quantity, price, price_source, price_session)
VALUES (%(id)s, %(leg)s, %(symbol)s, %(session)s, %(contract)s, %(expiration)s, %(strike)s, %(option_type)s, %(side)s,
    %(quantity)s, %(price)s, %(price_source)s, %(price_session)s)
