SELECT l.contract FROM recommendation_legs l
WHERE l.recommendation_date BETWEEN %(first)s AND %(last)s
  AND NOT EXISTS (
    SELECT 1 FROM options_chains c
    WHERE c.symbol = l.symbol AND c.time = session_time(l.recommendation_date) AND c.contract = l.contract
      AND c.expiration = l.expiration AND c.strike = l.strike AND c.option_type = l.option_type)
