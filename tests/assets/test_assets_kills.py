"""SIGKILL at random moments of a 60-session load: only whole sessions are stored, and the next run completes them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest

from benchmarks.market_files import FolderVendor, write_day_files
from kapman_assets.bar_loading import load_bars
from kapman_resources import calendar
from kapman_resources.database import Database

SESSIONS = calendar.sessions_between(date(2026, 3, 16), date(2026, 6, 9))
SYMBOLS = 2_000
LOADER = """
import sys
from pathlib import Path
from benchmarks.market_files import FolderVendor
from kapman_assets.bar_loading import load_bars
from kapman_resources.database import Database
from tests.assets.test_assets_kills import SESSIONS
with Database(sys.argv[1]) as database:
    database.value("SELECT 1")
    print("loading", flush=True)
    load_bars(database, FolderVendor(Path(sys.argv[2])), SESSIONS, lambda session: False)
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write_day_files(folder, SESSIONS, SYMBOLS)
    return folder


def kill_while_loading(database: Database, files: Path, repository: Path, moment: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", LOADER, database.url, str(files)],
        cwd=repository,
        env=os.environ | {"PYTHONPATH": str(repository)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "loading\n"
    time.sleep(moment)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def whole_sessions(database: Database) -> int:
    """Sessions stored; every one of them has each symbol once, as its manifest row says, and none is without one."""
    rows = database.rows(
        "SELECT coalesce(m.session_date, b.session_date) AS day, m.row_count, b.rows, b.symbols "
        "FROM (SELECT * FROM load_manifest WHERE dataset = 'ohlcv_daily') m FULL JOIN "
        "(SELECT session_of(time) AS session_date, count(*) AS rows, count(DISTINCT symbol) AS symbols "
        "FROM ohlcv_daily GROUP BY 1) b USING (session_date)"
    )
    for row in rows:
        assert row["row_count"] == row["rows"] == row["symbols"] == SYMBOLS, row
    leftovers = database.value(
        "SELECT count(*) FROM pg_class c WHERE relname LIKE 'ohlcv_daily_2026___' AND NOT relispartition"
    )
    assert leftovers == 0
    return len(rows)


def start_again(database: Database, *, with_partitions: bool) -> None:
    """An empty table; with its partitions the sessions go one by one, without them month by month."""
    for row in database.rows(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'ohlcv_daily'::regclass"
    ):
        database.execute(f"{'TRUNCATE' if with_partitions else 'DROP TABLE'} {row['name']}")
    database.execute("TRUNCATE load_manifest, rejected_rows")


def rounds(database: Database, files: Path, repository: Path, kills: int) -> None:
    dice = random.Random(7)
    interrupted, stored, by_session = 0, 0, False
    started = time.monotonic()
    load_bars(database, FolderVendor(files), SESSIONS, lambda session: False)
    length = time.monotonic() - started
    start_again(database, with_partitions=by_session)
    for _ in range(kills):
        kill_while_loading(database, files, repository, dice.uniform(0, length))
        now = whole_sessions(database)
        assert now >= stored  # nothing is lost
        interrupted += now < len(SESSIONS)
        stored = now
        if stored == len(SESSIONS):
            by_session, stored = not by_session, 0
            start_again(database, with_partitions=by_session)
    load_bars(database, FolderVendor(files), SESSIONS, lambda session: False)
    assert whole_sessions(database) == len(SESSIONS)
    assert interrupted >= kills / 3, "most kills came too late: the test proves nothing"


def test_a_few_kills_of_a_load_lose_and_double_nothing(
    database: Database, files: Path, repository: Path
) -> None:
    rounds(database, files, repository, 3)


@pytest.mark.long
def test_fifty_kills_of_a_load_lose_and_double_nothing(
    database: Database, files: Path, repository: Path
) -> None:
    rounds(database, files, repository, 50)
