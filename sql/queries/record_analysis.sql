UPDATE tickers SET last_analysis_date = %(session)s
WHERE symbol = ANY (%(symbols)s) AND (last_analysis_date IS NULL OR last_analysis_date < %(session)s)
