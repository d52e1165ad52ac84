INSERT INTO splits (symbol, execution_date, split_from, split_to, adjustment_type, source)
VALUES (%(symbol)s, %(execution_date)s, %(split_from)s, %(split_to)s, %(adjustment_type)s, 'vendor')
ON CONFLICT (symbol, execution_date) DO UPDATE SET
    split_from = excluded.split_from, split_to = excluded.split_to, adjustment_type = excluded.adjustment_type
WHERE (splits.split_from, splits.split_to, splits.adjustment_type)
      IS DISTINCT FROM (excluded.split_from, excluded.split_to, excluded.adjustment_type)
