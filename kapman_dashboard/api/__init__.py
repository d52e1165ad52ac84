"""The JSON API under /api: the specification's paths over the same reads as the pages.

Does not belong here: HTML, SQL.
"""
