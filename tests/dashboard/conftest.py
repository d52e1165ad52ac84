"""One embedded PostgreSQL for the room: a filled and an empty database, and a client on each."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from starlette.testclient import TestClient

sys.path.insert(0, str(Path(__file__).parent))

import dashboard_market

from kapman_dashboard.app import create_app
from kapman_resources import embedded_postgres
from kapman_resources.database import Database, Migrations


@pytest.fixture(scope="session")
def server_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kapman")


@pytest.fixture(scope="session")
def database(server_home: Path) -> Iterator[Database]:
    """The hand-made market of dashboard_market."""
    with Database(embedded_postgres.url(server_home)) as opened:
        Migrations(opened).apply()
        dashboard_market.fill(opened)
        yield opened


def _another_database(server_home: Path, name: str) -> str:
    with psycopg.connect(embedded_postgres.url(server_home, "postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return embedded_postgres.url(server_home, name)


@pytest.fixture(scope="session")
def empty_database(server_home: Path) -> Iterator[Database]:
    """Migrated, nothing stored."""
    with Database(_another_database(server_home, "kapman_empty")) as opened:
        Migrations(opened).apply()
        yield opened


@pytest.fixture(scope="session")
def bare_database(server_home: Path) -> Iterator[Database]:
    """Not even migrated."""
    with Database(_another_database(server_home, "kapman_bare")) as opened:
        yield opened


@pytest.fixture
def clock_at_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """The morning after the newest stored session."""
    monkeypatch.setenv("KAPMAN_NOW", "2026-05-06T06:00:00-04:00")


@pytest.fixture
def client(database: Database, clock_at_session: None) -> TestClient:
    return TestClient(create_app(database))


@pytest.fixture
def empty_client(empty_database: Database, clock_at_session: None) -> TestClient:
    return TestClient(create_app(empty_database))
