"""Loading: bars from gzip files to committed rows, chains from pages to committed rows, each against a floor or a peer.

The day files come from a folder through the real flat-file client; the S3 server itself is left out, because on the
machine of the benchmark it would compete for the same two cores. The pages come from a server process (fetch_bench).
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from statistics import median

import polars as pl

from benchmarks import fetch_bench, page_server
from benchmarks.market_files import SYMBOLS, FolderVendor, write_day_files
from benchmarks.measure import ROOT, Measure, observe
from kapman_assets.bar_loading import load_bars
from kapman_metrics.bars import clean_bars
from kapman_metrics.chain import clean_chain
from kapman_resources import calendar, embedded_postgres
from kapman_resources.database import Database, Migrations
from kapman_resources.database.core import EncodedRows
from kapman_resources.market_data.flat_files import STOCK_DAYS, decompress, key_of, parse_day_file

YEARS = calendar.sessions_between(date(2023, 8, 1), date(2026, 7, 31))  # three years
YEAR = YEARS[-250:]
ROUNDS = 3
MUST_BACKFILL, MUST_DAY, MUST_UNCHANGED, MUST_STORE, MUST_GB = 3.0, 4.0, 0.15, 5.0, 1.0


def run() -> Iterator[Measure]:
    """The rows of the issue's table, one measure each."""
    with tempfile.TemporaryDirectory(prefix="kapman-bench-") as place:
        files = Path(place) / "files"
        write_day_files(files, YEARS)
        with _database(Path(place) / "home") as database:
            yield from _backfill(database, files)
            yield from _day(database, files)
            yield from _unchanged(database, files)
            yield from _store(database)
        yield _memory(Path(place) / "memory", files)
    yield from fetch_bench.run()


@contextmanager
def _database(home: Path) -> Iterator[Database]:
    server = embedded_postgres.start(home)
    with Database(server.get_uri(embedded_postgres.DATABASE)) as database:
        Migrations(database).apply()
        yield database
    server.cleanup()


def _forget_bars(database: Database) -> None:
    """As if nothing had been loaded: the partitions are gone too."""
    with database.transaction() as connection:
        months = connection.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'ohlcv_daily'::regclass"
        ).fetchall()
        for (month,) in months:
            connection.execute(f"DROP TABLE {month}")
        connection.execute("TRUNCATE load_manifest, rejected_rows")


# -- bars -------------------------------------------------------------------------------------------------------------


def _backfill(database: Database, files: Path) -> Iterator[Measure]:
    floors, ours = [], []
    for _ in range(ROUNDS):
        floors.append(_copy_floor(database, files))
        _forget_bars(database)
        started = time.perf_counter()
        load = load_bars(database, FolderVendor(files), YEAR, lambda session: False)
        ours.append(time.perf_counter() - started)
        stored = database.value("SELECT count(*) FROM ohlcv_daily")
        if stored != len(YEAR) * SYMBOLS or load.missing:
            raise RuntimeError(f"{stored} rows stored of {len(YEAR) * SYMBOLS}, missing {load.missing}")
    ratio = round(median(o / f for o, f in zip(ours, floors, strict=True)), 2)
    peer = (
        f"COPY of the same {len(YEAR) * SYMBOLS:,} rows into an unlogged table without a key: "
        f"{median(floors):.1f} s against {median(ours):.1f} s"
    )
    yield Measure("backfill", ratio, "x", peer, f"<= {MUST_BACKFILL}", ratio <= MUST_BACKFILL)


def _copy_floor(database: Database, files: Path) -> float:
    """Seconds in COPY alone; making the blocks is not counted."""
    spent = 0.0
    with database.transaction() as connection:
        connection.execute("DROP TABLE IF EXISTS floor")
        connection.execute("CREATE UNLOGGED TABLE floor (LIKE ohlcv_daily)")
        for session in YEAR:
            rows = _encoded(database, files, session)
            started = time.perf_counter()
            database.copy(connection, "floor", rows)
            spent += time.perf_counter() - started
        started = time.perf_counter()
    return spent + time.perf_counter() - started


def _encoded(database: Database, files: Path, session: date) -> EncodedRows:
    name = key_of(STOCK_DAYS, session)
    text = decompress((files / name).read_bytes(), name)
    bars = clean_bars(parse_day_file(text, name), session).bars
    return database.encode("ohlcv_daily", session, bars.with_columns(source=pl.lit("flatfile")))


def _day(database: Database, files: Path) -> Iterator[Measure]:
    """One new session a round into a month that exists, as in the nightly run; the peer writes to a table like it."""
    database.execute("DROP TABLE IF EXISTS peer")
    database.execute("CREATE TABLE peer (LIKE ohlcv_daily INCLUDING ALL)")
    ours, peers = [], []
    for session in YEAR[-7:]:
        database.execute("DELETE FROM ohlcv_daily WHERE time = session_time(%s)", (session,))
        database.execute("DELETE FROM load_manifest WHERE session_date = %s", (session,))
        ours.append(
            _seconds(lambda day=session: load_bars(database, FolderVendor(files), [day], lambda s: False))
        )
        peers.append(_seconds(lambda day=session: _csv_and_upsert(database, files, day)))
    ratio = round(median(p / o for p, o in zip(peers, ours, strict=True)), 1)
    peer = f"csv module and upserts of 5,000 rows: {1000 * median(peers):.0f} ms against {1000 * median(ours):.0f} ms"
    yield Measure("one day, gz to committed", ratio, "x faster", peer, f">= {MUST_DAY}", ratio >= MUST_DAY)


