SELECT r.evidence ->> 'primary_event', r.evidence ->> 'wyckoff_phase', r.direction, o.direction_correct,
       o.evaluation_date
FROM recommendation_outcomes o JOIN recommendations r ON r.id = o.recommendation_id
WHERE o.horizon = '20' AND o.evaluation_date < %(session)s
