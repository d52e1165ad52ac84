"""The whole market's indicators night by night: complete, the same however they came about, never from the future."""

from __future__ import annotations

import shutil
from datetime import date

import polars as pl
import pytest
from assets_world import World

from kapman_assets import inputs
from kapman_metrics.indicators import SURFACE, technical_snapshot
from kapman_metrics.universe import UNIVERSE_COLUMNS
from kapman_resources import calendar, screener
from kapman_resources.database.queries import query

pytestmark = pytest.mark.slow

LAST = date(2026, 6, 12)
WORLD = (LAST, 40)
SESSIONS = [calendar.session_offset(LAST, -i) for i in reversed(range(3))]
TABLES = ("tickers", "splits", "ohlcv_daily", "universe_indicators")


def digest(world: World) -> dict[date, str]:
    rows = world.database.rows(
        "SELECT session_of(time) AS session, md5(string_agg(u::text, '|' ORDER BY symbol)) AS md5 "
        "FROM universe_indicators u GROUP BY 1"
    )
    return {row["session"]: row["md5"] for row in rows}


@pytest.fixture(scope="module")
def nights(shared_world: World) -> dict[date, str]:
    """Each session computed on its own night; the digests of its rows."""
    start = calendar.session_offset(SESSIONS[0], -320)
    before = calendar.session_offset(SESSIONS[0], -1)
    shared_world.at_night_after(before)
    assert shared_world.run(start, before, *TABLES[:-1]).ok
    for session in SESSIONS:
        shared_world.at_night_after(session)
        report = shared_world.run(session, None, *TABLES)
        assert report.ok, report.failures
        assert not report.failed_checks
    return digest(shared_world)


def test_every_symbol_with_a_bar_has_a_row_in_every_session(world: World, nights: dict[date, str]) -> None:
    assert list(sorted(nights)) == SESSIONS
    for session in SESSIONS:
        counts = [
            world.database.value(f"SELECT count(*) FROM {table} WHERE time = session_time(%s)", (session,))
            for table in ("ohlcv_daily", "universe_indicators")
        ]
        assert counts[0] == counts[1] > 30


def test_rows_are_what_the_watchlists_own_path_computes(world: World, nights: dict[date, str]) -> None:
    names = {
        "rsi": "rsi_14",
        "average_true_range": "atr_14",
        "sma_200": "sma_200",
        "on_balance_volume": "obv",
    }
    columns = ", ".join(names)
    stored = world.database.frame(
        f"SELECT symbol, {columns} FROM universe_indicators WHERE time = session_time(%(session)s)",
        {"session": LAST},
        {"symbol": pl.String, **{name: pl.Float64 for name in names}},
    ).sort("symbol")
    bars = inputs.adjusted_bars(world.database, stored["symbol"].to_list(), LAST)
    expected = technical_snapshot(bars, LAST).sort("symbol")
    for name, snapshot in names.items():
        joined = stored.select("symbol", name).join(expected.select("symbol", snapshot).rename(
            {snapshot: "expected"}), on="symbol")  # fmt: skip
        apart = joined.filter(
            (pl.col(name) - pl.col("expected")).abs() > 1e-9 * pl.col("expected").abs().clip(1e-6)
        )
        assert apart.is_empty(), (name, apart)


def test_all_84_outputs_are_filled_for_a_symbol_with_a_year_of_bars(
    world: World, nights: dict[date, str]
) -> None:
    row = world.database.rows(
        "SELECT * FROM universe_indicators WHERE symbol = 'SPY' AND time = session_time(%s)", (LAST,)
    )[0]
    by_design = {"psar_up", "psar_down"}  # one of the two is null
    empty = {name for name in UNIVERSE_COLUMNS if row[name] is None}
    assert len(empty & by_design) == 1
    assert empty <= by_design
    assert set(SURFACE) < set(row)


@pytest.mark.parametrize("cache", ["present", "absent", "corrupted"])
def test_a_backfilled_range_equals_the_sessions_on_their_nights_whatever_the_cache(
    world: World, nights: dict[date, str], cache: str
) -> None:
    folder = world.home / "cache" / "bars"
    assert list(folder.glob("*.parquet"))
    if cache == "absent":
        shutil.rmtree(folder)
    elif cache == "corrupted":
        for file in folder.glob("*.parquet"):
            file.write_bytes(file.read_bytes()[:-20] + b"x" * 20)
    world.database.execute("TRUNCATE universe_indicators")
    report = world.run(SESSIONS[0], SESSIONS[-1], "universe_indicators")
    assert report.ok, report.failures
    assert digest(world) == nights


def test_the_market_can_be_screened_and_the_answer_says_its_session(
    world: World, nights: dict[date, str]
) -> None:
    found = screener.screen(world.database, "rsi between 0 and 100 and close > 0", sort="rsi:desc")
    assert found.height > 30
    assert found["rsi"].is_sorted(descending=True)
    earlier = screener.screen(world.database, "close > 0", SESSIONS[0])
    assert not earlier.equals(screener.screen(world.database, "close > 0"))


def test_rows_that_no_longer_fit_the_bars_are_told(world: World, nights: dict[date, str]) -> None:
    removed = "DELETE FROM universe_indicators WHERE symbol = 'SPY' AND time = session_time(%s)"
    world.database.execute(removed, (LAST,))
    apart = world.database.rows(query("universe_apart_from_bars"), {"session": LAST})
    assert [row["symbol"] for row in apart] == ["SPY"]
    assert world.run(LAST, None, "universe_indicators").ok
    assert digest(world) == nights
