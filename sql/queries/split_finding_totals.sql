SELECT (SELECT count(*) FROM splits WHERE NOT is_applied) AS not_applied,
       (SELECT count(*) FROM rejected_rows WHERE dataset = 'splits') AS rejected_entries
