SELECT r.symbol, r.action, r.direction, r.confidence, r.p_direction, r.option_strategy,
       string_agg(format('%%s %%s %%s %%s at %%s (%%s)', l.side, l.expiration, l.strike, l.option_type,
                         round(l.price::numeric, 2), l.price_source), ', ' ORDER BY l.leg) FILTER (WHERE l.leg IS NOT NULL) AS legs
FROM recommendations r LEFT JOIN recommendation_legs l ON l.recommendation_id = r.id
WHERE r.recommendation_date = %(session)s
GROUP BY r.id
ORDER BY r.action = 'ENTER' DESC, r.confidence DESC, r.symbol
