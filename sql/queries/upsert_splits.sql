-- The vendor's record of [since, until] becomes the given one; a row that would not change is not touched, nor is one
-- of another source. A split that the vendor lists no more stays on record, not applied, where `retract` is true.
WITH given AS (
    SELECT * FROM unnest(%(symbols)s::text[], %(execution_dates)s::date[], %(split_froms)s::double precision[],
                         %(split_tos)s::double precision[], %(adjustment_types)s::text[], %(applied)s::boolean[],
                         %(findings)s::text[])
        AS g (symbol, execution_date, split_from, split_to, adjustment_type, is_applied, finding)
),
changed AS (
    UPDATE splits s SET
        split_from = g.split_from, split_to = g.split_to, adjustment_type = g.adjustment_type,
        is_applied = g.is_applied, finding = g.finding
    FROM given g
    WHERE (s.symbol, s.execution_date) = (g.symbol, g.execution_date) AND s.source = 'vendor'
      AND (s.split_from, s.split_to, s.adjustment_type, s.is_applied, s.finding)
          IS DISTINCT FROM (g.split_from, g.split_to, g.adjustment_type, g.is_applied, g.finding)
),
retracted AS (
    UPDATE splits s SET is_applied = false, finding = 'the vendor does not list it any more'
    WHERE %(retract)s::boolean AND s.source = 'vendor' AND s.execution_date BETWEEN %(since)s AND %(until)s
      AND s.finding IS DISTINCT FROM 'the vendor does not list it any more'
      AND NOT EXISTS (SELECT FROM given g WHERE (g.symbol, g.execution_date) = (s.symbol, s.execution_date))
)
INSERT INTO splits (symbol, execution_date, split_from, split_to, adjustment_type, source, is_applied, finding)
SELECT g.symbol, g.execution_date, g.split_from, g.split_to, g.adjustment_type, 'vendor', g.is_applied, g.finding
FROM given g
WHERE NOT EXISTS (SELECT FROM splits s WHERE (s.symbol, s.execution_date) = (g.symbol, g.execution_date))
ON CONFLICT (symbol, execution_date) DO NOTHING
