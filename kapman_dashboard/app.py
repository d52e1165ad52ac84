"""The application: pages under /, JSON under /api, health, static files, and its server on loopback.

Does not belong here: what a page shows (pages), what is read (queries).
"""

from __future__ import annotations

import errno
import ipaddress
import socket
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
from kapman_resources.settings import load_settings

HOST, PORT = "127.0.0.1", 4000


class CannotServe(SystemExit):
    """The server cannot start. Uncaught it ends the process with its one line on stderr and exit code 1."""


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


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # a second server may bind a port that nobody listens on yet: claim it now
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise CannotServe(
                f"port {port} on {host} is in use: choose another, for example --port {port + 1}"
            ) from error
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CannotServe(f"cannot listen on {host} port {port}: {reason}") from error
    return listener


def run(host: str = HOST, port: int = PORT) -> None:
    """Serves the configured database until interrupted; port 0 takes a free one.

    Raises CannotServe (a SystemExit) for a host that is not loopback and for a port in use.
    """
    import uvicorn

    if not _is_loopback(host):
        raise CannotServe(
            f"the dashboard has no login yet and listens on this machine only: "
            f"host {host} is refused, use {HOST}"
        )
    with _listen(host, port) as listener, Database(kapman_url(load_settings()), max_size=8) as database:
        app = create_app(database)
        # without a login, a foreign page that resolves its own name to 127.0.0.1 must not read this one
        app.add_middleware(
            TrustedHostMiddleware, allowed_hosts=["localhost", "127.0.0.1", "[::1]", "::1", host]
        )
        shown = f"[{host}]" if ":" in host else host
        print(f"Kapman dashboard on http://{shown}:{listener.getsockname()[1]}", flush=True)
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])
