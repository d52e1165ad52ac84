UPDATE load_manifest SET etag = %(etag)s, last_modified = %(modified)s
WHERE dataset = %(dataset)s AND session_date = %(session)s AND symbol = '*' AND source = %(source)s
