"""The wide rows of a market: whose they are, in which shares, and that nothing later or another's enters."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest
from metrics_builders import random_bars

from kapman_metrics.adjust import adjust_for_splits
from kapman_metrics.frames import SPLIT_SCHEMA
from kapman_metrics.indicators import SURFACE, indicators
from kapman_metrics.price import price_metrics
from kapman_metrics.universe import UNIVERSE_COLUMNS, UNIVERSE_SCHEMA, universe_rows

BARS = random_bars(6, 300, seed=3).drop("open")
DAYS = BARS["date"].unique().sort()
SESSION, SPLIT_DAY = DAYS[-20], DAYS[-40]
NO_BREAKS = pl.DataFrame(schema={"symbol": pl.String, "first_session": pl.Date})
SPLITS = pl.DataFrame(
    {
        "symbol": ["S002", "S003"],
        "execution_date": [SPLIT_DAY, DAYS[-5]],  # the second is later than the session
        "split_from": [1.0, 1.0],
        "split_to": [4.0, 10.0],
    },
    schema=SPLIT_SCHEMA,
)
NO_SPLITS = SPLITS.clear()


def rows(bars: pl.DataFrame = BARS, splits: pl.DataFrame = SPLITS, breaks: pl.DataFrame = NO_BREAKS):
    return universe_rows(bars, splits, breaks, SESSION)


def test_there_are_84_indicators_averages_and_price_metrics_each_once() -> None:
    assert len(UNIVERSE_COLUMNS) == len(set(UNIVERSE_COLUMNS))
    assert len(SURFACE) == 84
    assert set(SURFACE) < set(UNIVERSE_COLUMNS)
    assert rows().schema == UNIVERSE_SCHEMA


def test_a_row_says_what_indicators_and_price_metrics_say_of_the_adjusted_bars() -> None:
    adjusted = adjust_for_splits(BARS, SPLITS, SESSION)
    found = rows()
    expected = indicators(adjusted, SESSION, last=True).join(price_metrics(adjusted, SESSION), on="symbol")
    shared = [name for name in expected.columns if name in UNIVERSE_COLUMNS]
    assert len(shared) == 84 + 5 + 7
    assert found.select(shared).equals(expected.sort("symbol").select(shared))


def test_nothing_after_the_session_enters() -> None:
    known = BARS.filter(pl.col("date") <= SESSION)
    past = SPLITS.filter(pl.col("execution_date") <= SESSION)
    assert rows().equals(rows(known, past))


def test_a_symbol_without_a_bar_in_the_session_has_no_row() -> None:
    halted = BARS.filter((pl.col("symbol") != "S001") | (pl.col("date") != SESSION))
    assert "S001" not in rows(halted)["symbol"].to_list()
    assert rows(halted).equals(rows().filter(pl.col("symbol") != "S001"))


def test_the_block_in_which_a_symbol_is_computed_does_not_change_its_row() -> None:
    alone = pl.concat([rows(BARS.filter(pl.col("symbol") == f"S{n:03d}")) for n in range(6)])
    assert alone.equals(rows())


def test_only_the_listing_in_force_counts() -> None:
    breaks = pl.DataFrame({"symbol": ["S004"], "first_session": [DAYS[-60]]})
    since = BARS.filter((pl.col("symbol") != "S004") | (pl.col("date") >= DAYS[-60]))
    assert rows(breaks=breaks).equals(rows(since))
    assert rows(breaks=breaks).filter(pl.col("symbol") == "S004")["sma_200"].item() is None


def test_dollars_and_extremes_by_hand() -> None:
    known = BARS.filter((pl.col("symbol") == "S000") & (pl.col("date") <= SESSION))
    row = rows().row(0, named=True)
    last = known.tail(252)
    assert row["high_252"] == last["high"].max()
    assert row["low_252"] == last["low"].min()
    by_hand = np.mean(known["close"].to_numpy()[-20:] * known["volume"].to_numpy()[-20:])
    assert row["dollar_volume_20"] == pytest.approx(by_hand, rel=1e-12)
    young = rows(known.tail(19), NO_SPLITS).row(0, named=True)
    assert young["dollar_volume_20"] is None
    assert young["high_252"] is None


def test_no_value_is_nan_or_infinite() -> None:
    flat = BARS.with_columns(pl.lit(5.0).alias(name) for name in ("high", "low", "close")).with_columns(
        volume=0.0
    )
    for found in (rows(), rows(flat, NO_SPLITS)):
        for name in UNIVERSE_COLUMNS:
            assert found[name].drop_nulls().is_finite().all(), name


def test_a_market_without_bars_has_no_rows() -> None:
    assert universe_rows(BARS, SPLITS, NO_BREAKS, date(2035, 1, 2)).schema == UNIVERSE_SCHEMA
    assert universe_rows(BARS.clear(), NO_SPLITS, NO_BREAKS, SESSION).is_empty()
