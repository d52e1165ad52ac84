"""Dealer positioning: exposures, walls, flip and pressure, worked by hand and on recorded chains."""

from __future__ import annotations

import json
import math
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics_builders import SESSION, cboe_evening, spot_of, stored_chain, stored_row

from kapman_metrics import greeks
from kapman_metrics.chain import clean_chain
from kapman_metrics.dealer import (
    DEALER_SCHEMA,
    contract_exposure,
    dealer_metrics,
    options_daily_summary,
)

SPOT = spot_of(ABC=100.0)


def metrics(*rows: dict[str, object], spot: pl.DataFrame = SPOT) -> dict[str, object]:
    frame = dealer_metrics(stored_chain(*rows), spot, SESSION)
    assert dict(frame.schema) == DEALER_SCHEMA and frame.height == 1
    row = frame.row(0, named=True)
    return row | {"document": json.loads(row["dealer_metrics_json"])}


def call(strike: float, oi: float, **given: object) -> dict[str, object]:
    return stored_row(strike=strike, open_interest=oi, option_type="call", **given)


def put(strike: float, oi: float, **given: object) -> dict[str, object]:
    return stored_row(strike=strike, open_interest=oi, option_type="put", **({"delta": -0.5} | given))


def test_exposure_is_dollars_of_delta_per_one_percent_calls_plus_puts_minus():
    # gamma 0.04 x 100 contracts x 100 shares x 100^2 x 0.01 = 40,000; the put has half the open interest
    row = metrics(call(100, 100), put(100, 50))
    assert row["gex_total"] == pytest.approx(60_000)
    assert row["gex_net"] == pytest.approx(20_000)
    assert row["document"]["sign_convention"] == "calls +, puts -"
    assert row["document"]["gex_calls"] == pytest.approx(40_000)
    assert row["document"]["gex_puts"] == pytest.approx(-20_000)


def test_pressure_index_weighs_strikes_by_their_distance_from_spot():
    row = metrics(call(100, 100), put(95, 100))
    weight = math.exp(-0.5 * (0.05 / 0.05) ** 2)
    assert row["dgpi"] == pytest.approx(100 * (1 - weight) / (1 + weight))
    assert row["dealer_position"] == "long_gamma"
    assert metrics(call(105, 10), put(100, 100))["dealer_position"] == "short_gamma"
    balanced = metrics(call(100, 100), put(100, 95))
    assert balanced["dgpi"] == pytest.approx(100 * 5 / 195) and balanced["dealer_position"] == "neutral"
    assert balanced["document"]["dgpi_log"] == pytest.approx(10 * math.log10(2000 + 1))


def test_contracts_outside_the_rules_are_excluded_and_counted_under_their_first_reason():
    row = metrics(
        call(100, 100),
        call(101, 100, is_standard=False),
        call(102, 100, is_live=False),
        call(103, 100, expiration=SESSION + timedelta(days=91)),
        call(104, 100, gamma=None),
        call(105, 0.0),
        call(106, None, is_live=False),
    )
    assert row["gex_total"] == pytest.approx(40_000)
    assert row["document"]["contracts_excluded"] == {
        "not_standard": 1,
        "not_live": 2,
        "days_to_expiry": 1,
        "no_gamma": 1,
        "no_open_interest": 1,
        "no_spot": 0,
    }
    assert row["document"]["contracts"] == 7 and row["document"]["contracts_eligible"] == 1


def test_expiry_day_and_ninety_days_are_inside():
    edge = metrics(call(100, 10, expiration=SESSION), call(101, 10, expiration=SESSION + timedelta(days=90)))
    assert edge["document"]["contracts_eligible"] == 2


def test_walls_are_resistance_above_and_support_below_within_twenty_percent():
    row = metrics(
        call(95, 900),  # below spot: no resistance
        call(105, 300),
        call(110, 300),  # the tie goes to the strike nearer spot
        call(125, 5000),  # beyond 20 %
        put(105, 900),
        put(100, 40),
        put(90, 200),
        put(90, 30, expiration=SESSION + timedelta(days=60)),
        put(79, 5000),
    )
    assert (row["call_wall_primary"], row["call_wall_primary_oi"]) == (105.0, 300)
    assert (row["put_wall_primary"], row["put_wall_primary_oi"]) == (90.0, 230)
    assert [wall["strike"] for wall in row["document"]["call_walls"]] == [105.0, 110.0]
    assert [wall["strike"] for wall in row["document"]["put_walls"]] == [90.0, 100.0]


def test_walls_by_exposure_may_stand_elsewhere_than_walls_by_open_interest():
    row = metrics(call(101, 100, gamma=0.05), call(115, 200, gamma=0.01))
    assert row["call_wall_primary"] == 115.0
    assert row["document"]["call_wall_by_exposure"]["strike"] == 101.0
    assert row["put_wall_primary"] is None and row["put_wall_primary_oi"] is None


