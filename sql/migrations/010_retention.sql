-- How long rows are kept: bars 3 years, chains and their summaries 90 days, snapshots 2 years; advice for ever.

CREATE TABLE retention (
    table_name     text PRIMARY KEY,
    keep           interval NOT NULL,
    compress_after interval
);
COMMENT ON TABLE retention IS 'Rows older than `keep` may go; with TimescaleDB, chunks older than `compress_after` are compressed.';
INSERT INTO retention VALUES
    ('ohlcv_daily', interval '3 years', interval '1 year'),
    ('options_chains', interval '90 days', NULL),
    ('options_daily_summary', interval '90 days', NULL),
    ('daily_snapshots', interval '2 years', interval '1 year');

-- TimescaleDB does both by itself, in the background and by its own clock. A chunk of a year keeps enough rows of one
-- symbol together to compress well; options_chains and its summary are dropped before it would pay.
DO $$
DECLARE
    kept record;
BEGIN
    IF is_hypertable_server() THEN
        FOR kept IN SELECT * FROM retention LOOP
            EXECUTE format('SELECT add_retention_policy(%L, %L::interval)', kept.table_name, kept.keep);
            IF kept.compress_after IS NOT NULL THEN
                EXECUTE format('ALTER TABLE %I SET (timescaledb.compress, timescaledb.compress_segmentby = ''symbol'', '
                    'timescaledb.compress_orderby = ''time'')', kept.table_name);
                EXECUTE format('SELECT add_compression_policy(%L, %L::interval)', kept.table_name, kept.compress_after);
            END IF;
        END LOOP;
    END IF;
END
$$;

-- Native partitions: drops those that end before the retention of their table as of `today`; returns their names.
-- A manifest row goes with its rows, so that a session dropped here counts as not loaded.
CREATE FUNCTION apply_retention(today date) RETURNS TABLE (dropped text)
    LANGUAGE plpgsql AS
$$
DECLARE
    kept record;
    old record;
    cutoff date;
BEGIN
    FOR kept IN
        SELECT r.* FROM retention r JOIN pg_class c ON c.oid = to_regclass(r.table_name) WHERE c.relkind = 'p'
        ORDER BY r.table_name
    LOOP
        cutoff := (today - kept.keep)::date;
        FOR old IN
            SELECT c.relname, (to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month')::date AS ends
            FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = to_regclass(kept.table_name)
            ORDER BY c.relname
        LOOP
            IF old.ends <= cutoff THEN
                EXECUTE format('DROP TABLE %I', old.relname);
                DELETE FROM load_manifest WHERE dataset = kept.table_name AND session_date < old.ends;
                DELETE FROM rejected_rows WHERE dataset = kept.table_name AND session_date < old.ends;
                dropped := old.relname;
                RETURN NEXT;
            END IF;
        END LOOP;
    END LOOP;
END
$$;

-- The partitions of this month and the next, made before a load has to wait for them; nothing with TimescaleDB.
CREATE FUNCTION make_partitions_ahead(today date) RETURNS void
    LANGUAGE sql AS
$$
    SELECT ensure_partition(table_name, month::date)
    FROM retention,
         generate_series(date_trunc('month', today::timestamp), date_trunc('month', today::timestamp) + interval '1 month',
                         interval '1 month') AS month
$$;
