-- TimescaleDB where the server offers it and has loaded it. Alone in its file: nothing may run before it in the
-- transaction. Where this user may not create the extension, native partitions are used; `doctor` tells which.
DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb')
       AND NOT EXISTS (
           SELECT 1 FROM pg_settings WHERE name = 'shared_preload_libraries' AND setting NOT LIKE '%timescaledb%') THEN
        CREATE EXTENSION IF NOT EXISTS timescaledb;
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'timescaledb is available but may not be created by %', current_user;
END
$$;
