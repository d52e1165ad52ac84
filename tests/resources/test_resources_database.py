"""Database: exact frames out, whole sessions in, all or nothing, and one instant that keys a session."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import polars as pl
import psycopg
import pytest
from psycopg_pool import PoolTimeout

from kapman_resources import calendar
from kapman_resources.database import Database, DatabaseError
from kapman_resources.database.core import Connection

SESSION, NEXT = date(2026, 5, 5), date(2026, 5, 6)


def bars(*symbols: str, close: float = 10.0) -> pl.DataFrame:
    return pl.DataFrame({"symbol": list(symbols)}, schema={"symbol": pl.String}).with_columns(
        open=pl.lit(10.0), high=pl.lit(max(close, 10.0)), low=pl.lit(9.0), close=pl.lit(close),
        volume=pl.lit(1234.5), vwap=pl.lit(None, pl.Float64), source=pl.lit("flatfile"),
    )  # fmt: skip


def stored(database: Database, session: date = SESSION) -> dict[str, float]:
    rows = database.rows(
        "SELECT symbol, close FROM ohlcv_daily WHERE time = session_time(%s) ORDER BY 1", (session,)
    )
    return {row["symbol"]: row["close"] for row in rows}


def replace(database: Database, session: date, frame: pl.DataFrame, **more: Any) -> int:
    with database.transaction() as connection:
        return database.replace_session(connection, "ohlcv_daily", session, frame, **more)


# --- reading ------------------------------------------------------------------------------------------------


def test_a_frame_keeps_symbols_that_look_like_nulls_numbers_and_booleans(database: Database) -> None:
    symbols = ["NA", "TRUE", "", None, "null", "1.50", 'a"b,\nc', "é\U0001f600", "NaN", " x "]
    got = database.frame(
        "SELECT s FROM unnest(%(symbols)s::text[]) WITH ORDINALITY AS u (s, n) ORDER BY n",
        {"symbols": symbols},
        {"symbol": pl.String},
    )
    assert got["symbol"].to_list() == symbols


def test_a_frame_has_exactly_the_schema_that_was_asked_for(database: Database) -> None:
    schema = {"flag": pl.Boolean, "x": pl.Float64, "n": pl.Int64, "day": pl.Date, "text": pl.String}
    got = database.frame(
        """SELECT * FROM (VALUES (true, 'Infinity'::float8, 9223372036854775807, date '9999-12-31', 'a'),
                                 (false, 'NaN', -1, '0001-01-01', ''), (NULL, NULL, NULL, NULL, NULL),
                                 (true, 5e-324, 0, '2026-05-05', 'NA')) v""",
        {},
        schema,
    )
    assert dict(got.schema) == schema
    assert got["flag"].to_list() == [True, False, None, True]
    assert got["x"].to_list()[0] == float("inf") and got["x"].is_nan().to_list()[1]
    assert got["x"].to_list()[2:] == [None, 5e-324]
    assert got["n"].to_list() == [2**63 - 1, -1, None, 0]
    assert got["day"].to_list() == [date.max, date.min, None, SESSION]
    assert got["text"].to_list() == ["a", "", None, "NA"]


def test_a_frame_without_rows_keeps_its_schema(database: Database) -> None:
    got = database.frame(
        "SELECT symbol, true FROM tickers WHERE false", {}, {"s": pl.String, "b": pl.Boolean}
    )
    assert got.height == 0 and dict(got.schema) == {"s": pl.String, "b": pl.Boolean}


def test_a_parameter_of_a_frame_is_a_value_and_never_sql(database: Database) -> None:
    nasty = "100%s'); DROP TABLE tickers; --"
    got = database.frame("SELECT %(x)s, '5%%'", {"x": nasty}, {"x": pl.String, "y": pl.String})
    assert got.row(0) == (nasty, "5%")
    assert database.value("SELECT count(*) FROM tickers") == 26


def test_every_double_survives_the_way_in_and_out(database: Database) -> None:
    prices = [0.1, 1 / 3, 1e-300, 1.7976931348623157e308, 123456.789]
    frame = bars(*"ABCDE").with_columns(
        open=pl.Series(prices), high=pl.Series(prices), low=pl.Series(prices), close=pl.Series(prices)
    )
    replace(database, SESSION, frame)
    got = database.frame("SELECT close FROM ohlcv_daily ORDER BY symbol", {}, {"close": pl.Float64})
    assert got["close"].to_list() == prices


# --- writing ------------------------------------------------------------------------------------------------


def test_replacing_a_session_leaves_only_the_new_rows_and_other_sessions_alone(database: Database) -> None:
    replace(database, SESSION, bars("A", "B"))
    replace(database, NEXT, bars("A"))
    assert replace(database, SESSION, bars("B", "C", close=11.0)) == 2
    assert stored(database) == {"B": 11.0, "C": 11.0}
    assert stored(database, NEXT) == {"A": 10.0}


@pytest.mark.parametrize("names", [["B", "C"], ("B", "C")])
def test_replacing_some_symbols_leaves_the_others(database: Database, names: Any) -> None:
    replace(database, SESSION, bars("A", "B", "C"))
    assert replace(database, SESSION, bars("B", close=11.0), symbols=names) == 1
    assert stored(database) == {"A": 10.0, "B": 11.0}
    replace(database, SESSION, bars(), symbols=[])
    assert stored(database) == {"A": 10.0, "B": 11.0}


def test_an_empty_frame_empties_its_session(database: Database) -> None:
    replace(database, SESSION, bars("A"))
    assert replace(database, SESSION, bars()) == 0
    assert stored(database) == {}


def test_a_rerun_of_a_session_stores_the_same_bytes(database: Database) -> None:
    checksum = "SELECT md5(string_agg(o::text, '|' ORDER BY symbol)) FROM ohlcv_daily o"
    replace(database, SESSION, bars("A", "B", close=1 / 3 + 10))
    first = database.value(checksum)
    replace(database, SESSION, bars("B", "A", close=1 / 3 + 10))
    assert database.value(checksum) == first


def test_an_exception_after_the_write_leaves_the_old_rows(database: Database) -> None:
    replace(database, SESSION, bars("A", "B"))
    with pytest.raises(RuntimeError, match="in the middle"), database.transaction() as connection:
        database.replace_session(connection, "ohlcv_daily", SESSION, bars("C"))
        database.replace_session(connection, "ohlcv_daily", date(2030, 1, 2), bars("C"))
        raise RuntimeError("in the middle")
    assert stored(database) == {"A": 10.0, "B": 10.0}
    assert database.value("SELECT to_regclass('ohlcv_daily_2030_01')") is None


def test_a_connection_killed_in_the_middle_leaves_the_old_rows(database: Database) -> None:
    replace(database, SESSION, bars("A"))
    with pytest.raises(psycopg.Error), database.transaction() as connection:
        database.replace_session(connection, "ohlcv_daily", SESSION, bars("B", "C"))
        database.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))
        connection.execute("SELECT 1")
    assert stored(database) == {"A": 10.0}


def test_a_row_given_twice_stores_nothing(database: Database) -> None:
    replace(database, SESSION, bars("A"))
    with pytest.raises(psycopg.errors.UniqueViolation):
        replace(database, SESSION, bars("B", "B"))
    assert stored(database) == {"A": 10.0}


def test_a_column_or_table_that_does_not_exist_is_named(database: Database) -> None:
    with pytest.raises(ValueError, match="table ohlcv_daily has no column colour"):
        replace(database, SESSION, bars("A").with_columns(colour=pl.lit("red")))
    missing = pytest.raises(DatabaseError, match=r"table nowhere does not exist: run `\./kapman migrate`")
    with missing, database.transaction() as connection:
        database.copy(connection, "nowhere", bars("A"))


def test_documents_arrays_and_decimals_go_in_exactly(database: Database) -> None:
    frame = pl.DataFrame(
        {
            "symbol": ["A", "B"],
            "events_detected": [["SC", "AR"], []],
            "events_json": ['{"b":[1.5,null],"a":"é\\"x"}', None],
            "rsi_14": [0.1, None],
            "bc_score": [28.0, None],
            "obv": [-(2**62), None],
            "wyckoff_phase": ["A", None],
            "model_version": ["1", "1"],
            "data_quality": ["complete", "partial"],
        }
    )
    with database.transaction() as connection:
        database.replace_session(connection, "daily_snapshots", SESSION, frame)
    first, second = database.rows(
        "SELECT events_detected, events_json, rsi_14::text, bc_score, obv, wyckoff_phase "
        "FROM daily_snapshots ORDER BY symbol"
    )
    assert first == {
        "events_detected": ["SC", "AR"], "events_json": {"a": 'é"x', "b": [1.5, None]}, "rsi_14": "0.1",
        "bc_score": 28, "obv": -(2**62), "wyckoff_phase": "A",
    }  # fmt: skip
    assert second["events_detected"] == [] and second["events_json"] is None and second["obv"] is None


def test_a_generated_column_is_not_asked_for_and_is_computed(database: Database) -> None:
    frame = pl.DataFrame(
        {
            "symbol": "A",
            "total_call_oi": 8,
            "total_put_oi": 2,
            "contract_count": 3,
            "contracts_with_greeks": 3,
        }
    )
    with database.transaction() as connection:
        database.replace_session(connection, "options_daily_summary", SESSION, frame)
    assert database.value("SELECT put_call_oi_ratio::float8 FROM options_daily_summary") == 0.25


# --- partitions ---------------------------------------------------------------------------------------------


def test_a_month_without_a_partition_gets_one_and_it_is_found_again(database: Database) -> None:
    ask = "SELECT ensure_partition('ohlcv_daily', %s)"
    assert database.value("SELECT to_regclass('ohlcv_daily_2026_03')") is None
    assert database.value(ask, (date(2026, 3, 31),)) == "ohlcv_daily_2026_03"
    assert database.value(ask, (date(2026, 3, 2),)) == "ohlcv_daily_2026_03"
    assert database.value(ask, (date(2026, 12, 31),)) == "ohlcv_daily_2026_12"
    assert database.value("SELECT ensure_partition('tickers', %s)", (SESSION,)) is None


def test_the_partitions_of_a_year_with_both_clock_changes_have_no_gap_and_no_overlap(
    database: Database,
) -> None:
    sessions = calendar.sessions_between(date(2025, 12, 1), date(2027, 1, 31))
    edges = [s for s, after in pairwise(sessions) if s.month != after.month]
    for session in [*edges, *(calendar.session_offset(s, 1) for s in edges)]:
        replace(database, session, bars("A"))
    assert database.value("SELECT count(*) FROM ohlcv_daily") == 2 * len(edges)
    partitions = database.rows(
        "SELECT tableoid::regclass::text AS name, session_of(time) AS day FROM ohlcv_daily ORDER BY time"
    )
    assert all(row["name"] == f"ohlcv_daily_{row['day']:%Y_%m}" for row in partitions)


@pytest.mark.parametrize(
    "sessions",
    [
        [date(2031, month, 3) for month in (1, 2, 3, 4, 6, 7, 9, 11)],  # a new month each
        [date(2031, 3, day) for day in (3, 4, 5, 6, 7, 10, 11, 12)],  # all in one new month
    ],
    ids=["different months", "one month"],
)
def test_loads_of_new_months_at_once_wait_for_each_other(database: Database, sessions: list[date]) -> None:
    start = threading.Barrier(len(sessions), timeout=20)
    with Database(database.url, max_size=8) as pool, ThreadPoolExecutor(8) as threads:

        def load(session: date) -> int:
            start.wait()
            return replace(pool, session, bars("A", "B"))

        assert list(threads.map(load, sessions)) == [2] * 8
    assert database.value("SELECT count(*) FROM ohlcv_daily") == 16


# --- the one instant of a session ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "columns", "values"),
    [
        ("ohlcv_daily", "open, high, low, close, volume, source", "1, 1, 1, 1, 1, 'x'"),
        (
            "options_chains",
            "contract, expiration, strike, option_type, shares_per_contract, is_standard, is_live",
            "'O:A', '2026-06-19', 1, 'call', 100, true, true",
        ),
        ("options_daily_summary", "contract_count, contracts_with_greeks", "1, 1"),
        ("daily_snapshots", "model_version, data_quality", "'1', 'complete'"),
    ],
)
def test_a_stamp_that_is_not_new_york_midnight_is_refused_in_winter_and_in_summer(
    database: Database, table: str, columns: str, values: str
) -> None:
    def insert(connection: Connection, at: datetime) -> None:
        connection.execute(f"INSERT INTO {table} (time, symbol, {columns}) VALUES (%s, 'A', {values})", (at,))

    for session, wrong_hour in ((date(2026, 3, 6), 4), (date(2026, 3, 9), 5), (date(2025, 11, 3), 4)):
        database.value("SELECT ensure_partition(%s, %s)", (table, session))
        midnight = calendar.session_time(session)
        wrong = [
            datetime(session.year, session.month, session.day, wrong_hour, tzinfo=UTC),
            datetime(session.year, session.month, session.day, tzinfo=UTC),
            midnight + timedelta(microseconds=1),
            midnight + timedelta(hours=16),
        ]
        for at in wrong:
            with (
                pytest.raises(psycopg.errors.CheckViolation) as refused,
                database.transaction() as connection,
            ):
                insert(connection, at)
            assert refused.value.diag.constraint_name == "midnight_new_york"
        with database.transaction() as connection:
            insert(connection, midnight)
    assert database.value(f"SELECT count(*) FROM {table}") == 3


def test_sql_and_python_agree_on_the_instant_of_every_session(database: Database) -> None:
    sessions = calendar.sessions_between(date(2000, 1, 1), date(2035, 12, 31))
    rows = database.frame(
        "SELECT extract(epoch FROM session_time(d))::bigint, session_of(session_time(d)) "
        "FROM unnest(%(days)s::date[]) WITH ORDINALITY AS u (d, n) ORDER BY n",
        {"days": sessions},
        {"at": pl.Int64, "day": pl.Date},
    )
    assert rows["day"].to_list() == sessions
    assert rows["at"].to_list() == [int(calendar.session_time(day).timestamp()) for day in sessions]


# --- a server that is not there -----------------------------------------------------------------------------


def test_an_unreachable_server_gives_one_line_with_address_reason_and_way_out() -> None:
    with pytest.raises(DatabaseError) as refused:
        Database("postgresql://me:hidden@127.0.0.1:1/none").value("SELECT 1")
    said = str(refused.value)
    assert said.startswith("no PostgreSQL at host=127.0.0.1 port=1 dbname=none: ")
    assert "Connection refused" in said and "Check DATABASE_URL" in said
    assert "hidden" not in said and "\n" not in said


def test_a_database_that_does_not_exist_is_named(postgres_server: Any) -> None:
    with pytest.raises(DatabaseError, match=r'dbname=absent: .*database "absent" does not exist'):
        Database(postgres_server.get_uri("absent")).value("SELECT 1")


def test_a_pool_in_full_use_is_not_mistaken_for_a_dead_server(database: Database) -> None:
    with Database(database.url, max_size=1) as small:
        with small.transaction():
            small._pool.timeout = 0.2
            with pytest.raises(PoolTimeout):
                small.value("SELECT 1")
        assert small.value("SELECT 1") == 1
