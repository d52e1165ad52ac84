"""`kapman doctor`: every need of Kapman as one check with the exact fix. Nothing here changes anything."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from kapman_resources import calendar, clock, embedded_postgres
from kapman_resources.clock import ClockError
from kapman_resources.database import Database, DatabaseError, Migrations
from kapman_resources.database.urls import kapman_url
from kapman_resources.embedded_postgres import EmbeddedPostgresError
from kapman_resources.settings import Settings, SettingsError, load_settings

_LEAST_FREE = 2 * 1024**3


@dataclass(frozen=True)
class Check:
    """`required` checks decide the exit code; the others only inform."""

    name: str
    ok: bool
    detail: str
    fix: str = ""
    required: bool = True


def run_checks() -> list[Check]:
    """All checks, in the order in which their faults should be mended."""
    return list(_checks())


def _checks() -> Iterator[Check]:
    yield Check("Python", sys.version_info >= (3, 11), sys.version.split()[0], "install Python 3.11 or newer")
    yield _tried(
        "clock",
        lambda: f"{clock.now():%Y-%m-%d %H:%M %Z}, last session {clock.last_completed_session()}",
        ClockError,
    )
    yield Check(
        "calendar",
        datetime.now(UTC).year < calendar.LAST_YEAR,
        f"sessions to {calendar.LAST_YEAR}",
        "the calendar's horizon is reached: update Kapman",
    )
    try:
        settings = load_settings()
    except SettingsError as error:
        yield Check("configuration", False, "", str(error))
        return
    yield Check("configuration", True, f"KAPMAN_HOME {settings.home}, advice by {settings.ai_provider}")
    yield from _storage(settings)
    yield from _vendor(settings)
    mail = (
        f"to {settings.notification_email} by {settings.smtp_host}:{settings.smtp_port}"
        if settings.smtp_host
        else ""
    )
    yield Check("mail", bool(mail), mail, "optional: set SMTP_HOST and NOTIFICATION_EMAIL", required=False)


def _tried(name: str, what: Callable[[], str], *faults: type[Exception], required: bool = True) -> Check:
    try:
        return Check(name, True, what(), required=required)
    except faults as error:
        return Check(name, False, "", str(error), required=required)


def _storage(settings: Settings) -> Iterator[Check]:
    yield _tried("home", lambda: str(embedded_postgres.ensure_writable(settings.home)), EmbeddedPostgresError)
    existing = next(p for p in (settings.home, *settings.home.parents) if p.exists())
    free = shutil.disk_usage(existing).free
    yield Check(
        "disk", free > _LEAST_FREE, f"{free / 1024**3:.0f} GiB free", f"free 2 GiB on the disk of {existing}"
    )
    try:
        with Database(kapman_url(settings)) as database:
            version = str(database.value("SHOW server_version")).split()[0]
            yield Check("PostgreSQL", int(version.split(".")[0]) >= 16, version, "use PostgreSQL 16 or newer")
            pending = [m.name for m in Migrations(database).pending()]
            yield Check("schema", not pending, "up to date", "run ./kapman migrate")
            series = bool(database.value("SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'"))
            yield Check(
                "TimescaleDB",
                series,
                "hypertables",
                "optional: native partitions are used instead",
                required=False,
            )
    except (DatabaseError, EmbeddedPostgresError, SettingsError) as error:
        yield Check("PostgreSQL", False, "", str(error))


def _vendor(settings: Settings) -> Iterator[Check]:
    try:
        settings.require_market_data_keys()
    except SettingsError as error:
        yield Check("vendor keys", False, "", str(error))
        return
    yield Check("vendor keys", True, "set")
    from kapman_resources.market_data.polygon import Polygon

    for name, said in Polygon.from_settings(settings).check().items():
        yield Check(name, said == "ok", "accepted", said)
