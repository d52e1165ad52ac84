-- Two equal stamps of a month mean the same stored bars: the manifest's rows are written together with the bars.
SELECT date_trunc('month', session_date)::date AS month,
       md5(string_agg(concat_ws('|', session_date - DATE '2000-01-01', source, coalesce(etag, ''), coalesce(checksum, ''),
                                row_count, extract(epoch FROM loaded_at)), ';' ORDER BY session_date, source)) AS stamp
FROM load_manifest
WHERE dataset = 'ohlcv_daily'
GROUP BY 1
