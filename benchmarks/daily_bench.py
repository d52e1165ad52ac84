"""One warm daily run for a watchlist of 100 symbols against the simulated vendor on loopback, advice by rules.

Warm: packages are compiled, the database exists and holds two years of bars. Each round runs a session that is not
stored yet, as the night does; the median counts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from statistics import median

from benchmarks.measure import ROOT, Measure
from kapman_cli.demo import night_after, simulator
from kapman_resources import calendar
from kapman_resources.database import Database
from kapman_resources.database.urls import kapman_url
from kapman_resources.settings import load_settings

MUST_SECONDS = 15
SYMBOLS, ROUNDS, WATCHED = 400, 3, 100


def run() -> Iterator[Measure]:
    """One measure: median wall seconds from starting the command to its summary."""
    newest = calendar.session_offset(calendar.last_completed_session(datetime.now(UTC)), -1)
    nights = [calendar.session_offset(newest, -i) for i in reversed(range(ROUNDS + 1))]
    with tempfile.TemporaryDirectory(prefix="kapman-bench-") as home:
        os.environ["KAPMAN_HOME"] = home
        with simulator(None, 7, 0, night_after(nights[0]), symbols=SYMBOLS) as vendor:
            environment = os.environ | vendor.environment() | {"PYTHONPATH": str(ROOT)}

            def kapman(*arguments: str, at: datetime) -> float:
                vendor.move_to(at)
                started = time.monotonic()
                command = [sys.executable, "-m", "kapman_cli", *arguments]
                done = subprocess.run(
                    command,
                    cwd=ROOT,
                    env=environment | {"KAPMAN_NOW": at.isoformat()},
                    capture_output=True,
                    text=True,
                )
                if done.returncode:
                    raise RuntimeError(
                        f"{' '.join(arguments)} failed: {done.stdout[-1500:]}{done.stderr[-500:]}"
                    )
                return time.monotonic() - started

            first = calendar.session_offset(nights[0], -504)
            span = ("--from", str(first), "--to", str(nights[0]), "--only", "ohlcv_daily")
            kapman("backfill", *span, at=night_after(nights[0]))
            _watch(vendor.state()["chain_symbols"][:WATCHED])
            kapman("run", at=night_after(nights[0]))
            rounds = [kapman("run", at=night_after(session)) for session in nights[1:]]
            contracts = _contracts()
    seconds = round(median(rounds), 2)
    what = f"limit of the issue; {WATCHED} symbols, {contracts:,} contracts, rounds {[round(r, 1) for r in rounds]}"
    yield Measure("daily warm run", seconds, "s", what, f"<= {MUST_SECONDS}", seconds <= MUST_SECONDS)


def _watch(symbols: list[str]) -> None:
    """Puts exactly these symbols on the watchlist."""
    if len(symbols) < WATCHED:
        raise RuntimeError(
            f"the simulated market has chains for {len(symbols)} symbols, the benchmark needs {WATCHED}"
        )
    with Database(kapman_url(load_settings())) as database, database.transaction() as connection:
        connection.execute("DELETE FROM portfolio_tickers")
        connection.execute(
            "INSERT INTO portfolio_tickers (portfolio_id, ticker_id, priority) "
            "SELECT 1, id, 'P1' FROM tickers WHERE symbol = ANY (%s)",
            (symbols,),
        )


def _contracts() -> int:
    with Database(kapman_url(load_settings())) as database:
        newest = "SELECT count(*) FROM options_chains WHERE time = (SELECT max(time) FROM options_chains)"
        return int(database.value(newest))
