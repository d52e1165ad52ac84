"""Bars of the whole market, fast enough to compute from: PostgreSQL's rows held again as one Parquet file a month.

The files are a cache. The manifest names the month they were made of, so that a missing, damaged or outdated one is
made again and never changes an answer. Does not belong here: adjustment, listings, what is computed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from kapman_resources.database.core import Connection, Database
from kapman_resources.database.queries import query

FIELDS = ("high", "low", "close", "volume")
MARKET_BAR_SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    "date": pl.Date(),
    **{name: pl.Float64() for name in FIELDS},
}

_ROW_GROUP = 32_768  # rows; a range of symbols is read without decoding the others
_PG_EPOCH = date(2000, 1, 1)
# PostgreSQL's binary array of float8 without NULLs: a header of 20 bytes, then length and value of each
_ARRAY_HEADER, _ELEMENT = 20, np.dtype([("length", ">i4"), ("value", ">f8")])


class MarketBars:
    """Months of bars on disk; valid while the block of `market_bars` that gave it is open."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = list(files)

    def symbols(self, session: date) -> list[str]:
        """The symbols with a bar on the session, sorted."""
        return self._scan().filter(pl.col("date") == session).collect()["symbol"].sort().to_list()

    def between(self, first: date, last: date, lowest: str, highest: str) -> pl.DataFrame:
        """Bars as traded of [first, last] and of the symbols from `lowest` to `highest`, sorted by symbol and date.

        MARKET_BAR_SCHEMA.
        """
        wanted = pl.col("date").is_between(first, last) & pl.col("symbol").is_between(
            pl.lit(lowest), pl.lit(highest)
        )
        return self._scan().filter(wanted).collect().sort("symbol", "date")

    def _scan(self) -> pl.LazyFrame:
        if not self._files:
            return pl.LazyFrame(schema=MARKET_BAR_SCHEMA)
        return pl.scan_parquet(self._files)


@contextmanager
def market_bars(database: Database, folder: Path, first: date, last: date) -> Iterator[MarketBars]:
    """The stored bars of the months from `first` to `last`, as of the opening.

    Files that are missing or not what the manifest says are made first (some 0.8 s a million bars, and memory for one
    month). One process at a time: the next waits. Raises OSError when the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with database.transaction() as connection:
            # the manifest and the bars of one moment, whatever is loaded meanwhile
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            stamps = dict(connection.execute(query("stamps_of_bar_months")).fetchall())
            months = [m for m in sorted(stamps) if first.replace(day=1) <= m <= last]
            files = [_file(connection, folder, month, stamps[month]) for month in months]
        _forget(folder, stamps)
        yield MarketBars(files)


def _file(connection: Connection, folder: Path, month: date, stamp: str) -> Path:
    """The month's file, made when there is none, or none that is whole."""
    found = next(folder.glob(f"{month:%Y-%m}.{stamp}.*.parquet"), None)
    if found is not None and found.name.split(".")[2] == _digest(found):
        return found
    made = folder / f"{month:%Y-%m}.new"
    _read_month(connection, month).write_parquet(made, row_group_size=_ROW_GROUP)
    for outdated in folder.glob(f"{month:%Y-%m}.*.parquet"):
        outdated.unlink()
    path = folder / f"{month:%Y-%m}.{stamp}.{_digest(made)}.parquet"
    os.replace(made, path)
    return path


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:32]


def _forget(folder: Path, stamps: dict[date, str]) -> None:
    """Files of months that are no longer stored."""
    kept = {f"{month:%Y-%m}" for month in stamps}
    for file in folder.glob("*.parquet"):
        if file.name.split(".")[0] not in kept:
            file.unlink()


def _read_month(connection: Connection, month: date) -> pl.DataFrame:
    """MARKET_BAR_SCHEMA, sorted. Whole columns cross as binary arrays: a third of the time of a row each."""
    last = (month + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    with connection.cursor(binary=True) as cursor:
        cursor.execute(query("bars_by_session_as_arrays"), {"first": month, "last": last})
        answer = cursor.pgresult
        assert answer is not None
        sessions = [
            _session([answer.get_value(row, column) or b"" for column in range(answer.nfields)])
            for row in range(answer.ntuples)
        ]
    return pl.concat([pl.DataFrame(schema=MARKET_BAR_SCHEMA), *sessions]).sort("symbol", "date")


def _session(values: list[bytes]) -> pl.DataFrame:
    """One row of bars_by_session_as_arrays."""
    day, symbols, *arrays = values
    numbers = {
        name: np.frombuffer(array, _ELEMENT, offset=_ARRAY_HEADER)["value"].astype(np.float64)
        for name, array in zip(FIELDS, arrays, strict=True)
    }
    frame = pl.DataFrame({"symbol": symbols.decode().split(","), **numbers})
    session = _PG_EPOCH + timedelta(days=int.from_bytes(day, "big", signed=True))
    return frame.with_columns(date=pl.lit(session)).select(list(MARKET_BAR_SCHEMA))
