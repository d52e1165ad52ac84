"""`kapman demo`: the whole product on a simulated or recorded market, from an empty folder to a page in the browser."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path
from typing import Any

import typer

from kapman_assets.launch import run_sessions
from kapman_assets.stages import MixedDataError
from kapman_cli import report, services
from kapman_cli.console import CliError, progress, say
from kapman_resources import calendar, clock
from kapman_resources.database import Database, Migrations
from kapman_resources.database.queries import query
from kapman_resources.database.urls import kapman_url
from kapman_resources.settings import Settings, load_settings

YEARS_OF_BARS = 2
SESSIONS_SHOWN = 5
# The demo must never touch a database, a key or a mailbox of the user's.
_OWN_SERVICES = (
    "DATABASE_URL",
    "DB_PASSWORD",
    "NOTIFICATION_EMAIL",
    "SMTP_HOST",
    "SMTP_USER",
    "SMTP_PASSWORD",
    "METRICS_PROVIDER",
    "POLYGON_MCP_URL",
    "POLYGON_MCP_TIMEOUT",
    "KAPMAN_MCP_TOKEN",
    "CLAUDE_API_KEY",
    "OPENAI_API_KEY",
)


class Simulator:
    """The running simulated vendor."""

    def __init__(self, port: int, label: str, now: datetime) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.label, self.now = label, now

    def environment(self) -> dict[str, str]:
        """The settings that point the product at this vendor."""
        return {
            "POLYGON_BASE_URL": self.address,
            "POLYGON_S3_ENDPOINT": self.address,
            "POLYGON_API_KEY": "simulated-key",
            "AWS_ACCESS_KEY_ID": "simulated",
            "AWS_SECRET_ACCESS_KEY": "simulated-secret",
            "S3_BUCKET": "flatfiles",
        }

    def state(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.address}/simulator", timeout=10) as answer:
            return json.load(answer)

    def move_to(self, instant: datetime) -> None:
        body = json.dumps({"now": instant.isoformat()}).encode()
        request = urllib.request.Request(f"{self.address}/simulator/clock", body, method="POST")
        urllib.request.urlopen(request, timeout=30).close()


@contextmanager
def simulator(
    data: Path | None, seed: int, port: int, now: datetime | None, *, symbols: int = 300
) -> Iterator[Simulator]:
    """Starts the simulated vendor as a process and stops it afterwards; raises CliError with its own words."""
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.json"
        command = [sys.executable, "-m", "kapman_simulator", "--port", str(port), "--seed", str(seed)]
        command += ["--symbols", str(symbols), "--ready-file", str(ready), "--parent", str(os.getpid())]
        command += ["--data", str(data)] if data is not None else []
        command += ["--now", now.isoformat()] if now is not None else []
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            while not ready.exists():
                if process.poll() is not None:
                    said = (process.stderr.read() if process.stderr else "").strip().splitlines()
                    raise CliError(
                        f"the simulated vendor did not start: {said[-1] if said else 'no reason given'}"
                    )
                time.sleep(0.02)
            found = json.loads(ready.read_text())
            yield Simulator(found["port"], found["label"], datetime.fromisoformat(found["now"]))
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def night_after(session: date) -> datetime:
    """When the nightly job works on a session: 04:00 New York of the calendar day after it."""
    return datetime.combine(session + timedelta(days=1), time_of_day(4), calendar.NEW_YORK)


def run_demo(
    headless: bool, data: Path | None, seed: int, dashboard_port: int, dagster_port: int, simulator_port: int
) -> None:
    """Set up, load two years of bars, run the last sessions day by day, then stay or summarise."""
    started = time.monotonic()
    if data is not None and not data.is_dir():
        raise CliError(f"--data {data} is not a folder")
    if not headless:
        services.require_free_ports(dashboard_port, dagster_port)
    for name in _OWN_SERVICES:
        os.environ[name] = ""  # hides what .env says
    os.environ["AI_PROVIDER"] = "rules"
    settings = load_settings()
    fixed = os.environ.get("KAPMAN_NOW")
    asked = clock.now() if data is None or fixed else None
    with Database(kapman_url(settings)) as database, simulator(data, seed, simulator_port, asked) as vendor:
        say(f"{vendor.label} market data at {vendor.address}; everything below is {vendor.label}")
        Migrations(database).apply()
        _use(vendor, database)
        sessions = _sessions(vendor)
        _load_history(settings, database, vendor, sessions[0])
        for session in sessions:
            _run_day(settings, vendor, session)
        say("")
        report.print_advice(database, sessions[-1])
        report.print_status(database)
        say(
            f"{vendor.label}: {len(sessions)} sessions to {sessions[-1]} in {time.monotonic() - started:.1f} s"
        )
        if not headless:
            _stay(settings, vendor, dashboard_port, dagster_port, stands_still=bool(data or fixed))


def _use(vendor: Simulator, database: Database) -> None:
    """Points this process and its children at the simulator; refuses a database with data of another origin."""
    other = database.rows(
        "SELECT DISTINCT data_label FROM load_manifest WHERE data_label IS DISTINCT FROM %s", (vendor.label,)
    )
    if other:
        raise MixedDataError(
            f"this KAPMAN_HOME holds {other[0]['data_label'] or 'real'} data: run the demo in another one, for example "
            "KAPMAN_HOME=.kapman-demo ./kapman demo"
        )
    os.environ |= vendor.environment()


def _sessions(vendor: Simulator) -> list[date]:
    """The sessions to run day by day: the last five finished nights, or the recorded one."""
    newest = calendar.last_completed_session(vendor.now)
    if night_after(newest) > vendor.now:
        newest = calendar.session_offset(newest, -1)
    if vendor.label == "RECORDED":
        return [newest]
    return [calendar.session_offset(newest, -i) for i in reversed(range(SESSIONS_SHOWN))]


def _load_history(settings: Settings, database: Database, vendor: Simulator, first: date) -> None:
    """Two years of bars before the first session, known as of that session's night."""
    last = calendar.session_offset(first, -1)
    start = calendar.sessions_between(date(first.year - YEARS_OF_BARS, first.month, 1), last)
    _at(vendor, night_after(last))
    span = {"first": start[0], "last": last}
    with progress(
        f"bars {start[0]} to {last}", len(start), lambda: database.value(query("loaded_bar_files"), span)
    ):
        found = run_sessions(settings, start[0], last, ["tickers", "splits", "ohlcv_daily"])
    _demand(found, f"bars {start[0]} to {last}")
    bars = next(t for t in found.tables if t.table == "ohlcv_daily").facts
    say(f"{bars['rows']:,} bars of {bars['symbols']} symbols in {len(start)} sessions, {found.seconds:.1f} s")


