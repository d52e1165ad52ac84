-- Time, and the two ways in which a time-series table is stored.

-- The one instant that keys a session: 00:00 New York of its date.
CREATE FUNCTION session_time(session date) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN session::timestamp AT TIME ZONE 'America/New_York';

CREATE FUNCTION session_of(instant timestamptz) RETURNS date
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (instant AT TIME ZONE 'America/New_York')::date;

CREATE FUNCTION is_hypertable_server() RETURNS boolean
    LANGUAGE sql STABLE
    RETURN EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'timescaledb');

-- Makes table `name` from `name_template`: a hypertable where TimescaleDB is loaded, else natively partitioned.
-- Chunks of daily bars must span about a year: a 7-day chunk holds 5 rows a symbol and grows when compressed.
CREATE FUNCTION create_time_series(name text, chunk interval) RETURNS void
    LANGUAGE plpgsql AS
$$
BEGIN
    IF is_hypertable_server() THEN
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', name, name || '_template');
        EXECUTE format(
            'SELECT create_hypertable(%L, by_range(''time'', %L::interval), create_default_indexes => false)',
            name, chunk);
    ELSE
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL) PARTITION BY RANGE (time)', name, name || '_template');
    END IF;
    EXECUTE format('DROP TABLE %I', name || '_template');
END
$$;

-- Creates the native monthly partition that holds `session`; returns its name, NULL where TimescaleDB does it itself.
CREATE FUNCTION ensure_partition(name text, session date) RETURNS text
    LANGUAGE plpgsql AS
$$
DECLARE
    month date := date_trunc('month', session)::date;
    partition_name text := name || to_char(month, '"_"YYYY"_"MM');
BEGIN
    IF (SELECT relkind FROM pg_class WHERE oid = to_regclass(name)) <> 'p' THEN
        RETURN NULL;
    END IF;
    IF to_regclass(partition_name) IS NULL THEN
        PERFORM pg_advisory_xact_lock(hashtext('ensure_partition:' || name));
        -- asked of the table itself: to_regclass would answer from a cache older than the lock
        IF NOT EXISTS (SELECT 1 FROM pg_class WHERE relname = partition_name AND relnamespace = current_schema()::regnamespace) THEN
            -- made apart and attached: CREATE ... PARTITION OF would lock readers of the whole table out until commit
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', partition_name, name);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                name, partition_name, session_time(month), session_time((month + interval '1 month')::date));
        END IF;
    END IF;
    RETURN partition_name;
END
$$;
