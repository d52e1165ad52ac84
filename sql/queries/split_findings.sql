SELECT symbol, execution_date AS day, finding FROM splits
WHERE NOT is_applied AND symbol = ANY (%(symbols)s) AND execution_date BETWEEN %(first)s AND %(last)s
UNION ALL
SELECT symbol, session_date, reason || ' (' || detail || ')' FROM rejected_rows
WHERE dataset = 'splits' AND symbol = ANY (%(symbols)s) AND session_date BETWEEN %(first)s AND %(last)s
ORDER BY 1, 2, 3