def _csv_and_upsert(database: Database, files: Path, session: date) -> None:
    """The usual pattern: a dictionary a row, then INSERT ... VALUES of many rows ... ON CONFLICT DO UPDATE."""
    text = gzip.decompress((files / key_of(STOCK_DAYS, session)).read_bytes()).decode()
    at = calendar.session_time(session)
    rows = [
        (at, r["ticker"], float(r["open"]), float(r["high"]), float(r["low"]), float(r["close"]), float(r["volume"]))
        for r in csv.DictReader(io.StringIO(text))
    ]  # fmt: skip
    _upsert(
        database,
        "peer",
        ["time", "symbol", "open", "high", "low", "close", "volume", "source"],
        [(*row, "flatfile") for row in rows],
        ["symbol", "time"],
        5000,
    )


def _upsert(
    database: Database, table: str, columns: list[str], rows: list[tuple], key: list[str], batch: int
) -> None:
    values = f"({', '.join(['%s'] * len(columns))})"
    changed = ", ".join(f"{c} = excluded.{c}" for c in columns if c not in key)
    with database.transaction() as connection:
        import psycopg

        cursor = psycopg.ClientCursor(connection)
        for start in range(0, len(rows), batch):
            part = rows[start : start + batch]
            cursor.execute(
                f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([values] * len(part))} "
                f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changed}",
                [value for row in part for value in row],
            )


def _unchanged(database: Database, files: Path) -> Iterator[Measure]:
    """The same session again: the first load against the run that finds nothing new."""
    firsts, seconds, written = [], [], 0
    for session in YEAR[-7:]:
        database.execute("DELETE FROM ohlcv_daily WHERE time = session_time(%s)", (session,))
        database.execute("DELETE FROM load_manifest WHERE session_date = %s", (session,))

        def load(day: date = session) -> None:
            load_bars(database, FolderVendor(files), [day], lambda s: False)

        firsts.append(_seconds(load))
        before = _writing_transactions(database)
        seconds.append(_seconds(load))
        written += _writing_transactions(database) - before
    ratio = round(median(b / a for a, b in zip(firsts, seconds, strict=True)), 3)
    peer = f"its first load: {1000 * median(seconds):.1f} ms against {1000 * median(firsts):.0f} ms"
    yield Measure("unchanged file again", ratio, "x", peer, f"<= {MUST_UNCHANGED}", ratio <= MUST_UNCHANGED)
    peer = "a transaction that writes a row takes a number"
    yield Measure("unchanged file again", written, "writing transactions", peer, "0", written == 0)


def _writing_transactions(database: Database) -> int:
    """How many transactions have written anything so far, up to a constant."""
    return int(database.value("SELECT pg_snapshot_xmax(pg_current_snapshot())::text"))


# -- contracts --------------------------------------------------------------------------------------------------------


def _store(database: Database) -> Iterator[Measure]:
    """125,000 contracts of one session, from the frame to committed, against upserts of 2,000 rows."""
    raw = fetch_bench.watchlist_chain()
    session = calendar.session_offset(page_server.FIRST_EXPIRY, -1)
    no_spot = pl.DataFrame(schema={"symbol": pl.String, "spot": pl.Float64})
    chain = clean_chain(raw, no_spot, session, live_since=session).chain
    columns = chain.columns
    database.execute("DROP TABLE IF EXISTS peer_chains")
    database.execute("CREATE TABLE peer_chains (LIKE options_chains INCLUDING ALL)")
    ours, peers = [], []
    for session in YEAR[-ROUNDS:]:

        def store(day: date = session) -> None:
            with database.transaction() as connection:
                database.replace_session(connection, "options_chains", day, chain)

        def upsert(day: date = session) -> None:
            at = calendar.session_time(day)
            rows = [(at, *row) for row in chain.iter_rows()]
            _upsert(database, "peer_chains", ["time", *columns], rows, ["symbol", "time", "contract"], 2000)

        ours.append(_seconds(store))
        peers.append(_seconds(upsert))
    ratio = round(median(p / o for p, o in zip(peers, ours, strict=True)), 1)
    peer = f"upserts of 2,000 rows: {median(peers):.1f} s against {median(ours):.2f} s for {chain.height:,} contracts"
    yield Measure("store contracts", ratio, "x faster", peer, f">= {MUST_STORE}", ratio >= MUST_STORE)


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


# -- memory -----------------------------------------------------------------------------------------------------------


def _memory(home: Path, files: Path) -> Measure:
    """Three years of 15,000 symbols in a process of its own; the database's memory counts too."""
    environment = os.environ | {"KAPMAN_HOME": str(home), "PYTHONPATH": str(ROOT)}
    seen = observe([sys.executable, "-m", "benchmarks.load_bench", str(files)], environment)
    if seen.exit_code:
        raise RuntimeError(f"the load of three years failed: {seen.output[-2000:]}")
    gigabytes = round(seen.peak_bytes / 1e9, 2)
    peer = f"limit of the issue; {len(YEARS)} sessions, {seen.output.strip().splitlines()[-1]}, {seen.seconds:.0f} s"
    return Measure("three years", gigabytes, "GB", peer, f"<= {MUST_GB}", gigabytes <= MUST_GB)


def _load_three_years(files: Path) -> None:
    with _database(Path(os.environ["KAPMAN_HOME"])) as database:
        load_bars(database, FolderVendor(files), YEARS, lambda session: False)
        print(f"{database.value('SELECT count(*) FROM ohlcv_daily'):,} rows")


if __name__ == "__main__":
    _load_three_years(Path(sys.argv[1]))
