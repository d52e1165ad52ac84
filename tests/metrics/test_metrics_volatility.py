"""Implied volatility metrics: averages, skew, term structure, ratios, rank and regime."""

from __future__ import annotations

import json
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics_builders import SESSION, cboe_evening, shared_data, spot_of, stored_chain, stored_row

from kapman_metrics.chain import clean_chain
from kapman_metrics.volatility import VOLATILITY_SCHEMA, History, regime, volatility_metrics

SPOT = spot_of(ABC=100.0)
HISTORY_SCHEMA = {"symbol": pl.String, "date": pl.Date, "average_iv": pl.Float64, "hv_20": pl.Float64}
NO_HISTORY = pl.DataFrame(schema=HISTORY_SCHEMA)


def contract(strike: float, iv: float | None, days: int = 30, kind: str = "call", **given: object):
    return stored_row(
        strike=strike,
        implied_volatility=iv,
        option_type=kind,
        expiration=SESSION + timedelta(days=days),
        **given,
    )


def metrics(*rows: dict[str, object], history: pl.DataFrame = NO_HISTORY) -> dict[str, object]:
    frame = volatility_metrics(stored_chain(*rows), SPOT, history, SESSION)
    assert dict(frame.schema) == VOLATILITY_SCHEMA and frame.height == 1
    row = frame.row(0, named=True)
    return row | {"document": json.loads(row["volatility_metrics_json"])}


def past(values: list[float | None], name: str = "average_iv", last: date = SESSION) -> pl.DataFrame:
    """History ending the day before `last`."""
    days = [last - timedelta(days=len(values) - k) for k in range(len(values))]
    other = "hv_20" if name == "average_iv" else "average_iv"
    return pl.DataFrame(
        {"symbol": ["ABC"] * len(values), "date": days, name: values, other: [None] * len(values)},
        schema_overrides=HISTORY_SCHEMA,
    ).select(HISTORY_SCHEMA.keys())


def test_the_average_is_weighted_by_open_interest():
    row = metrics(contract(100, 0.30, open_interest=300.0), contract(105, 0.50, open_interest=100.0))
    assert row["average_iv"] == pytest.approx(0.35)


def test_short_dated_absurd_and_far_contracts_are_filtered_before_averaging():
    row = metrics(
        contract(100, 0.30),
        contract(100, 0.90, days=6),
        contract(101, 2.01),
        contract(102, None),
        contract(121, 0.90),
        contract(79, 0.90),
        contract(103, 0.90, is_standard=False),
        contract(104, 0.90, is_live=False),
        contract(105, 0.90, open_interest=0.0),
    )
    assert row["average_iv"] == pytest.approx(0.30)
    assert row["document"]["contracts_averaged"] == 1


def test_the_edges_of_the_filter_are_inside():
    row = metrics(contract(100, 2.0, days=7), contract(120, 1.0), contract(80, 1.0))
    assert row["document"]["contracts_averaged"] == 3


def test_skew_is_the_25_delta_put_minus_the_25_delta_call_interpolated_in_delta():
    row = metrics(
        contract(90, 0.40, kind="put", delta=-0.20),
        contract(95, 0.36, kind="put", delta=-0.30),
        contract(110, 0.25, delta=0.30),
        contract(120, 0.27, delta=0.20),
    )
    assert row["iv_skew_25d"] == pytest.approx(0.38 - 0.26)
    assert row["document"]["skew"]["put_25d_iv"] == pytest.approx(0.38)


def test_skew_is_interpolated_between_the_expiries_around_thirty_days():
    def expiry(days: int, put_iv: float, call_iv: float):
        return (
            contract(95, put_iv, days, "put", delta=-0.25),
            contract(105, call_iv, days, "call", delta=0.25),
        )

    row = metrics(*expiry(20, 0.40, 0.30), *expiry(40, 0.36, 0.32))
    assert row["iv_skew_25d"] == pytest.approx((0.10 + 0.04) / 2)
    assert row["document"]["skew"]["dte_used"] == [20, 40]


def test_skew_needs_both_sides_around_25_delta_and_an_expiry_near_thirty_days():
    assert metrics(contract(95, 0.4, kind="put", delta=-0.25))["iv_skew_25d"] is None
    far = (contract(95, 0.4, 46, "put", delta=-0.25), contract(105, 0.3, 46, delta=0.25))
    assert metrics(*far)["iv_skew_25d"] is None
    near = (contract(95, 0.4, 45, "put", delta=-0.25), contract(105, 0.3, 45, delta=0.25))
    assert metrics(*near)["iv_skew_25d"] == pytest.approx(0.1)


def test_term_structure_is_ninety_minus_thirty_days_at_the_money():
    row = metrics(
        contract(95, 0.30, 30),
        contract(105, 0.40, 30),
        contract(100, 0.20, 60),
        contract(100, 0.44, 120),
        contract(100, 0.40, 120, "put"),
    )
    assert row["document"]["term_structure"]["atm_iv_30d"] == pytest.approx(0.35)
    assert row["document"]["term_structure"]["atm_iv_90d"] == pytest.approx((0.20 + 0.42) / 2)
    assert row["iv_term_structure"] == pytest.approx(0.31 - 0.35)


def test_one_expiry_alone_has_no_term_structure():
    assert metrics(contract(100, 0.3, 30))["iv_term_structure"] is None
    assert metrics(contract(100, 0.3, 45))["iv_term_structure"] is None


