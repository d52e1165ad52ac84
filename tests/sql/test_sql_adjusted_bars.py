"""adjusted_bars in SQL against adjust_for_splits and listing_in_force in polars, on the real server."""

from __future__ import annotations

import time
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kapman_metrics.adjust import adjust_for_splits
from kapman_metrics.frames import BAR_SCHEMA, SPLIT_SCHEMA
from kapman_metrics.listings import LONGEST_HOLE_DAYS, listing_in_force
from kapman_resources.calendar import sessions_between
from kapman_resources.database import Database
from kapman_resources.database.queries import query

FIRST = date(2024, 11, 1)
SYMBOLS = ["A", "b", "BRK.B", "NA"]
NUMBERS = ["open", "high", "low", "close", "volume", "vwap"]


def store(database: Database, bars: pl.DataFrame, splits: pl.DataFrame, breaks: pl.DataFrame) -> None:
    """Replaces what the three tables hold; `splits` and `breaks` have their tables' columns."""
    stamp = pl.col("date").dt.replace_time_zone("America/New_York").dt.convert_time_zone("UTC").cast(_STAMP)
    rows = bars.with_columns(pl.col("date").cast(pl.Datetime("us")))
    rows = rows.select(stamp.alias("time"), pl.exclude("date"), pl.lit("flatfile").alias("source"))
    with database.transaction() as connection:
        for table in ("ohlcv_daily", "splits", "listing_breaks"):
            connection.execute(f"DELETE FROM {table}")
        for month in bars["date"].dt.truncate("1mo").unique():
            connection.execute("SELECT ensure_partition('ohlcv_daily', %s)", (month,))
        database.copy(connection, "ohlcv_daily", rows)
        database.copy(connection, "splits", splits)
        database.copy(connection, "listing_breaks", breaks)


_STAMP = pl.Datetime("us", "UTC")
_BREAKS = {"symbol": pl.String, "first_session": pl.Date, "reason": pl.String}


def bars_of(rows: list[tuple[str, date, float, float, float | None]]) -> pl.DataFrame:
    """symbol, date, close, volume, vwap as whole bars."""
    frame = pl.DataFrame(
        rows,
        schema={
            "symbol": pl.String,
            "date": pl.Date,
            "close": pl.Float64,
            "volume": pl.Float64,
            "vwap": pl.Float64,
        },
        orient="row",
    )
    return frame.select(
        "symbol", "date", pl.col("close").alias("open"), (pl.col("close") * 1.01).alias("high"),
        (pl.col("close") * 0.99).alias("low"), "close", "volume", "vwap",
    )  # fmt: skip


def splits_of(rows: list[tuple[str, date, float, float, bool]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={**SPLIT_SCHEMA, "is_applied": pl.Boolean}, orient="row").with_columns(
        pl.lit("vendor").alias("source")
    )


def breaks_of(rows: list[tuple[str, date]]) -> pl.DataFrame:
    return pl.DataFrame([(*row, "test") for row in rows], schema=_BREAKS, orient="row")


def by_sql(database: Database, as_of: date, first: date) -> pl.DataFrame:
    params = {"symbols": SYMBOLS, "first": first, "last": as_of}
    return database.frame(query("adjusted_bars_of_symbols"), params, BAR_SCHEMA)


def by_polars(
    bars: pl.DataFrame, splits: pl.DataFrame, breaks: pl.DataFrame, as_of: date, first: date
) -> pl.DataFrame:
    known = bars.filter(pl.col("date") >= first)
    return adjust_for_splits(
        listing_in_force(known, breaks, as_of), splits.filter("is_applied").select(*SPLIT_SCHEMA), as_of
    )


def assert_agree(ours: pl.DataFrame, other: pl.DataFrame) -> None:
    ours, other = ours.sort("symbol", "date"), other.sort("symbol", "date")
    assert ours.select("symbol", "date").equals(other.select("symbol", "date"))
    for name in NUMBERS:
        assert ours[name].is_null().equals(other[name].is_null())
        assert ((ours[name] - other[name]).abs() <= 1e-12 * other[name].abs()).all(), name


@st.composite
def histories(draw: st.DrawFn) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, date, date]:
    """Bars with holes around the longest allowed, splits on and off record, breaks, and two dates to read by."""
    bars, splits, breaks = [], [], []
    around = st.integers(-20, 400).map(lambda days: FIRST + timedelta(days=days))
    for symbol in SYMBOLS:
        day = FIRST + timedelta(days=draw(st.integers(0, 30)))
        steps = st.sampled_from([1, 1, 1, 3, 30, *range(LONGEST_HOLE_DAYS - 1, LONGEST_HOLE_DAYS + 3)])
        for step in draw(st.lists(steps, max_size=12)):
            price = draw(st.floats(0.01, 1e6))
            bars.append(
                (
                    symbol,
                    day,
                    price,
                    draw(st.integers(0, 10**12).map(lambda v: v / 1000)),
                    draw(st.sampled_from([None, price])),
                )
            )
            day += timedelta(days=step)
        ratio = st.sampled_from(
            [(1.0, 4.0), (1.0, 7.000007), (25.0, 1.0), (7.0, 8.0), (20.0, 21.0), (1.0, 1.238)]
        )
        for executed in draw(st.lists(around, max_size=5, unique=True)):
            splits.append((symbol, executed, *draw(ratio), draw(st.booleans())))
        breaks += [(symbol, first) for first in draw(st.lists(around, max_size=2, unique=True))]
    return bars_of(bars), splits_of(splits), breaks_of(breaks), draw(around), draw(around)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(histories())
