INSERT INTO notifications (dedupe_key, kind, severity, symbol, session_date, subject, body)
VALUES (%(dedupe_key)s, %(kind)s, %(severity)s, %(symbol)s, %(session_date)s, %(subject)s, %(body)s)
ON CONFLICT (dedupe_key) DO NOTHING
