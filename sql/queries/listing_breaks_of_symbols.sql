SELECT symbol, first_session FROM listing_breaks
WHERE symbol = ANY (%(symbols)s) AND first_session <= %(last)s
