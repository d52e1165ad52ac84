"""Sessions written in order: whole months through a fresh table, known months one by one, and nothing half."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import polars as pl
import psycopg
import pytest

from kapman_resources import calendar
from kapman_resources.database import Database
from kapman_resources.database.core import Connection
from kapman_resources.database.session_writer import SessionWriter

SPRING = calendar.sessions_between(date(2026, 3, 25), date(2026, 4, 10))


def bars(*symbols: str, close: float = 10.0) -> pl.DataFrame:
    prices = dict.fromkeys(("open", "high", "low", "close"), pl.lit(close))
    return pl.DataFrame({"symbol": symbols}).with_columns(**prices, volume=100.0, source=pl.lit("flatfile"))


def nothing(connection: Connection) -> None:
    """Records nothing."""


def write(
    database: Database, sessions: list[date], fails_at: date | None = None, error: BaseException | None = None
) -> None:
    with SessionWriter(database, "ohlcv_daily", before_commit=nothing) as writer:
        for session in sessions:
            if session == fails_at and error is not None:
                raise error
            writer.write(session, database.encode("ohlcv_daily", session, bars("A", "B")), nothing)


def stored(database: Database) -> list[date]:
    rows = database.rows(
        "SELECT session_of(time) AS day, count(*) AS n FROM ohlcv_daily GROUP BY 1 ORDER BY 1"
    )
    assert all(row["n"] == 2 for row in rows)
    return [row["day"] for row in rows]


def partitions(database: Database) -> list[str]:
    rows = database.rows(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'ohlcv_daily'::regclass ORDER BY 1"
    )
    return [row["name"] for row in rows]


def tables(database: Database) -> list[str]:
    rows = database.rows("SELECT relname FROM pg_class WHERE relname LIKE 'ohlcv_daily_2026___' ORDER BY 1")
    return [row["relname"] for row in rows]


def test_months_without_a_partition_get_one_each_with_keys_and_without_leftovers(database: Database) -> None:
    write(database, SPRING)
    assert stored(database) == SPRING
    assert partitions(database) == ["ohlcv_daily_2026_03", "ohlcv_daily_2026_04"]
    leftovers = "SELECT count(*) FROM pg_constraint WHERE conname = 'within_month'"
    assert database.value(leftovers) == 0
    with pytest.raises(psycopg.errors.UniqueViolation):
        database.execute("INSERT INTO ohlcv_daily SELECT * FROM ohlcv_daily LIMIT 1")


def test_a_month_that_exists_is_written_session_by_session(database: Database) -> None:
    write(database, SPRING[1:2])
    write(database, SPRING)
    write(database, SPRING)
    assert stored(database) == SPRING


@pytest.mark.parametrize("error", [RuntimeError("the vendor is away"), KeyboardInterrupt()])
def test_when_something_else_fails_the_sessions_before_it_are_kept(
    database: Database, error: BaseException
) -> None:
    failing = SPRING[-3]
    with pytest.raises(type(error)):
        write(database, SPRING, fails_at=failing, error=error)
    assert stored(database) == [session for session in SPRING if session < failing]
    write(database, SPRING)
    assert stored(database) == SPRING


@pytest.mark.parametrize(
    "sabotage", [lambda c: c.execute("SELECT 1/0"), lambda c: (_ for _ in ()).throw(ValueError("x"))]
)
def test_a_session_that_cannot_be_recorded_takes_its_month_with_it_and_no_other(
    database: Database, sabotage: Callable[[Connection], object]
) -> None:
    with (
        pytest.raises((psycopg.Error, ValueError)),
        SessionWriter(database, "ohlcv_daily", nothing) as writer,
    ):
        for session in SPRING:
            record = sabotage if session == SPRING[-1] else nothing
            writer.write(session, database.encode("ohlcv_daily", session, bars("A", "B")), record)  # type: ignore[arg-type]
    assert stored(database) == [session for session in SPRING if session.month == 3]
    assert tables(database) == ["ohlcv_daily_2026_03"]


def test_what_is_recorded_commits_with_its_month(database: Database) -> None:
    """Until then nobody sees either; afterwards both are there."""
    key = "INSERT INTO load_manifest (dataset, session_date, source, row_count) VALUES ('ohlcv_daily', %s, 'flatfile', 2)"
    with Database(database.url) as reader, SessionWriter(database, "ohlcv_daily", nothing) as writer:
        for session in SPRING:
            rows = database.encode("ohlcv_daily", session, bars("A", "B"))
            writer.write(session, rows, lambda c, day=session: c.execute(key, (day,)))  # type: ignore[misc]
            seen = reader.rows("SELECT session_date FROM load_manifest ORDER BY 1")
            assert [row["session_date"] for row in seen] == stored(reader)
    assert stored(database) == SPRING


def test_the_last_step_before_a_commit_sees_the_rows(database: Database) -> None:
    seen: list[int] = []

    def count(connection: Connection) -> None:
        row = connection.execute("SELECT count(*) FROM ohlcv_daily").fetchone()
        seen.append(row[0] if row else -1)

    with SessionWriter(database, "ohlcv_daily", before_commit=count) as writer:
        for session in SPRING:
            writer.write(session, database.encode("ohlcv_daily", session, bars("A", "B")), nothing)
    march = sum(session.month == 3 for session in SPRING)
    assert seen == [2 * march, 2 * len(SPRING)]
