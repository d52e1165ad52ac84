"""A whole small installation: embedded PostgreSQL, simulated vendor, settings in the environment, a clock to move."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from kapman_assets.launch import RunReport, run_sessions
from kapman_cli.demo import night_after
from kapman_resources.database import Database, Migrations
from kapman_resources.database.urls import kapman_url
from kapman_resources.settings import Settings, load_settings
from kapman_simulator.server import Serving, serving
from kapman_simulator.source import GeneratedSource

TABLES = (
    "ohlcv_daily",
    "options_chains",
    "options_daily_summary",
    "daily_snapshots",
    "recommendations",
    "recommendation_legs",
    "recommendation_outcomes",
)


@dataclass
class World:
    home: Path
    database: Database
    vendor: Serving
    monkeypatch: pytest.MonkeyPatch

    @property
    def settings(self) -> Settings:
        return load_settings()

    def at_night_after(self, session: date) -> None:
        """Vendor and product at 04:00 New York after the session."""
        instant = night_after(session)
        self.vendor.simulation.move_to(instant)
        self.monkeypatch.setenv("KAPMAN_NOW", instant.isoformat())

    def run(self, first: date, last: date | None = None, *tables: str) -> RunReport:
        return run_sessions(self.settings, first, last or first, tables or None)

    def checksums(self) -> dict[str, str]:
        """One digest over every row of each table."""
        digest = "SELECT coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), 'empty') FROM {} t"
        return {table: self.database.value(digest.format(table)) for table in TABLES}


@contextmanager
def small_world(last: date, symbols: int) -> Iterator[World]:
    home = Path(tempfile.mkdtemp(prefix="kapman-")).resolve()
    patch = pytest.MonkeyPatch()
    with serving(
        GeneratedSource(7, last, symbols=symbols, contracts_per_symbol=300), now=night_after(last)
    ) as vendor:
        for name in (
            "DATABASE_URL",
            "DB_PASSWORD",
            "AI_PROVIDER",
            "METRICS_PROVIDER",
            "SMTP_HOST",
            "DAGSTER_HOME",
        ):
            patch.delenv(name, raising=False)
        for name, value in {
            "DAGSTER_HOME": str(home / "dagster"),  # what a run sets is forgotten with this world
            "KAPMAN_HOME": str(home),
            "POLYGON_BASE_URL": vendor.url,
            "POLYGON_S3_ENDPOINT": vendor.url,
            "POLYGON_API_KEY": vendor.api_key,
            "AWS_ACCESS_KEY_ID": vendor.s3_key_id,
            "AWS_SECRET_ACCESS_KEY": vendor.s3_secret,
            "S3_BUCKET": "flatfiles",
        }.items():
            patch.setenv(name, value)
        with Database(kapman_url(load_settings())) as database:
            Migrations(database).apply()
            yield World(home, database, vendor, patch)
    patch.undo()
    from kapman_resources import embedded_postgres

    embedded_postgres.start(home).cleanup()
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def shared_world(request: pytest.FixtureRequest) -> Iterator[World]:
    """One installation for a module; its `WORLD` names the last session and the number of symbols."""
    with small_world(*request.module.WORLD) as world:
        yield world


@pytest.fixture
def world(shared_world: World) -> Iterator[World]:
    yield shared_world
    shared_world.vendor.simulation.faults.set(b"{}")