def test_the_flip_is_where_the_repriced_book_is_balanced():
    # equal books at 90 (puts) and 110 (calls): balance lies between, near the geometric middle
    row = metrics(put(90, 100, implied_volatility=0.3), call(110, 100, implied_volatility=0.3))
    flip = row["gamma_flip_level"]
    years = 30 / 365
    gammas = greeks.gamma(flip, np.array([90.0, 110.0]), years, 0.3)
    assert gammas[0] == pytest.approx(gammas[1], rel=1e-8)
    assert 97 < flip < 102


def test_there_is_no_flip_when_the_book_keeps_its_sign():
    assert metrics(call(100, 100), call(110, 50))["gamma_flip_level"] is None


def test_an_expiring_book_far_from_every_strike_does_not_flip_on_rounding_dust():
    tomorrow = SESSION + timedelta(days=1)
    row = metrics(call(100, 100, expiration=tomorrow, implied_volatility=0.1))
    assert row["gamma_flip_level"] is None


def test_a_volatility_missing_on_one_side_is_taken_from_the_other_side_of_the_strike():
    rows = (put(90, 100, implied_volatility=None), call(90, 0.0, implied_volatility=0.3), call(110, 100))
    row = metrics(*rows)
    assert row["document"]["contracts_repriced"] == 2
    assert row["gamma_flip_level"] == pytest.approx(
        metrics(put(90, 100, implied_volatility=0.3), call(110, 100))["gamma_flip_level"]
    )


def test_the_strike_ladder_crossing_is_kept_in_the_document():
    row = metrics(put(90, 100), put(95, 50), call(100, 120), call(105, 100))
    # running sums in contracts: -100, -150, -30, +70
    assert row["document"]["gamma_flip_strike"] == 105.0


def test_a_running_sum_of_exactly_zero_is_crossed_at_the_next_strike_and_not_lost():
    row = metrics(put(90, 100), call(95, 100), call(100, 50))
    assert row["document"]["gamma_flip_strike"] == 100.0
    touched = metrics(put(90, 100), call(95, 100), put(100, 50))
    assert touched["document"]["gamma_flip_strike"] is None


def test_walls_are_taken_over_the_contracts_that_count_for_exposure():
    far_dated = call(110, 9000, expiration=SESSION + timedelta(days=200))
    row = metrics(
        call(105, 300), far_dated, call(108, 9000, is_live=False), call(109, 9000, is_standard=False)
    )
    assert (row["call_wall_primary"], row["call_wall_primary_oi"]) == (105.0, 300)


def test_without_spot_everything_is_null_and_the_reason_is_counted():
    row = metrics(call(100, 100), spot=spot_of(OTHER=50.0))
    assert [row[name] for name in DEALER_SCHEMA if name not in ("symbol", "dealer_metrics_json")] == [
        None
    ] * 9
    assert row["document"]["contracts_excluded"]["no_spot"] == 1
    assert row["document"]["usability"] == "invalid"


@pytest.mark.parametrize(
    ("contracts", "grade"), [(4, "invalid"), (5, "limited"), (24, "limited"), (25, "full")]
)
def test_the_usability_grade_follows_the_number_of_eligible_contracts(contracts, grade):
    row = metrics(*(call(90.0 + k, 10) for k in range(contracts)))
    assert row["document"]["usability"] == grade


contracts = st.lists(
    st.builds(
        lambda k, kind, oi, gamma, iv, days: stored_row(
            strike=float(k),
            option_type=kind,
            open_interest=float(oi),
            gamma=gamma,
            implied_volatility=iv,
            expiration=SESSION + timedelta(days=days),
        ),
        st.integers(60, 140),
        st.sampled_from(["call", "put"]),
        st.integers(0, 5000),
        st.floats(0, 0.2),
        st.one_of(st.none(), st.floats(0.05, 2)),
        st.integers(0, 120),
    ),
    min_size=1,
    max_size=40,
    unique_by=lambda row: row["contract"],
)


