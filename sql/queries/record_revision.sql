INSERT INTO load_revisions (dataset, session_date, old_source, old_etag, new_source, new_etag, rows_before, rows_after,
                            rows_added, rows_removed, rows_changed, largest_change, largest_symbol, largest_column)
VALUES (%(dataset)s, %(session)s, %(old_source)s, %(old_etag)s, %(new_source)s, %(new_etag)s, %(rows_before)s,
        %(rows_after)s, %(added)s, %(removed)s, %(changed)s, %(largest)s, %(symbol)s, %(column)s)
