"""Real bars of several years load whole: every row is stored or refused for a reason that can be checked by hand."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from benchmarks.market_files import FolderVendor
from kapman_assets.bar_loading import load_bars
from kapman_metrics.bars import SYMBOL_PATTERN, TEST_SYMBOLS
from kapman_resources import calendar
from kapman_resources.database import Database
from kapman_resources.market_data.flat_files import STOCK_DAYS, key_of
from kapman_simulator.day_files import day_file

BARS = ["symbol", "date", "open", "high", "low", "close", "volume"]


def write_files(bars: pl.DataFrame, folder: Path) -> None:
    """The set as the vendor would publish it, a file for every date that has a row, holidays included."""
    whole = bars.with_columns(transactions=pl.lit(None, pl.Int64))
    for (day,), rows in whole.partition_by("date", as_dict=True).items():
        path = folder / key_of(STOCK_DAYS, day)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(day_file(rows, day))


def expected_fault() -> pl.Expr:
    """Why a row must be refused, spelled out here again; null for a good one."""
    o, h, low, c = (pl.col(n) for n in ("open", "high", "low", "close"))
    missing = o.is_null() | h.is_null() | low.is_null() | c.is_null()
    return (
        pl.when(~pl.col("symbol").str.contains(SYMBOL_PATTERN)).then(pl.lit("symbol"))
        .when(pl.col("symbol").is_in(TEST_SYMBOLS)).then(pl.lit("exchange test symbol"))
        .when(pl.col("symbol").is_in(TEST_SYMBOLS)).then(pl.lit("exchange test symbol"))
        .when(missing).then(pl.lit("price is missing"))
        .when((o <= 0) | (h <= 0) | (low <= 0) | (c <= 0)).then(pl.lit("price is not above zero"))
        .when((h < o) | (h < c)).then(pl.lit("high is below"))
        .when((low > o) | (low > c)).then(pl.lit("low is above"))
        .when(pl.col("volume").is_null()).then(pl.lit("volume is missing"))
        .when(pl.col("volume") < 0).then(pl.lit("volume is negative"))
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "first", "stray_days"),
    [
        pytest.param(
            "us_universe_raw_2015-03_2017-03",
            date(2015, 3, 20),
            18,
            marks=pytest.mark.slow,
            id="universe 2015-17",
        ),
        pytest.param(
            "sp500_raw_unadjusted_2014-01_2021-04", date(2014, 1, 2), 0, marks=pytest.mark.long, id="sp500"
        ),
        pytest.param(
            "us_universe_2022-01_2024-03", date(2022, 1, 3), 0, marks=pytest.mark.long, id="universe 2022-24"
        ),
    ],
)
def test_a_real_set_is_stored_or_refused_row_by_row(
    database: Database, shared_data: Path, tmp_path: Path, name: str, first: date, stray_days: int
) -> None:
    bars = pl.read_parquet(shared_data / "ohlcv" / f"{name}.parquet").select(BARS)
    write_files(bars, tmp_path)
    sessions = calendar.sessions_between(first, max(bars["date"]))
    load = load_bars(database, FolderVendor(tmp_path), sessions, lambda session: False)
    assert load.missing == {}

    on_sessions = bars.filter(pl.col("date").is_in(sessions))
    strays = bars.filter(~pl.col("date").is_in(sessions))
    assert strays["date"].n_unique() == stray_days  # a handful of rows on a holiday is not a session
    judged = on_sessions.with_columns(fault=expected_fault())
    good = judged.filter(pl.col("fault").is_null())
    bad = judged.filter(pl.col("fault").is_not_null()).sort("date", "symbol")

    counts = database.frame(
        "SELECT session_of(time), count(*), sum(close), sum(volume), sum(open), sum(high), sum(low) FROM ohlcv_daily GROUP BY 1",
        {},
        {"date": pl.Date, "n": pl.Int64} | dict.fromkeys(("close", "volume", "open", "high", "low"), pl.Float64),
    ).sort("date")  # fmt: skip
    wanted = (
        good.group_by("date")
        .agg(
            pl.len().alias("n"),
            *(pl.col(n).cast(pl.Float64).sum() for n in ("close", "volume", "open", "high", "low")),
        )
        .sort("date")
    )
    assert counts["date"].to_list() == wanted["date"].to_list() == sessions
    assert counts["n"].to_list() == wanted["n"].to_list()
    for column in ("close", "volume", "open", "high", "low"):
        assert ((counts[column] / wanted[column] - 1).abs() < 1e-9).all(), column

    refused = database.frame(
        "SELECT session_date, symbol, reason FROM rejected_rows",
        {},
        {"date": pl.Date, "symbol": pl.String, "reason": pl.String},
    ).sort("date", "symbol")
    assert refused.select("date", "symbol").equals(bad.select("date", "symbol"))
    for reason, fault in zip(refused["reason"], bad["fault"], strict=True):
        assert reason.startswith(fault), (reason, fault)
    assert good.height + bad.height + strays.height == bars.height
