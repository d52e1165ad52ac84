"""The screener: one screen over 15,000 symbols against a JSONB document per symbol, and writing one universe day.

Both tables hold the same numbers of the same sessions, and both answers are asked for on one server in turn.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl

from benchmarks.market_files import SYMBOLS
from benchmarks.measure import Measure
from kapman_metrics.universe import UNIVERSE_COLUMNS
from kapman_resources import calendar, embedded_postgres
from kapman_resources.database import Database, Migrations
from kapman_resources.database.core import at_session
from kapman_resources.screener import screen

SESSIONS = calendar.sessions_between(date(2026, 7, 20), date(2026, 7, 31))  # of one month: one partition
ASKED = "rsi < 30 and close > sma_200 and rvol > 2"
ROUNDS = 9
MUST_SCREEN, MUST_WRITE = 5.0, 1.0

_DOCUMENTS = (
    "CREATE TABLE documents (time timestamptz, symbol text, document jsonb, PRIMARY KEY (time, symbol))"
)
_ASKED_OF_DOCUMENTS = """
    SELECT symbol, (document->>'close')::float8, (document->>'rsi')::float8, (document->>'sma_200')::float8,
           (document->>'rvol')::float8
    FROM documents
    WHERE time = session_time(%(session)s) AND (document->>'rsi')::float8 < 30
      AND (document->>'close')::float8 > (document->>'sma_200')::float8 AND (document->>'rvol')::float8 > 2
    ORDER BY symbol
"""


def run() -> Iterator[Measure]:
    """The rows of the issue's table, one measure each."""
    with tempfile.TemporaryDirectory(prefix="kapman-bench-") as place:
        server = embedded_postgres.start(Path(place))
        with Database(server.get_uri(embedded_postgres.DATABASE)) as database:
            Migrations(database).apply()
            writes = _fill(database)
            yield _writing(writes)
            yield _screening(database)
        server.cleanup()


def _fill(database: Database) -> list[float]:
    """Both tables for all sessions; the seconds of each universe day from its frame to the commit."""
    random = np.random.default_rng(5)
    database.execute(_DOCUMENTS)
    seconds = []
    for session in SESSIONS:
        day = _day(random)
        started = time.perf_counter()
        with database.transaction() as connection:
            database.replace_session(connection, "universe_indicators", session, day)
        seconds.append(time.perf_counter() - started)
        documents = day.select("symbol", document=pl.struct(UNIVERSE_COLUMNS).struct.json_encode())
        with database.transaction() as connection:
            database.copy(connection, "documents", at_session(documents, session))
    for table in ("universe_indicators", "documents"):
        database.execute(f"ANALYZE {table}")
    return seconds


def _day(random: np.random.Generator) -> pl.DataFrame:
    """15,000 rows with what a screen asks for at lifelike frequencies."""
    columns = {name: random.normal(50, 20, SYMBOLS) for name in UNIVERSE_COLUMNS}
    close = random.lognormal(3.2, 1.0, SYMBOLS)
    asked = {
        "close": close,
        "volume": np.floor(random.lognormal(12, 2, SYMBOLS)),
        "sma_200": close * random.lognormal(0, 0.2, SYMBOLS),
        "rsi": random.normal(50, 12, SYMBOLS).clip(0, 100),
        "rvol": random.lognormal(-0.2, 0.8, SYMBOLS),
    }
    symbols = [f"S{number:05d}" for number in range(SYMBOLS)]
    return pl.DataFrame({"symbol": symbols, **columns, **asked})


def _writing(seconds: list[float]) -> Measure:
    typical = round(median(seconds), 3)
    peer = f"{SYMBOLS:,} rows of {len(UNIVERSE_COLUMNS)} columns, slowest of {len(seconds)}: {max(seconds):.2f} s"
    return Measure("universe day", typical, "s", peer, f"<= {MUST_WRITE:g}", typical <= MUST_WRITE)


def _screening(database: Database) -> Measure:
    session = SESSIONS[len(SESSIONS) // 2]

    def ours() -> list[tuple[object, ...]]:
        return screen(database, ASKED, session).rows()

    def documents() -> list[tuple[object, ...]]:
        with database.transaction() as connection:
            return connection.execute(_ASKED_OF_DOCUMENTS, {"session": session}).fetchall()

    if ours() != documents():
        raise RuntimeError("the table and the documents give different symbols for one screen")
    spent = [(_seconds(documents), _seconds(ours)) for _ in range(ROUNDS)]
    ratio = round(median(theirs / own for theirs, own in spent), 1)
    peer = (
        f"JSONB document per symbol, {median(t for t, _ in spent) * 1e3:.0f} ms "
        f"against {median(o for _, o in spent) * 1e3:.1f} ms"
    )
    return Measure("screen", ratio, "x", peer, f">= {MUST_SCREEN:g}", ratio >= MUST_SCREEN)


def _seconds(ask: Callable[[], object]) -> float:
    started = time.perf_counter()
    ask()
    return time.perf_counter() - started
