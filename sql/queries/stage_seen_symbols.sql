CREATE TEMPORARY TABLE seen_symbols (symbol text, first_session date, last_session date) ON COMMIT DROP