def test_sql_and_polars_adjust_and_cut_alike(
    database: Database, history: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, date, date]
) -> None:
    bars, splits, breaks, as_of, first = history
    store(database, bars, splits, breaks)
    assert_agree(by_sql(database, as_of, first), by_polars(bars, splits, breaks, as_of, first))


def five_bars() -> pl.DataFrame:
    days = sessions_between(date(2025, 3, 6), date(2025, 3, 12))  # New York changes its clocks in between
    return bars_of([("A", day, 100.0 * (n + 1), 10.0, None) for n, day in enumerate(days)])


def closes(frame: pl.DataFrame) -> list[float]:
    return frame.sort("date")["close"].to_list()


def test_a_split_counts_in_sql_from_its_execution_day_and_a_refused_one_never(database: Database) -> None:
    bars = five_bars()
    day = bars["date"].to_list()
    splits = splits_of([("A", day[2], 1, 2, True), ("A", day[4], 1, 4, True), ("A", day[3], 1, 1.238, False)])
    store(database, bars, splits, breaks_of([]))
    assert closes(by_sql(database, day[1], FIRST)) == [100, 200]
    assert closes(by_sql(database, day[2], FIRST)) == [50, 100, 300]
    assert closes(by_sql(database, day[4], FIRST)) == [12.5, 25, 75, 100, 500]
    assert by_sql(database, day[4], FIRST)["volume"].to_list() == [80, 80, 40, 40, 10]
    assert closes(by_sql(database, day[4], day[3])) == [100, 500]


def test_sql_reads_from_the_first_bar_on_unless_told_otherwise(database: Database) -> None:
    bars = five_bars()
    store(database, bars, splits_of([]), breaks_of([]))
    found = database.rows("SELECT session, close FROM adjusted_bars('{A}', '2025-03-10')")
    assert [row["session"] for row in found] == bars["date"].to_list()[:3]


def test_a_break_counts_in_sql_from_its_first_session_on(database: Database) -> None:
    bars = five_bars()
    day = bars["date"].to_list()
    store(database, bars, splits_of([]), breaks_of([("A", day[2])]))
    assert closes(by_sql(database, day[1], FIRST)) == [100, 200]
    assert closes(by_sql(database, day[3], FIRST)) == [300, 400]


def test_a_hole_of_ninety_days_is_one_listing_in_sql_and_one_of_ninety_one_is_two(database: Database) -> None:
    start = date(2025, 1, 2)
    days = [start, start + timedelta(days=90), start + timedelta(days=181)]
    bars = bars_of([("A", day, 1.0 + n, 1.0, None) for n, day in enumerate(days)])
    store(database, bars, splits_of([]), breaks_of([]))
    assert closes(by_sql(database, days[1], FIRST)) == [1, 2]
    assert closes(by_sql(database, days[2], FIRST)) == [3]


@pytest.fixture
def two_years(database: Database) -> Database:
    """400 symbols over two years, and a split each."""
    days = sessions_between(date(2024, 6, 3), date(2026, 6, 1))
    closes_of = pl.DataFrame({"date": days, "close": [50.0 + n % 7 for n in range(len(days))]})
    symbols = pl.DataFrame({"symbol": [f"S{n:03d}" for n in range(400)]})
    every = symbols.join(closes_of, how="cross").with_columns(
        volume=pl.lit(1000.0), vwap=pl.lit(None, pl.Float64)
    )
    rows = every.select("symbol", "date", "close", "volume", "vwap").rows()
    splits = splits_of([(symbol, days[250], 1, 2, True) for symbol in symbols["symbol"]])
    store(database, bars_of(rows), splits, breaks_of([]))
    database.execute("ANALYZE")
    return database


def test_one_symbols_two_years_are_read_in_milliseconds(two_years: Database) -> None:
    with two_years.transaction() as connection:
        took = []
        for symbol in ("S007", "S111", "S222", "S333", "S399"):
            started = time.perf_counter()
            statement = "SELECT * FROM adjusted_bars(%s::text[], '2026-06-01', '2024-06-03')"
            rows = connection.execute(statement, ([symbol],)).fetchall()
            took.append(time.perf_counter() - started)
            assert len(rows) == 500
        explain = "EXPLAIN SELECT * FROM adjusted_bars('{S007}', '2026-06-01', '2024-06-03')"
        plan = "\n".join(line for (line,) in connection.execute(explain).fetchall())
    assert plan.count("Index Scan using ohlcv_daily_2") == 25, plan
    assert sorted(took)[2] < 0.1, took


def test_sql_and_polars_agree_on_recorded_bars_of_reused_tickers(
    database: Database, shared_data: Path
) -> None:
    recorded = pl.read_parquet(shared_data / "ohlcv" / "lean_raw_unadjusted_20.parquet").filter(
        pl.col("symbol").is_in(["FB", "EEM", "AAPL"])
    )
    frame = recorded.select(
        "symbol", "date", "close", pl.col("volume").cast(pl.Float64), vwap=pl.lit(None, pl.Float64)
    )
    bars = bars_of(frame.rows())
    splits = splits_of(
        [("AAPL", date(2014, 6, 9), 1, 7.000007, True), ("AAPL", date(2020, 8, 31), 1, 4, True)]
    )
    store(database, bars, splits, breaks_of([]))
    as_of = date(2021, 3, 31)
    params = {"symbols": ["FB", "EEM", "AAPL"], "first": date(1998, 1, 1), "last": as_of}
    found = database.frame(query("adjusted_bars_of_symbols"), params, BAR_SCHEMA)
    assert_agree(found, by_polars(bars, splits, breaks_of([]), as_of, date(1998, 1, 1)))
    first = dict(found.group_by("symbol").agg(pl.col("date").min()).rows())
    assert first == {"AAPL": date(1998, 1, 2), "EEM": date(2003, 4, 11), "FB": date(2012, 5, 18)}
