UPDATE recommendations r SET status = CASE WHEN o.exit_reason = 'expiry' THEN 'expired' ELSE 'closed' END
FROM recommendation_outcomes o
WHERE o.recommendation_id = r.id AND o.horizon = 'exit' AND o.evaluation_date = %(session)s
