SELECT symbol, execution_date, split_from, split_to FROM splits
WHERE symbol = ANY (%(symbols)s) AND execution_date <= %(last)s AND is_applied
