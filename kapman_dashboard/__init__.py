"""The trader's pages and the REST API over what the pipeline stored: FastAPI, Jinja2, no script, loopback.

Does not belong here: computing anything that the pipeline should have stored.
"""
