"""What holds for any chain whatever: order, scale, independence of symbols, bounds, and nothing that is no number.

Chains are drawn with holes (no greeks, no open interest, expired, dead, adjusted), zeros, infinities and ties.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics_builders import SESSION, spot_of, stored_chain, stored_row

from kapman_metrics.dealer import dealer_metrics, options_daily_summary
from kapman_metrics.volatility import volatility_metrics

HISTORY = {"symbol": pl.String, "date": pl.Date, "average_iv": pl.Float64, "hv_20": pl.Float64}
ODD = st.sampled_from([None, 0.0, float("nan"), float("inf"), 1e-300, 1e300])
ODD_COUNTS = st.sampled_from([None, 0.0, float("nan"), float("inf"), 1e12])


def maybe_odd(
    usual: st.SearchStrategy[float], odd: st.SearchStrategy[float | None] = ODD
) -> st.SearchStrategy[float | None]:
    return st.one_of(usual, usual, usual, usual, odd)


def contracts(odd: bool) -> st.SearchStrategy[list[dict[str, Any]]]:
    def wrap(usual: st.SearchStrategy[float], strange: st.SearchStrategy[float | None] = ODD) -> Any:
        return maybe_odd(usual, strange if odd else st.none())

    one = st.builds(
        lambda symbol, k, kind, oi, gamma, iv, delta, days, volume, live, standard: stored_row(
            symbol=symbol,
            strike=float(k),
            option_type=kind,
            open_interest=oi,
            gamma=gamma,
            implied_volatility=iv,
            delta=delta if kind == "call" or delta is None else -delta,
            expiration=SESSION + timedelta(days=days),
            volume=volume,
            is_live=live,
            is_standard=standard,
        ),
        st.sampled_from(["AAA", "BBB", "CCC"]),
        st.integers(60, 140),
        st.sampled_from(["call", "put"]),
        wrap(st.integers(0, 5000).map(float), ODD_COUNTS),
        wrap(st.floats(0, 0.2)),
        wrap(st.floats(0.02, 4)),
        wrap(st.floats(0, 1)),
        st.integers(-2, 200),
        wrap(st.integers(0, 999).map(float), ODD_COUNTS),
        st.sampled_from([True, True, True, False]),
        st.sampled_from([True, True, True, False]),
    )
    return st.lists(one, min_size=1, max_size=60, unique_by=lambda row: row["contract"])


SPOTS = spot_of(AAA=100.0, BBB=97.3, CCC=110.0)
levels = st.lists(st.floats(0.05, 2.0), min_size=0, max_size=40)


def history_of(values: Iterable[float], symbols: tuple[str, ...] = ("AAA", "BBB", "CCC")) -> pl.DataFrame:
    kept = list(values)
    return pl.concat(
        pl.DataFrame(
            {
                "symbol": [symbol] * len(kept),
                "date": [SESSION - timedelta(days=len(kept) - k) for k in range(len(kept))],
                "average_iv": kept,
                "hv_20": kept,
            },
            schema=HISTORY,
        )
        for symbol in symbols
    )


def all_frames(
    rows: list[dict[str, Any]], spots: pl.DataFrame = SPOTS, past: pl.DataFrame | None = None
) -> list[pl.DataFrame]:
    chain = stored_chain(*rows)
    past = history_of([]) if past is None else past
    return [
        dealer_metrics(chain, spots, SESSION),
        volatility_metrics(chain, spots, past, SESSION),
        options_daily_summary(chain, spots, SESSION),
    ]


def require_finite(value: Any) -> None:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            require_finite(item)
    elif isinstance(value, float):
        assert math.isfinite(value)


def no_such_number(text: str) -> None:
    raise AssertionError(f"{text} in a document")


@settings(max_examples=120, deadline=None)
@given(contracts(odd=True), levels)
def test_no_column_and_no_document_holds_anything_that_is_no_number(
    rows: list[dict[str, Any]], past: list[float]
) -> None:
    for frame in all_frames(rows, past=history_of(past)):
        for name, dtype in frame.schema.items():
            if dtype.is_float():
                assert frame[name].is_finite().fill_null(True).all(), name
            if name.endswith("_json"):
                for text in frame[name]:
                    require_finite(json.loads(text, parse_constant=no_such_number))


@settings(max_examples=60, deadline=None)
@given(contracts(odd=True), levels, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_no_byte(
    rows: list[dict[str, Any]], past: list[float], random: Any
) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    history = history_of(past)
    backwards = history.reverse()
    for one, other in zip(
        all_frames(rows, past=history),
        all_frames(shuffled, spots=SPOTS.reverse(), past=backwards),
        strict=True,
    ):
        assert one.equals(other)


@settings(max_examples=60, deadline=None)
@given(contracts(odd=True), levels)
def test_a_symbol_alone_gets_the_same_bytes_as_among_others(
    rows: list[dict[str, Any]], past: list[float]
) -> None:
    whole = all_frames(rows, past=history_of(past))
    for symbol in sorted({row["symbol"] for row in rows}):
        own = [row for row in rows if row["symbol"] == symbol]
        alone = all_frames(own, SPOTS.filter(pl.col("symbol") == symbol), history_of(past, (symbol,)))
        for among, single in zip(whole, alone, strict=True):
            assert among.filter(pl.col("symbol") == symbol).equals(single)


@settings(max_examples=100, deadline=None)
@given(contracts(odd=False), levels)
def test_every_number_stays_within_its_bounds(rows: list[dict[str, Any]], past: list[float]) -> None:
    dealer, volatility, _ = all_frames(rows, past=history_of(past))
    spots = dict(SPOTS.iter_rows())
    for row in dealer.iter_rows(named=True):
        spot = spots[row["symbol"]]
        if row["dgpi"] is not None:
            assert -100 <= row["dgpi"] <= 100
            assert row["dealer_position"] in ("long_gamma", "short_gamma", "neutral")
        if row["gex_total"] is not None:
            assert abs(row["gex_net"]) <= row["gex_total"]
        if row["gamma_flip_level"] is not None:
            assert 0.75 * spot <= row["gamma_flip_level"] <= 1.25 * spot
        if row["call_wall_primary"] is not None:
            assert spot <= row["call_wall_primary"] <= 1.2 * spot * (1 + 1e-12)
        if row["put_wall_primary"] is not None:
            assert 0.8 * spot * (1 - 1e-12) <= row["put_wall_primary"] <= spot
    for row in volatility.iter_rows(named=True):
        assert row["average_iv"] is None or 0 < row["average_iv"] <= 2
        for name in ("iv_rank", "iv_percentile"):
            assert row[name] is None or 0 <= row[name] <= 100
            assert row[name] is None or len(past) >= 20
        for name in ("put_call_ratio_oi", "put_call_ratio_volume"):
            assert row[name] is None or row[name] >= 0


@settings(max_examples=60, deadline=None)
@given(contracts(odd=False))
def test_ratios_are_null_exactly_when_the_call_side_is_zero_or_unknown(rows: list[dict[str, Any]]) -> None:
    _, volatility, _ = all_frames(rows)
    for row in volatility.iter_rows(named=True):
        live = [r for r in rows if r["symbol"] == row["symbol"] and r["is_live"]]
        for name in ("open_interest", "volume"):
            calls = sum(r[name] or 0 for r in live if r["option_type"] == "call")
            puts = sum(r[name] or 0 for r in live if r["option_type"] == "put")
            ratio = row["put_call_ratio_oi" if name == "open_interest" else "put_call_ratio_volume"]
            assert (ratio is None) == (calls == 0)
            if calls:
                assert ratio == pytest.approx(puts / calls)


@settings(max_examples=60, deadline=None)
@given(contracts(odd=False), st.sampled_from([0.01, 0.5, 3.0, 4096.0]))
def test_prices_in_another_unit_scale_levels_and_leave_shares_as_they_are(
    rows: list[dict[str, Any]], factor: float
) -> None:
    """Strikes and spot times k, gamma over k: exposure and price levels times k, everything else unchanged."""
    scaled = [
        row
        | {"strike": row["strike"] * factor, "gamma": None if row["gamma"] is None else row["gamma"] / factor}
        for row in rows
    ]
    there = SPOTS.with_columns(pl.col("spot") * factor)
    one, two = all_frames(rows)[:2], all_frames(scaled, there)[:2]
    for name in ("gex_total", "gex_net", "gamma_flip_level"):
        for a, b in zip(one[0][name], two[0][name], strict=True):
            assert (a is None) == (b is None), name
            if a is not None:
                assert b == pytest.approx(a * factor, rel=1e-7, abs=1e-9 * factor), name
    for a, b in zip(one[0]["dgpi"], two[0]["dgpi"], strict=True):
        assert b == (None if a is None else pytest.approx(a, abs=1e-6))
    for a, b in zip(one[1]["put_call_ratio_oi"], two[1]["put_call_ratio_oi"], strict=True):
        assert a == b


@settings(max_examples=40, deadline=None)
@given(contracts(odd=False), st.sampled_from([2.0, 8.0, 1024.0]))
def test_open_interest_times_k_scales_exposure_and_moves_no_level(
    rows: list[dict[str, Any]], factor: float
) -> None:
    held = [
        row | {"open_interest": None if row["open_interest"] is None else row["open_interest"] * factor}
        for row in rows
    ]
    one, two = all_frames(rows), all_frames(held)
    for name in ("gamma_flip_level", "call_wall_primary", "put_wall_primary", "dgpi", "dealer_position"):
        assert one[0][name].to_list() == two[0][name].to_list(), name
    assert two[0]["gex_total"].to_list() == [
        # below 1e-290 a double has no digits left to scale exactly
        None if value is None else pytest.approx(value * factor, rel=0, abs=1e-290)
        for value in one[0]["gex_total"]
    ]
    assert one[1].drop("volatility_metrics_json").equals(two[1].drop("volatility_metrics_json"))


@settings(max_examples=60, deadline=None)
@given(contracts(odd=False))
def test_contracts_that_are_not_live_or_not_standard_change_no_dealer_number(
    rows: list[dict[str, Any]],
) -> None:
    kept = [row for row in rows if row["is_live"] and row["is_standard"]]
    whole = all_frames(rows)[0].drop("dealer_metrics_json")
    part = all_frames(kept)[0].drop("dealer_metrics_json") if kept else whole.clear()
    counted = whole.filter(pl.col("symbol").is_in(part["symbol"].to_list()))
    # a volatility missing on one side may still come from a twin that is not live; nothing else may
    names = [name for name in whole.columns if name != "gamma_flip_level"]
    assert counted.select(names).equals(part.select(names))


def test_the_pressure_index_of_a_book_of_calls_is_one_hundred_and_not_a_rounding_more() -> None:
    rng = np.random.default_rng(2)
    for _ in range(300):
        rows = [
            stored_row(strike=float(strike), open_interest=float(rng.integers(1, 9999)), gamma=float(gamma))
            for strike, gamma in zip(range(95, 106), rng.uniform(0, 0.2, 11), strict=True)
        ]
        assert dealer_metrics(stored_chain(*rows), spot_of(ABC=100.0), SESSION)["dgpi"][0] == 100.0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 19))
def test_below_twenty_earlier_sessions_rank_and_percentile_are_null(sessions: int) -> None:
    rows = [stored_row(symbol="AAA")]
    row = all_frames(rows, past=history_of(np.linspace(0.2, 0.4, sessions).tolist()))[1].row(0, named=True)
    assert row["iv_rank"] is None and row["iv_percentile"] is None
    assert json.loads(row["volatility_metrics_json"])["iv_history_sessions"] == sessions
