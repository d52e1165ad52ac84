"""What the indicator frames promise whatever the bars: no look-ahead, no NaN, no influence of others,
scale.
"""

from __future__ import annotations

import json
from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics_builders import bars, random_bars

from kapman_metrics.indicators import (
    AVERAGES,
    RESIDUE_ON_FLAT_WINDOWS,
    SURFACE,
    compute,
    indicators,
    technical_snapshot,
)

SNAPSHOT_COLUMNS = [
    "symbol",
    "rsi_14",
    "macd_line",
    "macd_signal",
    "macd_histogram",
    "stoch_k",
    "stoch_d",
    "mfi_14",
    "sma_20",
    "sma_50",
    "sma_200",
    "ema_12",
    "ema_26",
    "adx_14",
    "atr_14",
    "bbands_upper",
    "bbands_middle",
    "bbands_lower",
    "bbands_width",
    "obv",
    "vwap",
    "technical_indicators_json",
]


def test_one_row_per_bar_with_the_84_outputs_and_the_snapshot_averages():
    frame = indicators(random_bars(2, 30, seed=1))
    assert frame.columns == ["symbol", "date", *SURFACE, *AVERAGES]
    assert frame.height == 60
    assert all(frame.schema[name] == pl.Float64 for name in (*SURFACE, *AVERAGES))


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), cut=st.integers(1, 119))
def test_a_bar_is_judged_by_the_bars_up_to_it_and_nothing_later(seed: int, cut: int):
    whole = random_bars(2, 120, seed=seed)
    as_of = whole["date"].unique().sort()[cut]
    assert indicators(whole).filter(pl.col("date") <= as_of).equals(indicators(whole, as_of=as_of))


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_latest_row_is_the_last_row_of_the_full_history_bit_for_bit(seed: int):
    uneven = random_bars(5, 300, seed=seed).filter(
        (pl.col("symbol") != "S001") | (pl.col("date") >= pl.lit(date(2024, 8, 1)))
    )
    full = indicators(uneven).group_by("symbol", maintain_order=True).last()
    assert full.equals(indicators(uneven, last=True).select(full.columns))


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    symbols=st.integers(1, 5),
    lengths=st.lists(st.integers(1, 140), min_size=7, max_size=7),
)
def test_the_latest_row_does_not_depend_on_the_company_a_symbol_is_computed_in(seed, symbols, lengths):
    whole = random_bars(7, 140, seed=seed)
    first = {f"S{number:03d}": whole["date"][140 - length] for number, length in enumerate(lengths)}
    uneven = whole.filter(pl.col("date") >= pl.col("symbol").replace_strict(first))
    together = indicators(uneven, last=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compute, "BLOCK_SYMBOLS", symbols)
        assert indicators(uneven, last=True).equals(together)
    some = pl.col("symbol").is_in(["S002", "S005"])
    assert indicators(uneven.filter(some), last=True).equals(together.filter(some))


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10_000), cut=st.integers(30, 299))
def test_a_backfilled_session_equals_the_same_session_computed_on_its_day(seed: int, cut: int):
    later = random_bars(3, 300, seed=seed)
    day = later["date"].unique().sort()[cut]
    on_its_day = later.filter(pl.col("date") <= day)
    assert indicators(later, as_of=day, last=True).equals(indicators(on_its_day, last=True))
    assert indicators(later).filter(pl.col("date") == day).equals(indicators(on_its_day, last=True))
    assert technical_snapshot(later, day).equals(technical_snapshot(on_its_day, day))


def test_the_order_of_the_rows_does_not_matter():
    sorted_bars = random_bars(4, 80, seed=12)
    for other in (sorted_bars.sort("date", "symbol"), sorted_bars.sample(fraction=1.0, shuffle=True, seed=3)):
        assert indicators(other).equals(indicators(sorted_bars))
        assert indicators(other, last=True).equals(indicators(sorted_bars, last=True))


def test_an_rsi_that_does_not_move_has_no_place_in_its_range():
    close = np.concatenate([100 + np.sin(np.arange(40)), np.full(40, 101.37)])
    last = indicators(bars("X", close), last=True)
    assert last["rsi"][0] is not None
    assert last["stochrsi"][0] is None


def test_a_symbol_has_the_same_values_alone_and_in_company():
    company = random_bars(6, 150, seed=2)
    alone = indicators(company.filter(pl.col("symbol") == "S003"))
    assert alone.equals(indicators(company).filter(pl.col("symbol") == "S003"))


@settings(max_examples=5, deadline=None)
@given(scale=st.sampled_from([2.0**-10, 0.5, 4.0, 2.0**12]), seed=st.integers(0, 1000))
def test_price_in_other_units_scales_prices_and_leaves_ratios(scale: float, seed: int):
    base = random_bars(1, 260, seed=seed)
    scaled = base.with_columns(pl.col("open", "high", "low", "close") * scale)
    one, other = indicators(base), indicators(scaled)
    for ratio in (
        "rsi",
        "stoch",
        "adx",
        "cci",
        "ppo",
        "money_flow_index",
        "aroon_up",
        "stc",
        "bollinger_wband",
    ):
        assert one[ratio].equals(other[ratio]), ratio
    for price in ("sma_200", "ema_26", "kama", "average_true_range", "psar", "macd", "bollinger_hband"):
        assert (one[price] * scale).equals(other[price]), price


