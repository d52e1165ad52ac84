"""The application: pages under /, JSON under /api, health, static files, and its server on loopback.

Does not belong here: what a page shows (pages), what is read (queries).
"""

from __future__ import annotations

from contextlib import suppress

from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.staticfiles import StaticFiles

from kapman_dashboard import errors, health, page
from kapman_dashboard.api import routes
from kapman_dashboard.pages import recommendation, ticker, today
from kapman_dashboard.queries import Reader
from kapman_dashboard.security import SecurityHeaders
from kapman_resources.database import Database
from kapman_resources.database.urls import kapman_url
from kapman_resources.listening import CannotListen, in_url, is_loopback, listen
from kapman_resources.settings import load_settings

HOST, PORT = "127.0.0.1", 4000


def create_app(database: Database) -> FastAPI:
    """The application over an open or still unopened database, which stays the caller's to close."""
    # the documentation pages of FastAPI load scripts from a CDN: off until they are vendored
    app = FastAPI(title="Kapman", docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    app.state.reader = Reader(database)
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=5)
    app.add_middleware(SecurityHeaders)
    for module in (today, ticker, recommendation, routes, health):
        app.include_router(module.router)
    app.mount("/static", StaticFiles(directory=page.STATIC), name="static")
    errors.install(app)
    return app


def run(host: str = HOST, port: int = PORT) -> None:
    """Serves the configured database until interrupted; port 0 takes a free one.

    Raises CannotListen (a SystemExit) for a host that is not loopback and for a port in use.
    """
    import uvicorn

    if not is_loopback(host):
        raise CannotListen(
            f"the dashboard has no login yet and listens on this machine only: "
            f"host {host} is refused, use {HOST}"
        )
    with listen(host, port) as listener, Database(kapman_url(load_settings()), max_size=8) as database:
        app = create_app(database)
        # without a login, a foreign page that resolves its own name to 127.0.0.1 must not read this one
        app.add_middleware(
            TrustedHostMiddleware, allowed_hosts=["localhost", "127.0.0.1", "[::1]", "::1", host]
        )
        print(f"Kapman dashboard on http://{in_url(host)}:{listener.getsockname()[1]}", flush=True)
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])
