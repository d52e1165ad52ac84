-- What a load was made of, what a replaced file changed, and which bars of a symbol belong to one company.

-- A session can have a row for each source: its day file, the grouped answer that gave vwap or stood in for the file.
ALTER TABLE load_manifest DROP CONSTRAINT load_manifest_pkey;
ALTER TABLE load_manifest ADD PRIMARY KEY (dataset, session_date, symbol, source);
ALTER TABLE load_manifest ADD COLUMN last_modified timestamptz;
COMMENT ON COLUMN load_manifest.checksum IS 'SHA-256 of the decompressed content: a file replaced by an equal one is not loaded again.';
COMMENT ON COLUMN load_manifest.oi_session IS 'The session whose end the open interest refers to; before 06:30 New York of the next morning one before the capture''s.';

CREATE TABLE load_revisions (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dataset        text NOT NULL,
    session_date   date NOT NULL,
    old_source     text NOT NULL,
    old_etag       text,
    new_source     text NOT NULL,
    new_etag       text,
    rows_before    bigint NOT NULL,
    rows_after     bigint NOT NULL,
    rows_added     bigint NOT NULL,
    rows_removed   bigint NOT NULL,
    rows_changed   bigint NOT NULL,
    largest_change double precision,
    largest_symbol varchar(20),
    largest_column text,
    recorded_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX load_revisions_by_partition ON load_revisions (dataset, session_date);
COMMENT ON TABLE load_revisions IS 'Every time a stored session was replaced by another file or source, and what that changed.';
COMMENT ON COLUMN load_revisions.largest_change IS 'Largest |new / old - 1| among prices of symbols in both; volume and vwap count as changed rows only.';

ALTER TABLE tickers ADD COLUMN composite_figi text;
-- every load dates every symbol: with room in its page a row is updated without touching the indexes
ALTER TABLE tickers SET (fillfactor = 50);

CREATE TABLE listing_breaks (
    symbol        varchar(20) NOT NULL,
    first_session date NOT NULL,
    reason        text NOT NULL,
    recorded_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (symbol, first_session)
);
COMMENT ON TABLE listing_breaks IS 'Where the reference data says that a ticker began to mean another company; bars before it are not its history.';

ALTER TABLE splits ADD COLUMN is_applied boolean NOT NULL DEFAULT true, ADD COLUMN finding text;
COMMENT ON COLUMN splits.is_applied IS 'false: recorded but not a split (a spin-off, a distribution); bars are not adjusted for it.';

-- The instants that a month's partition may hold: 00:00 New York of each of its days. One comparison with a constant is
-- cheaper than converting every row's time, says the same, and proves the partition's bounds to ATTACH as well.
CREATE FUNCTION midnights_of(month date) RETURNS timestamptz[]
    LANGUAGE sql IMMUTABLE
    RETURN (SELECT array_agg(session_time(day::date) ORDER BY day)
            FROM generate_series(date_trunc('month', month::timestamp),
                                 date_trunc('month', month::timestamp) + interval '1 month - 1 day', interval '1 day') AS day);

DO $$
DECLARE
    target record;
    partition record;
BEGIN
    IF is_hypertable_server() THEN
        RETURN;  -- its chunks are not ours to constrain: the check of the table stays
    END IF;
    FOR target IN
        SELECT c.conrelid::regclass AS name, c.conname FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid
        WHERE t.relkind = 'p' AND c.contype = 'c' AND pg_get_constraintdef(c.oid) LIKE '%session_time(session_of(%'
    LOOP
        FOR partition IN
            SELECT i.inhrelid::regclass AS name, to_date(right(i.inhrelid::regclass::text, 7), 'YYYY_MM') AS month
            FROM pg_inherits i WHERE i.inhparent = target.name
        LOOP
            EXECUTE format('ALTER TABLE %s ADD CONSTRAINT midnight_new_york CHECK (time = ANY (%L::timestamptz[]))',
                partition.name, midnights_of(partition.month));
        END LOOP;
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', target.name, target.conname);
    END LOOP;
END
$$;

-- A month without a partition is loaded into a bare table first (COPY FREEZE, no index to maintain) and attached whole.

-- Creates the month's table, empty and apart, and returns its name; NULL where it exists or TimescaleDB does it itself.
CREATE FUNCTION begin_partition(name text, session date) RETURNS text
    LANGUAGE plpgsql AS
$$
DECLARE
    partition_name text := name || to_char(session, '"_"YYYY"_"MM');
BEGIN
    IF (SELECT relkind FROM pg_class WHERE oid = to_regclass(name)) <> 'p' OR to_regclass(partition_name) IS NOT NULL THEN
        RETURN NULL;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('partition:' || partition_name));
    -- asked of the table itself: to_regclass would answer from a cache older than the lock
    IF EXISTS (SELECT 1 FROM pg_class WHERE relname = partition_name AND relnamespace = current_schema()::regnamespace) THEN
        RETURN NULL;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING CONSTRAINTS INCLUDING STORAGE)',
        partition_name, name);
    EXECUTE format('ALTER TABLE %I ADD CONSTRAINT midnight_new_york CHECK (time = ANY (%L::timestamptz[]))',
        partition_name, midnights_of(session));
    RETURN partition_name;
END
$$;

-- Attaches what begin_partition made; the indexes and the key of the whole table are built on it here.
-- CREATE TABLE ... PARTITION OF would lock readers of the whole table out until commit; ATTACH does not.
CREATE FUNCTION finish_partition(name text, session date) RETURNS void
    LANGUAGE plpgsql AS
$$
DECLARE
    month date := date_trunc('month', session)::date;
    partition_name text := name || to_char(session, '"_"YYYY"_"MM');
BEGIN
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        name, partition_name, session_time(month), session_time((month + interval '1 month')::date));
END
$$;

-- The native monthly partition that holds `session`, made when it is missing; NULL where TimescaleDB does it itself.
CREATE OR REPLACE FUNCTION ensure_partition(name text, session date) RETURNS text
    LANGUAGE plpgsql AS
$$
BEGIN
    IF begin_partition(name, session) IS NOT NULL THEN
        PERFORM finish_partition(name, session);
    END IF;
    IF (SELECT relkind FROM pg_class WHERE oid = to_regclass(name)) <> 'p' THEN
        RETURN NULL;
    END IF;
    RETURN name || to_char(session, '"_"YYYY"_"MM');
END
$$;
