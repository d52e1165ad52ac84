"""Price and volume metrics of the latest bar, worked by hand."""

from __future__ import annotations

import json
import statistics
from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics_builders import bars, random_bars

from kapman_metrics.price import PRICE_SCHEMA, hv_history, price_metrics, price_numbers


def metrics(frame: pl.DataFrame) -> dict[str, object]:
    result = price_metrics(frame, frame["date"].max())
    assert dict(result.schema) == PRICE_SCHEMA and result.height == 1
    row = result.row(0, named=True)
    return row | {"document": json.loads(row["price_metrics_json"])}


def test_relative_volume_and_surge_compare_with_the_twenty_volumes_before_today():
    volumes = [float(90 + 20 * (k % 2)) for k in range(20)]  # mean 100, population deviation 10
    row = metrics(bars("X", [50.0] * 21, [*volumes, 130.0]))
    assert row["rvol"] == pytest.approx(1.3)
    assert row["vsi"] == pytest.approx(3.0)
    assert row["document"]["volume_mean_20"] == pytest.approx(100.0)


def test_twenty_volumes_before_today_are_needed():
    row = metrics(bars("X", [50.0] * 20, 100.0))
    assert row["rvol"] is None and row["vsi"] is None


def test_volumes_that_never_change_have_no_surge_and_zero_volume_no_ratio():
    assert metrics(bars("X", [50.0] * 25, 100.0))["vsi"] is None
    assert metrics(bars("X", [50.0] * 25, 0.0))["rvol"] is None


def test_realised_volatility_is_the_population_deviation_of_log_returns_annualised_as_a_decimal():
    rng = np.random.default_rng(1)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, 80)))
    returns = np.diff(np.log(close))
    row = metrics(bars("X", close))
    assert row["hv_20"] == pytest.approx(statistics.pstdev(returns[-20:]) * 252**0.5, rel=1e-12)
    assert row["hv_60"] == pytest.approx(statistics.pstdev(returns[-60:]) * 252**0.5, rel=1e-12)
    assert metrics(bars("X", close[:20]))["hv_20"] is None
    assert metrics(bars("X", close[:21]))["hv_20"] is not None


def test_distance_from_averages_is_a_decimal_share_of_the_average():
    row = metrics(bars("X", [100.0] * 199 + [110.0]))
    assert row["price_vs_sma20"] == pytest.approx(110 / 100.5 - 1)
    assert row["price_vs_sma50"] == pytest.approx(110 / 100.2 - 1)
    assert row["price_vs_sma200"] == pytest.approx(110 / 100.05 - 1)
    assert metrics(bars("X", [100.0] * 199))["price_vs_sma200"] is None


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 249))
def test_later_bars_change_nothing(seed, cut):
    frame = random_bars(2, 250, seed=seed)
    as_of = frame["date"].unique().sort()[cut]
    upto = frame.filter(pl.col("date") <= as_of)
    assert price_metrics(frame, as_of).equals(price_metrics(upto, as_of))
    assert hv_history(frame, as_of).equals(hv_history(upto, as_of))


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.sampled_from([1.0, 2.0, 1e-4, 5e5]), min_size=1, max_size=80),
    st.sampled_from([0.0, 1.0, 1e9]),
)
def test_documents_hold_no_nan_whatever_the_bars(closes, volume):
    text = price_metrics(bars("X", closes, volume), date(2029, 1, 1))["price_metrics_json"][0]
    assert "NaN" not in text and "Infinity" not in text


def test_history_of_realised_volatility_ends_with_today_and_equals_the_metric():
    frame = random_bars(3, 300, seed=9)
    as_of = frame["date"].max()
    history = hv_history(frame, as_of, sessions=100)
    assert history.columns == ["symbol", "date", "hv_20"]
    assert history.group_by("symbol").len()["len"].to_list() == [100] * 3
    today = history.filter(pl.col("date") == as_of)["hv_20"]
    assert today.to_list() == price_metrics(frame, as_of)["hv_20"].to_list()


def test_no_bars_give_no_rows():
    assert price_metrics(random_bars(1, 5, seed=1), date(2019, 1, 1)).height == 0
    assert hv_history(random_bars(1, 5, seed=1), date(2019, 1, 1)).height == 0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.25, 8.0, 1024.0]), st.sampled_from([0.5, 64.0]))
def test_prices_and_volumes_in_another_unit_give_the_same_numbers(seed, price_factor, volume_factor):
    frame = random_bars(2, 230, seed=seed)
    scaled = frame.with_columns(
        pl.col("open", "high", "low", "close") * price_factor, pl.col("volume") * volume_factor
    )
    one, two = (price_numbers(bars, frame["date"].max()) for bars in (frame, scaled))
    for name in one.columns[1:]:
        assert two[name].to_list() == pytest.approx(one[name].to_list(), rel=1e-9, abs=1e-12), name


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000))
def test_order_of_bars_and_other_symbols_change_no_byte(seed):
    frame = random_bars(3, 90, seed=seed)
    as_of = frame["date"].max()
    whole = price_metrics(frame, as_of)
    assert price_metrics(frame.sample(fraction=1, shuffle=True, seed=seed), as_of).equals(whole)
    alone = price_metrics(frame.filter(pl.col("symbol") == "S001"), as_of)
    assert alone.equals(whole.filter(pl.col("symbol") == "S001"))


def test_the_numbers_without_documents_are_the_same_numbers():
    frame = pl.concat([random_bars(5, 230, seed=4), bars("SHORT", [10.0] * 7), bars("FLAT", [5.0] * 90)])
    as_of = frame["date"].max()
    assert price_numbers(frame, as_of).equals(price_metrics(frame, as_of).drop("price_metrics_json"))


def test_equal_volumes_of_any_size_have_no_surge_left_over_from_rounding():
    for volume in (0.1, 123456.789, 1e15 + 1, 3.3e-5):
        assert metrics(bars("X", [50.1] * 60, volume))["vsi"] is None
