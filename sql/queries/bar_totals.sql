SELECT coalesce(sum(row_count), 0)::bigint AS row_count, coalesce(max(row_count), 0)::bigint AS symbol_count
FROM (
    -- where a day file is loaded, the grouped answer gave only its vwap
    SELECT DISTINCT ON (session_date) row_count FROM load_manifest
    WHERE dataset = 'ohlcv_daily' AND session_date BETWEEN %(first)s AND %(last)s
    ORDER BY session_date, source = 'flatfile' DESC
) AS loaded