@settings(max_examples=12, deadline=None)
@given(
    closes=st.lists(st.sampled_from([1.0, 1.0, 1.0, 2.0, 1e-4, 5e5]), min_size=1, max_size=90),
    volumes=st.lists(st.sampled_from([0.0, 0.0, 1.0, 1e9]), min_size=90, max_size=90),
    ranged=st.booleans(),
)
def test_no_nan_and_no_infinity_ever_leaves_whatever_the_bars(closes, volumes, ranged):
    frame = bars("X", closes, volumes[: len(closes)])
    if not ranged:
        frame = frame.with_columns(high=pl.col("close"), low=pl.col("close"))
    values = indicators(frame).select((*SURFACE, *AVERAGES))
    assert values.select(pl.all().is_finite().fill_null(True).all()).row(0) == (True,) * values.width
    document = technical_snapshot(frame, frame["date"].max())["technical_indicators_json"][0]
    assert "NaN" not in document and "Infinity" not in document
    assert set(json.loads(document)) == set(SURFACE)


def test_running_totals_do_not_move_when_older_bars_are_loaded():
    long = random_bars(1, 1100, seed=3, start=400)  # 2021-02 .. 2024-02
    recent = long.filter(pl.col("date") >= date(2023, 1, 1))
    totals = [
        "on_balance_volume",
        "acc_dist_index",
        "negative_volume_index",
        "volume_price_trend",
        "cumulative_return",
    ]
    in_2024 = pl.col("date") >= date(2024, 1, 1)
    short = indicators(recent).filter(in_2024).select(totals)
    assert short.height > 0
    assert short.equals(indicators(long).filter(in_2024).select(totals))


def test_on_balance_volume_worked_by_hand_starts_in_the_previous_calendar_year():
    # 2023-12-30, 12-31, 2024-01-01, 01-02: closes 10, 11, 11, 9
    frame = bars("X", [10, 11, 11, 9], [1, 2, 4, 8], start=1459)
    assert frame["date"][0] == date(2023, 12, 30)
    assert indicators(frame)["on_balance_volume"].to_list() == [1, 3, 7, -1]
    without_2023 = frame.filter(pl.col("date") >= date(2024, 1, 1))
    assert indicators(without_2023)["on_balance_volume"].to_list() == [4, -4]


def test_exactly_one_of_the_two_parabolic_stops_is_present_from_the_third_bar_on():
    frame = indicators(random_bars(3, 120, seed=4))
    bar = pl.int_range(pl.len()).over("symbol")
    present = pl.col("psar_up").is_not_null().cast(pl.Int8) + pl.col("psar_down").is_not_null().cast(pl.Int8)
    counted = frame.select(bar=bar, present=present)
    assert counted.filter(pl.col("bar") < 2)["present"].to_list() == [0] * 6
    assert counted.filter(pl.col("bar") >= 2)["present"].unique().to_list() == [1]


def test_a_price_that_stands_still_has_no_band_width_and_no_place_in_it():
    close = np.concatenate([100 + np.sin(np.arange(40)), np.full(40, 101.37)])
    frame = bars("X", close).with_columns(high=pl.col("close"), low=pl.col("close"))
    last = indicators(frame, last=True)
    assert last["bollinger_wband"][0] == 0.0
    assert last["bollinger_hband"][0] == 101.37
    assert last["bollinger_pband"][0] is None
    assert last["cci"][0] is None
    assert set(RESIDUE_ON_FLAT_WINDOWS) <= set(SURFACE)


def test_a_bar_without_volume_or_price_counts_as_no_bar():
    frame = random_bars(1, 60, seed=5)
    hole = frame["date"][30]
    holed = frame.with_columns(volume=pl.when(pl.col("date") == hole).then(None).otherwise(pl.col("volume")))
    assert indicators(holed).equals(indicators(frame.filter(pl.col("date") != hole)))


def test_the_snapshot_has_one_row_per_symbol_with_a_bar_and_the_stored_columns():
    frame = random_bars(3, 250, seed=6)
    as_of = frame["date"].max()
    young = bars("YOUNG", [10.0, 10.5], start=1640)
    snapshot = technical_snapshot(pl.concat([frame, young]), as_of)
    assert snapshot.columns == SNAPSHOT_COLUMNS
    assert snapshot["symbol"].to_list() == ["S000", "S001", "S002", "YOUNG"]
    row = snapshot.row(0, named=True)
    assert row["bbands_width"] == pytest.approx(
        (row["bbands_upper"] - row["bbands_lower"]) / row["bbands_middle"] * 100, rel=1e-12
    )
    document = json.loads(row["technical_indicators_json"])
    assert document["rsi"] == row["rsi_14"] and document["on_balance_volume"] == row["obv"]
    assert snapshot.row(3, named=True)["sma_20"] is None
    assert len(json.loads(snapshot["technical_indicators_json"][3])) == 84


def test_the_snapshot_takes_vwap_from_the_bar_and_never_computes_it():
    frame = random_bars(2, 40, seed=7)
    assert technical_snapshot(frame, frame["date"].max())["vwap"].to_list() == [None, None]
    priced = frame.with_columns(
        vwap=pl.when(pl.col("symbol") == "S000").then(pl.col("close") * 1.01).cast(pl.Float64)
    )
    expected = frame.filter(pl.col("symbol") == "S000")["close"][-1] * 1.01
    assert technical_snapshot(priced, frame["date"].max())["vwap"].to_list() == [expected, None]


def test_a_symbol_that_stopped_trading_keeps_its_latest_bar_and_no_bars_give_no_rows():
    frame = random_bars(2, 40, seed=8)
    stopped = frame.filter((pl.col("symbol") == "S000") | (pl.col("date") <= frame["date"][20]))
    latest = indicators(stopped, as_of=frame["date"].max(), last=True)
    assert latest["date"].to_list() == [frame["date"].max(), frame["date"][20]]
    assert technical_snapshot(frame, date(2019, 1, 1)).height == 0
    assert technical_snapshot(frame, date(2019, 1, 1)).columns == SNAPSHOT_COLUMNS
