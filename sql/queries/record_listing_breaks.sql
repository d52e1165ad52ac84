-- What the list says now replaces what it said before of the same symbols; other reasons stay.
WITH found AS (
    SELECT * FROM unnest(%(symbols)s::text[], %(first_sessions)s::date[], %(reasons)s::text[])
        AS f (symbol, first_session, reason)
),
replaced AS (
    DELETE FROM listing_breaks b
    WHERE b.reason LIKE 'delisted %%' AND b.symbol IN (SELECT symbol FROM found WHERE reason LIKE 'delisted %%')
      AND NOT EXISTS (SELECT FROM found f WHERE f.symbol = b.symbol AND f.first_session = b.first_session)
)
INSERT INTO listing_breaks (symbol, first_session, reason)
SELECT symbol, first_session, reason FROM found
ON CONFLICT (symbol, first_session) DO NOTHING
