"""The trader's pages and the REST API over what the pipeline stored: FastAPI and Jinja2, no script, loopback only.

Does not belong here: computing anything that the pipeline should have stored.
"""
