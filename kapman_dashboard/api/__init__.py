"""The JSON API under /api, the specification's paths; the same reads as the pages. Does not belong here: HTML, SQL."""
