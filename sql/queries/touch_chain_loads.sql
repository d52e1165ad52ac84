UPDATE load_manifest SET etag = %(etag)s, last_modified = %(modified)s
WHERE dataset = 'options_chains' AND session_date = %(session)s AND source = %(source)s
