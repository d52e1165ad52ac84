"""What all tests share: the repository, the recorded data, one PostgreSQL, one small simulated vendor.

A room that needs something else under one of these names defines its own in its folder.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from kapman_resources import embedded_postgres
from kapman_resources.calendar import NEW_YORK
from kapman_resources.database import Database, Migrations
from kapman_simulator.server import Serving, serving
from kapman_simulator.source import GeneratedSource

_ROOT = Path(__file__).resolve().parents[1]
_TEMPLATE = "kapman_template"
_VENDOR_NOW = datetime(2026, 6, 13, 4, tzinfo=NEW_YORK)  # the Saturday after the session of Friday the 12th
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def repository() -> Path:
    return _ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = Path(os.environ.get("KAPMAN_SHARED_DATA", _ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no recorded data at {folder}: set KAPMAN_SHARED_DATA")
    return folder


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    """A PostgreSQL of this run alone, in a short folder: a socket's path may hold 107 bytes."""
    home = Path(tempfile.mkdtemp(prefix="kapman-")).resolve()
    server = embedded_postgres.start(home)
    with psycopg.connect(server.get_uri("postgres"), autocommit=True) as admin:
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            admin.execute(f"ALTER SYSTEM SET {name} = off")  # nothing here has to survive a power cut
        admin.execute("SELECT pg_reload_conf()")
    yield server
    server.cleanup()
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def template_database(postgres_server: Any) -> str:
    """The name of a migrated database that nobody is connected to."""
    with psycopg.connect(postgres_server.get_uri("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {_TEMPLATE}")
    with Database(postgres_server.get_uri(_TEMPLATE)) as opened:
        Migrations(opened).apply()
    return _TEMPLATE


def _fresh(postgres_server: Any, template: str) -> Iterator[Database]:
    name = f"kapman_test_{next(_numbers)}"
    with psycopg.connect(postgres_server.get_uri("postgres"), autocommit=True) as admin:
        # without fsync a copy of the files is four times as fast as one through the log
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        with Database(postgres_server.get_uri(name)) as opened:
            yield opened
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(postgres_server: Any, template_database: str) -> Iterator[Database]:
    """Migrated and seeded, of this test alone."""
    yield from _fresh(postgres_server, template_database)


@pytest.fixture
def bare_database(postgres_server: Any) -> Iterator[Database]:
    """Not even migrated, of this test alone."""
    yield from _fresh(postgres_server, "template0")


@pytest.fixture(scope="session")
def _vendor_server() -> Iterator[Serving]:
    source = GeneratedSource(7, _VENDOR_NOW.date(), symbols=60, contracts_per_symbol=600)
    with serving(source, now=_VENDOR_NOW) as running:
        yield running


@pytest.fixture
def small_vendor(_vendor_server: Serving) -> Iterator[Serving]:
    """The simulated vendor with about 60 names at 04:00 of Saturday 2026-06-13; healed after each test."""
    yield _vendor_server
    _vendor_server.simulation.faults.set(b"{}")
    _vendor_server.simulation.move_to(_VENDOR_NOW)


@pytest.fixture(scope="session")
def vendor_session() -> date:
    """The last session that the small vendor has published."""
    return date(2026, 6, 12)