def _run_day(settings: Settings, vendor: Simulator, session: date) -> None:
    _at(vendor, night_after(session))
    found = run_sessions(settings, session, session)
    _demand(found, f"session {session}")
    rows = {t.table: t.facts.get("rows", 0) for t in found.tables}
    say(
        f"session {session}: {rows['ohlcv_daily']} bars, {rows['options_chains']:,} contracts, "
        f"{rows['daily_snapshots']} snapshots, {rows['recommendations']} advised, {rows['outcomes']} outcomes, "
        f"{found.seconds:.1f} s"
    )


def _demand(found: Any, title: str) -> None:
    if not found.ok:
        report.print_report(found, title)
        raise typer.Exit(1)


def _at(vendor: Simulator, instant: datetime) -> None:
    """Vendor and product share one clock."""
    vendor.move_to(instant)
    os.environ["KAPMAN_NOW"] = instant.isoformat()


def _stay(
    settings: Settings, vendor: Simulator, dashboard_port: int, dagster_port: int, *, stands_still: bool
) -> None:
    """Serves until Ctrl-C. Unless the clock stands still the market goes on: the nightly job finds its next session."""
    if not stands_still:
        del os.environ["KAPMAN_NOW"]

    def tick() -> None:
        if not stands_still:
            vendor.move_to(clock.now())

    services.serve(settings, dashboard_port, dagster_port, label=vendor.label, tick=tick)
