-- The table, its partitions and its chunks that have no valid unique index on exactly these columns.
WITH RECURSIVE tree AS (
    SELECT to_regclass(%(table)s)::oid AS relid
    UNION
    SELECT i.inhrelid FROM pg_inherits i JOIN tree ON i.inhparent = tree.relid
    JOIN pg_class c ON c.oid = i.inhrelid AND c.relkind IN ('r', 'p')
)
SELECT tree.relid::regclass::text AS name FROM tree
WHERE NOT EXISTS (
    SELECT 1 FROM pg_index x
    WHERE x.indrelid = tree.relid AND x.indisunique AND x.indisvalid AND x.indpred IS NULL
      AND %(key)s::text[] = (
          SELECT array_agg(a.attname::text ORDER BY a.attname::text) FROM pg_attribute a
          WHERE a.attrelid = x.indrelid AND a.attnum = ANY (x.indkey::int2[]))
)
ORDER BY 1
