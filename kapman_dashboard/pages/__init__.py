"""The HTML pages, one module each: read, arrange, render. Does not belong here: SQL, and the JSON of /api."""
