"""The market's bars through their files: absent, present, damaged or outdated, the answer is the database's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from kapman_resources.database import Database
from kapman_resources.market_bars import MARKET_BAR_SCHEMA, market_bars

SESSIONS = [date(2026, 3, 30), date(2026, 3, 31), date(2026, 4, 1), date(2026, 4, 2)]
FIRST, LAST = SESSIONS[0], SESSIONS[-1]


def load(database: Database, session: date, price: float = 10.0, symbols: str = "A BRK.B CCpD") -> None:
    """A session's bars and their manifest row in one transaction, as ingestion writes them."""
    names = symbols.split()
    close = [price + n + session.day / 100 for n in range(len(names))]
    bars = pl.DataFrame({"symbol": names, "close": close, "volume": [1e6 + n for n in range(len(names))]})
    bars = bars.with_columns(
        open=pl.col("close"), high=pl.col("close") * 1.01, low=pl.col("close") / 3, source=pl.lit("flatfile")
    )
    with database.transaction() as connection:
        database.replace_session(connection, "ohlcv_daily", session, bars)
        connection.execute(
            "INSERT INTO load_manifest (dataset, session_date, source, etag, row_count) "
            "VALUES ('ohlcv_daily', %s, 'flatfile', %s, %s) "
            "ON CONFLICT (dataset, session_date, symbol, source) DO UPDATE SET etag = excluded.etag, loaded_at = now()",
            (session, str(price), len(names)),
        )


@pytest.fixture
def stored(database: Database) -> Database:
    for session in SESSIONS:
        load(database, session)
    return database


@pytest.fixture
def read(stored: Database, tmp_path: Path) -> Callable[[], pl.DataFrame]:
    def everything() -> pl.DataFrame:
        with market_bars(stored, tmp_path, FIRST, LAST) as bars:
            return bars.between(FIRST, LAST, "A", "z")

    return everything


def in_database(database: Database) -> pl.DataFrame:
    statement = "SELECT symbol, session_of(time), high, low, close, volume FROM ohlcv_daily"
    return database.frame(statement, {}, MARKET_BAR_SCHEMA).sort("symbol", "date")


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet"))


def test_bars_are_the_databases_to_the_last_bit_whether_or_not_there_are_files(
    stored: Database, read: Callable[[], pl.DataFrame], tmp_path: Path
) -> None:
    assert read().equals(in_database(stored))
    made = {file.name: file.stat().st_mtime_ns for file in files(tmp_path)}
    assert len(made) == 2
    assert read().equals(in_database(stored))
    assert made == {file.name: file.stat().st_mtime_ns for file in files(tmp_path)}  # nothing was made again


@pytest.mark.parametrize("damage", ["truncated", "a bit", "empty", "another month", "text", "removed"])
def test_a_damaged_file_is_made_again(
    stored: Database, read: Callable[[], pl.DataFrame], tmp_path: Path, damage: str
) -> None:
    read()
    file, other = files(tmp_path)
    content = bytearray(file.read_bytes())
    if damage == "truncated":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "a bit":
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    elif damage == "another month":
        file.write_bytes(other.read_bytes())
    elif damage == "removed":
        file.unlink()
    else:
        file.write_text("" if damage == "empty" else "not a file of bars")
    assert read().equals(in_database(stored))
    assert len(files(tmp_path)) == 2


def test_a_replaced_session_makes_its_month_again_and_no_other(
    stored: Database, read: Callable[[], pl.DataFrame], tmp_path: Path
) -> None:
    read()
    before = {file.name for file in files(tmp_path)}
    load(stored, SESSIONS[1], price=99.0)
    assert read().equals(in_database(stored))
    after = {file.name for file in files(tmp_path)}
    assert len(after) == 2
    assert {name[:7] for name in before & after} == {"2026-04"}


def test_a_new_session_and_a_month_that_was_dropped_are_seen(
    stored: Database, read: Callable[[], pl.DataFrame], tmp_path: Path
) -> None:
    read()
    stored.execute("DROP TABLE ohlcv_daily_2026_03")
    stored.execute("DELETE FROM load_manifest WHERE session_date < '2026-04-01'")
    load(stored, date(2026, 4, 6))
    assert read().equals(in_database(stored).filter(pl.col("date") <= LAST))
    assert [file.name[:7] for file in files(tmp_path)] == ["2026-04"]


def test_a_file_that_another_database_made_is_not_taken_for_ones_own(
    stored: Database, read: Callable[[], pl.DataFrame], tmp_path: Path
) -> None:
    read()
    for session in SESSIONS:
        stored.execute("DELETE FROM load_manifest WHERE session_date = %s", (session,))
        load(stored, session, symbols="X Y")  # equal file names of the vendor, other rows
    assert read().equals(in_database(stored))


def test_symbols_and_ranges_are_bounded_on_both_sides(stored: Database, tmp_path: Path) -> None:
    load(stored, SESSIONS[2], symbols="A CCpD NEW")
    with market_bars(stored, tmp_path, FIRST, LAST) as bars:
        assert bars.symbols(SESSIONS[2]) == ["A", "CCpD", "NEW"]
        assert bars.symbols(date(2026, 4, 7)) == []
        some = bars.between(SESSIONS[1], SESSIONS[2], "B", "CCpD")
    assert some["symbol"].unique().sort().to_list() == ["BRK.B", "CCpD"]
    assert some["date"].unique().sort().to_list() == SESSIONS[1:3]


def test_an_empty_database_has_no_bars(database: Database, tmp_path: Path) -> None:
    with market_bars(database, tmp_path / "new", FIRST, LAST) as bars:
        assert bars.symbols(FIRST) == []
        assert bars.between(FIRST, LAST, "A", "Z").schema == MARKET_BAR_SCHEMA


def test_a_second_reader_waits_so_that_no_file_goes_from_under_the_first(
    stored: Database, tmp_path: Path
) -> None:
    entered = threading.Event()

    def second() -> None:
        with market_bars(stored, tmp_path, FIRST, LAST):
            entered.set()

    with market_bars(stored, tmp_path, FIRST, LAST):
        other = threading.Thread(target=second)
        other.start()
        assert not entered.wait(0.2)
    other.join(10)
    assert entered.is_set()
