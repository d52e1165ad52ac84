INSERT INTO load_manifest (dataset, session_date, symbol, source, etag, size_bytes, row_count, rejected_count,
                           captured_at, oi_session, data_label, checksum, last_modified)
VALUES (%(dataset)s, %(session)s, %(symbol)s, %(source)s, %(etag)s, %(size)s, %(rows)s, %(rejected)s,
        %(captured_at)s, %(oi_session)s, %(label)s, %(checksum)s, %(modified)s)
ON CONFLICT (dataset, session_date, symbol, source) DO UPDATE SET
    etag = excluded.etag, size_bytes = excluded.size_bytes, row_count = excluded.row_count,
    rejected_count = excluded.rejected_count, captured_at = excluded.captured_at, oi_session = excluded.oi_session,
    data_label = excluded.data_label, checksum = excluded.checksum, last_modified = excluded.last_modified,
    loaded_at = now()
