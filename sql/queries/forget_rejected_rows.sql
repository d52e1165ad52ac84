DELETE FROM rejected_rows WHERE dataset = %(dataset)s AND session_date = %(session)s
