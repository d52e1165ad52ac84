INSERT INTO saved_screens AS s (name, expression, sort, row_limit)
VALUES (%(name)s, %(expression)s, %(sort)s, %(limit)s)
ON CONFLICT (name) DO UPDATE SET
    expression = excluded.expression, sort = excluded.sort, row_limit = excluded.row_limit, saved_at = now()