@settings(max_examples=30, deadline=None)
@given(contracts, st.randoms(use_true_random=False))
def test_any_chain_gives_bounded_numbers_that_do_not_depend_on_its_order(rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    one = dealer_metrics(stored_chain(*rows), SPOT, SESSION)
    assert one.equals(dealer_metrics(stored_chain(*shuffled), SPOT, SESSION))
    row = one.row(0, named=True)
    if row["gex_total"] is not None:
        assert abs(row["gex_net"]) <= row["gex_total"] * (1 + 1e-12)
    if row["dgpi"] is not None:
        assert -100 - 1e-9 <= row["dgpi"] <= 100 + 1e-9
    if row["call_wall_primary"] is not None:
        assert 100 <= row["call_wall_primary"] <= 120
    if row["put_wall_primary"] is not None:
        assert 80 <= row["put_wall_primary"] <= 100
    if row["gamma_flip_level"] is not None:
        assert 75 <= row["gamma_flip_level"] <= 125


@settings(max_examples=20, deadline=None)
@given(contracts)
def test_swapping_calls_and_puts_turns_the_sign_and_keeps_the_size(rows):
    other = [
        stored_row(
            **{k: row[k] for k in ("strike", "open_interest", "gamma", "implied_volatility", "expiration")},
            option_type="put" if row["option_type"] == "call" else "call",
        )
        for row in rows
    ]
    one, two = metrics(*rows), metrics(*other)
    assert one["gex_total"] == pytest.approx(two["gex_total"])
    if one["gex_net"] is not None:
        assert one["gex_net"] == pytest.approx(-two["gex_net"], abs=1e-6 * one["gex_total"] + 1e-12)


def test_the_daily_summary_adds_up_the_whole_chain_and_shows_walls_of_the_eligible_part():
    chain = stored_chain(
        call(105, 300, volume=10.0),
        call(110, 200, volume=None, is_live=False),
        call(115, 50, volume=5.0, gamma=None, delta=None),
        put(95, 70, volume=2.0),
    )
    row = options_daily_summary(chain, SPOT, SESSION).row(0, named=True)
    assert (row["total_call_oi"], row["total_put_oi"]) == (550, 70)
    assert (row["total_call_volume"], row["total_put_volume"]) == (15, 2)
    assert (row["top_call_strike_1"], row["top_call_oi_1"]) == (105.0, 300)
    assert (row["top_call_strike_2"], row["top_put_strike_1"], row["top_put_oi_1"]) == (None, 95.0, 70)
    assert row["total_call_gamma"] == pytest.approx(0.04 * 500 * 100)
    assert row["total_put_delta"] == pytest.approx(-0.5 * 70 * 100)
    assert (row["contract_count"], row["contracts_with_greeks"]) == (4, 3)
    metrics_row = dealer_metrics(chain, SPOT, SESSION).row(0, named=True)
    assert row["calculated_gex"] == metrics_row["gex_total"]
    assert row["calculated_net_gex"] == metrics_row["gex_net"]


def test_the_daily_summary_keeps_totals_without_a_spot_and_leaves_walls_null():
    row = options_daily_summary(stored_chain(call(105, 300)), spot_of(), SESSION).row(0, named=True)
    assert (row["total_call_oi"], row["total_put_oi"]) == (300, 0)
    assert (
        row["top_call_strike_1"] is None and row["calculated_gex"] is None and row["weighted_avg_iv"] is None
    )


def test_open_interest_the_source_does_not_have_is_null_not_zero():
    row = options_daily_summary(stored_chain(call(105, None)), SPOT, SESSION).row(0, named=True)
    assert (row["total_call_oi"], row["total_put_oi"]) == (None, None)


def test_an_empty_chain_gives_no_rows():
    assert dealer_metrics(stored_chain(), SPOT, SESSION).height == 0
    assert options_daily_summary(stored_chain(), SPOT, SESSION).height == 0


def test_recorded_chains_reproduce_the_known_pressure_and_walls():
    raw, spot = cboe_evening()
    chain = clean_chain(raw, spot, SESSION, SESSION - timedelta(days=14)).chain
    rows = {row["symbol"]: row for row in dealer_metrics(chain, spot, SESSION).iter_rows(named=True)}
    known = {"AAPL": 70, "TSLA": 21, "MSFT": 17, "PLTR": -39}
    assert {symbol: round(rows[symbol]["dgpi"]) for symbol in known} == known
    assert rows["PLTR"]["dealer_position"] == "short_gamma"
    assert (rows["AAPL"]["call_wall_primary"], rows["AAPL"]["call_wall_primary_oi"]) == (300.0, 205_823)
    assert all(json.loads(row["dealer_metrics_json"])["usability"] == "full" for row in rows.values())
    assert all(
        75 < 100 * row["gamma_flip_level"] / s < 125
        for row, s in zip(rows.values(), spot["spot"], strict=True)
    )


def test_recorded_chains_give_the_same_bytes_in_any_order():
    raw, spot = cboe_evening()
    chain = clean_chain(raw, spot, SESSION, SESSION - timedelta(days=14)).chain
    shuffled = chain.sample(fraction=1, shuffle=True, seed=1)
    assert dealer_metrics(chain, spot, SESSION).equals(dealer_metrics(shuffled, spot, SESSION))
    assert options_daily_summary(chain, spot, SESSION).equals(options_daily_summary(shuffled, spot, SESSION))


def test_exposure_of_each_contract_is_available_for_charts():
    frame = contract_exposure(stored_chain(call(100, 100), put(100, 100)), SPOT, SESSION)
    assert frame["exposure"].to_list() == pytest.approx([40_000, -40_000])