def test_put_call_ratios_are_null_when_the_call_side_is_zero():
    row = metrics(
        contract(100, 0.3, open_interest=50.0, volume=4.0),
        contract(100, 0.3, kind="put", open_interest=75.0, volume=2.0),
    )
    assert row["put_call_ratio_oi"] == 1.5 and row["put_call_ratio_volume"] == 0.5
    silent = metrics(contract(100, 0.3, open_interest=0.0, volume=None), contract(100, 0.3, kind="put"))
    assert silent["put_call_ratio_oi"] is None and silent["put_call_ratio_volume"] is None


def test_rank_is_the_place_in_the_range_and_percentile_the_share_below():
    row = metrics(contract(100, 0.30), history=past([0.20] * 15 + [0.25] * 4 + [0.40]))
    assert row["iv_rank"] == pytest.approx(50.0)
    assert row["iv_percentile"] == pytest.approx(95.0)
    assert row["volatility_regime"] == "extreme"


def test_below_twenty_earlier_sessions_there_is_no_rank():
    row = metrics(contract(100, 0.30), history=past([0.2] * 18 + [0.4]))
    assert row["iv_rank"] is None and row["iv_percentile"] is None and row["volatility_regime"] is None


def test_today_and_later_sessions_are_not_history():
    earlier = past([0.20, 0.40] * 10)
    later = pl.concat(
        [
            earlier,
            past([9.9] * 3, last=SESSION + timedelta(days=3)),
        ]
    )
    assert metrics(contract(100, 0.3), history=earlier) == metrics(contract(100, 0.3), history=later)


def test_only_the_last_252_sessions_with_a_value_count():
    row = metrics(contract(100, 0.30), history=past([5.0] * 100 + [0.2] * 126 + [None] * 30 + [0.4] * 126))
    assert row["document"]["iv_history_sessions"] == 252
    assert row["iv_rank"] == pytest.approx(50.0) and row["iv_percentile"] == pytest.approx(50.0)


def test_realised_volatility_decides_the_regime_while_implied_history_is_short():
    realised = past([0.1] * 10 + [0.5] * 30, "hv_20")
    today = pl.DataFrame(
        {"symbol": ["ABC"], "date": [SESSION], "average_iv": [None], "hv_20": [0.3]}, schema=HISTORY_SCHEMA
    )
    row = metrics(contract(100, 0.30), history=pl.concat([realised, today]))
    assert row["volatility_regime"] == "normal" and row["document"]["regime_from"] == "hv_20"
    assert row["iv_rank"] is None
    assert metrics(contract(100, 0.30), history=realised)["volatility_regime"] is None


@pytest.mark.parametrize(
    ("percentile", "name"),
    [
        (0, "low"),
        (24.9, "low"),
        (25, "normal"),
        (74.9, "normal"),
        (75, "high"),
        (95, "extreme"),
        (100, "extreme"),
    ],
)
def test_the_regime_limits(percentile, name):
    assert regime(percentile) == name


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 3), st.lists(st.floats(0.01, 3), min_size=20, max_size=60))
def test_rank_and_percentile_stay_between_0_and_100(value, earlier):
    found = History(np.zeros(len(earlier), int), np.array(earlier), 1).ranked([value])[0]
    rank, percentile = found["rank"], found["percentile"]
    assert percentile is not None and 0 <= percentile <= 100
    assert (rank is None) == (min(earlier) == max(earlier))
    assert rank is None or 0 <= rank <= 100


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(70, 130), st.floats(0.05, 2.5), st.integers(0, 200), st.sampled_from(["call", "put"])
        ),
        min_size=1,
        max_size=30,
        unique_by=lambda t: (t[0], t[2], t[3]),
    )
)
def test_averages_stay_within_the_volatilities_they_average(cases):
    row = metrics(*(contract(float(k), iv, days, kind) for k, iv, days, kind in cases))
    used = [iv for k, iv, days, _ in cases if days >= 7 and iv <= 2 and abs(k / 100 - 1) <= 0.2]
    if used:
        assert min(used) - 1e-12 <= row["average_iv"] <= max(used) + 1e-12
    else:
        assert row["average_iv"] is None


def test_a_symbol_without_spot_keeps_its_ratios_and_nothing_that_needs_spot():
    frame = volatility_metrics(stored_chain(contract(100, 0.3)), spot_of(), NO_HISTORY, SESSION)
    row = frame.row(0, named=True)
    assert row["average_iv"] is None and row["iv_term_structure"] is None
    assert row["put_call_ratio_oi"] == 0.0


def test_an_empty_chain_gives_no_rows():
    assert volatility_metrics(stored_chain(), SPOT, NO_HISTORY, SESSION).height == 0


def test_recorded_chains_give_a_thirty_day_volatility_close_to_the_exchange_s_own_index():
    raw, spot = cboe_evening()
    chain = clean_chain(raw, spot, SESSION, SESSION - timedelta(days=14)).chain
    rows = volatility_metrics(chain, spot, NO_HISTORY, SESSION)
    published = pl.read_parquet(shared_data("options", "cboe_chains_2026.parquet")).filter(
        pl.col("snapshot_ts_utc").str.starts_with("2026-05-06")
    )
    iv30 = dict(published.group_by("underlying").agg(pl.col("underlying_iv30").first()).iter_rows())
    for symbol, text in rows.select("symbol", "volatility_metrics_json").iter_rows():
        ours = json.loads(text)["term_structure"]["atm_iv_30d"]
        assert ours == pytest.approx(iv30[symbol] / 100, rel=0.06), symbol
    assert rows["iv_skew_25d"].null_count() == 0
