"""What the rules decide, who may overrule whom, and a gate that trusts nobody."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta

import polars as pl
import pytest
from advice_builders import (
    CHAIN_SCHEMA,
    SESSION,
    chain_of,
    context_of,
    contract,
    full_chain,
    snapshot_of,
    sow_snapshot,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from kapman_advice.calibration import HISTORY_SCHEMA
from kapman_advice.decision import (
    Alternative,
    Context,
    Decision,
    DecisionError,
    advice_record,
    build_context,
    context_json,
    decision_json,
    validate,
)
from kapman_advice.rules import decide, is_actionable

maybe = st.one_of
FULL_CHAIN = full_chain()
BASES = {make: context_of(make(), FULL_CHAIN) for make in (snapshot_of, sow_snapshot)}


def outcome_of(decision: Decision, rule_id: str) -> str:
    return next(result.outcome for result in decision.trace if result.rule_id == rule_id)


def test_a_strong_entry_with_nothing_in_the_way_enters_a_listed_contract():
    context = context_of()
    decision = decide(context)
    chosen = context.candidates.get(decision.candidate_id)
    assert (decision.action, decision.direction, decision.strategy) == ("ENTER", "LONG", "LONG_CALL")
    assert decision.legs == chosen.legs
    assert (decision.breakeven, decision.max_loss) == (chosen.breakeven, chosen.max_loss)
    assert decision.stop_loss < decision.entry_price_target == 100.0 < decision.profit_target
    assert (decision.provider, decision.model_version) == ("rules", "rules-1")


def test_stop_and_target_come_from_the_range_and_atr_by_hand():
    decision = decide(context_of())
    assert decision.stop_loss == 96.0  # support 97 - 0.5 x ATR 2
    assert decision.profit_target == 110.0  # range resistance, 5 ATR ahead; the call wall at 115 is behind it


def test_a_call_wall_before_the_far_edge_of_the_range_becomes_the_target():
    assert decide(context_of(snapshot_of(call_wall_primary=107.0))).profit_target == 107.0
    invalid = snapshot_of(call_wall_primary=107.0, dealer_grade="invalid")
    assert decide(context_of(invalid)).profit_target == 110.0


def test_a_breakout_has_the_tighter_stop_and_the_measured_target():
    breakout = snapshot_of(
        events_detected=["SOS"],
        spring_score=0,
        range_support=90.0,
        range_resistance=99.0,
        call_wall_primary=120.0,
    )
    decision = decide(context_of(breakout))
    assert decision.stop_loss == 98.0  # broken resistance 99 - 0.5 x ATR 2
    assert decision.profit_target == 108.0  # 99 + height 9


def test_without_a_range_the_stop_is_two_atr_away_and_the_target_twice_that():
    decision = decide(context_of(snapshot_of(range_support=None, range_resistance=None)))
    assert (decision.stop_loss, decision.profit_target) == (96.0, 108.0)
    assert {"range_support", "range_resistance"} <= set(
        context_of(snapshot_of(range_support=None, range_resistance=None)).missing
    )


def test_no_range_just_now_is_a_finding_and_not_a_missing_input():
    none = {"range_support": None, "range_resistance": None}
    told = context_of(snapshot_of(**none, events_json='{"range":null}'))
    assert not {"range_support", "range_resistance"} & set(told.missing)


def test_range_levels_are_also_read_from_the_events_json():
    nested = snapshot_of(
        range_support=None, range_resistance=None, events_json='{"range":{"support":97,"resistance":110}}'
    )
    assert decide(context_of(nested)).stop_loss == 96.0


def test_the_justification_names_trade_levels_units_and_the_sign_convention():
    text = decide(context_of()).justification
    for part in (
        "$100.00 call",
        "day close of 2026-05-05",
        "breaks even at $104.40",
        "can lose $440.00",
        "stop $96.00",
        "target $110.00",
        "calls +, puts -",
        "IV rank 35 of 100",
    ):
        assert part in text


def test_a_climax_score_is_told_against_the_points_that_could_be_earned():
    partly = snapshot_of(events_json='{"bc_available_max":24}')
    assert "Buying climax score 5 of 24 available." in decide(context_of(partly)).justification


# Wyckoff may veto


def test_a_critical_exit_closes_all_positions_and_opens_nothing():
    decision = decide(context_of(snapshot_of(bc_score=24)))
    assert (decision.action, decision.direction, decision.candidate_id) == ("EXIT", "NEUTRAL", None)
    assert decision.legs == () and decision.p_direction is None
    assert "close all positions" in decision.justification.lower()
    assert outcome_of(decision, "WYC-EXIT-CRITICAL") == "vetoed"


def test_an_exit_warning_by_climax_score_allows_no_new_position_of_either_direction():
    for snapshot in (snapshot_of(bc_score=20), sow_snapshot(bc_score=20)):
        decision = decide(context_of(snapshot))
        assert (decision.action, decision.direction) == ("NO_TRADE", "NEUTRAL")


def test_a_sign_of_weakness_justifies_bearish_candidates_only():
    decision = decide(context_of(sow_snapshot()))
    assert (decision.action, decision.direction, decision.strategy) == ("ENTER", "SHORT", "LONG_PUT")
    assert decision.profit_target < decision.entry_price_target < decision.stop_loss
    rich = decide(context_of(sow_snapshot(iv_rank=60.0)))
    assert rich.strategy == "VERTICAL_SPREAD"
    assert [(leg.side, leg.option_type) for leg in rich.legs] == [("buy", "put"), ("sell", "put")]


@pytest.mark.parametrize("events", [[], ["SC", "AR"], ["BC"]])
def test_without_an_actionable_signal_there_is_no_trade_and_it_says_what_would_change_that(events):
    decision = decide(context_of(snapshot_of(events_detected=events, spring_score=0)))
    assert decision.action == "NO_TRADE"
    assert any("SPRING" in change for change in decision.what_would_change)


@pytest.mark.parametrize(
    ("snapshot", "action"),
    [
        (snapshot_of(wyckoff_phase="E", phase_confidence=0.6), "NO_TRADE"),
        (snapshot_of(wyckoff_phase="E", phase_confidence=0.4), "ENTER"),
        (snapshot_of(wyckoff_phase=None), "ENTER"),
        (sow_snapshot(wyckoff_phase="B", phase_confidence=0.9), "NO_TRADE"),
    ],
)
def test_only_a_sure_phase_of_the_other_side_vetoes(snapshot, action):
    assert decide(context_of(snapshot)).action == action


# Volatility forbids long premium at its extreme


@pytest.mark.parametrize("make", [snapshot_of, sow_snapshot])
def test_an_iv_rank_of_80_never_pays_premium_and_79_may(make):
    context = context_of(make(iv_rank=80.0))
    decision = decide(context)
    assert context.candidates.get(decision.candidate_id).net_debit < 0
    assert outcome_of(decision, "VOL-IV-RANK") == "vetoed"
    just_below = context_of(make(iv_rank=79.9))
    assert just_below.candidates.get(decide(just_below).candidate_id).net_debit > 0


def test_when_only_long_premium_is_listed_an_extreme_iv_rank_means_no_trade():
    calls = chain_of(contract(100.0, "call", 0.54, 4.4))
    decision = decide(context_of(snapshot_of(iv_rank=85.0), calls))
    assert decision.action == "NO_TRADE" and outcome_of(decision, "VOL-STRUCTURE") == "vetoed"
    assert any("IV rank falls below 80" in change for change in decision.what_would_change)


def test_an_unknown_iv_rank_is_declared_and_prefers_defined_risk():
    context = context_of(snapshot_of(iv_rank=None))
    decision = decide(context)
    assert decision.strategy == "VERTICAL_SPREAD" and outcome_of(decision, "VOL-IV-RANK") == "missing"
    assert "iv_rank" in context.missing and "iv_rank" in decision.justification


# Dealer positioning may defer and never turns the side


def test_a_call_wall_right_above_defers_and_names_the_close_that_would_change_it():
    decision = decide(context_of(snapshot_of(call_wall_primary=100.9)))
    assert (decision.action, decision.direction, decision.legs) == ("WAIT", "LONG", ())
    assert decision.what_would_change == ("a close above $100.90",)
    assert decision.alternatives and all("only when" in item.reason for item in decision.alternatives)


def test_strong_short_gamma_below_the_flip_defers_a_long_entry():
    deferred = snapshot_of(dgpi=-60.0, gamma_flip_level=104.0)
    assert decide(context_of(deferred)).action == "WAIT"
    assert decide(context_of(deferred | {"dgpi": -40.0})).action == "ENTER"


def test_an_invalid_dealer_grade_is_shown_as_missing_and_never_used():
    blocking = {"call_wall_primary": 100.5, "dgpi": -90.0, "gamma_flip_level": 120.0}
    assert decide(context_of(snapshot_of(**blocking))).action == "WAIT"
    for grade in ("invalid", None):
        decision = decide(context_of(snapshot_of(dealer_grade=grade, **blocking)))
        assert decision.action == "ENTER"
        assert outcome_of(decision, "DLR-WALL") == outcome_of(decision, "DLR-GAMMA") == "missing"


level = maybe(st.none(), st.floats(50, 150))


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([snapshot_of, sow_snapshot]),
    st.fixed_dictionaries(
        {
            "dgpi": maybe(st.none(), st.floats(-100, 100)),
            "gamma_flip_level": level,
            "call_wall_primary": level,
            "put_wall_primary": level,
            "gex_net": maybe(st.none(), st.floats(-1e9, 1e9)),
            "dealer_grade": st.sampled_from(["full", "limited", "invalid", None]),
        }
    ),
)
def test_dealer_metrics_never_turn_the_direction_and_at_most_defer(make, dealer):
    base = BASES[make]
    reference, decision = decide(base), decide(replace(base, snapshot=make(**dealer)))
    assert decision.direction == reference.direction
    assert decision.action in ("ENTER", "WAIT")


# Indicators only qualify


@settings(max_examples=100, deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "rsi_14": maybe(st.none(), st.floats(0, 100)),
            "macd_histogram": maybe(st.none(), st.floats(-5, 5)),
            "price_vs_sma50": maybe(st.none(), st.floats(-0.9, 2)),
            "adx_14": maybe(st.none(), st.floats(0, 100)),
        }
    )
)
def test_indicators_change_the_confidence_and_nothing_else(indicators):
    base = BASES[snapshot_of]
    reference, decision = decide(base), decide(replace(base, snapshot=snapshot_of(**indicators)))
    for name in ("action", "direction", "candidate_id", "stop_loss", "profit_target", "p_direction"):
        assert getattr(decision, name) == getattr(reference, name)


def test_a_supporting_indicator_ranks_above_an_adverse_one_with_the_missing_in_between():
    helps, unknown, hurts = (
        decide(context_of(snapshot_of(price_vs_sma50=value))).confidence for value in (0.05, None, -0.05)
    )
    assert helps > unknown > hurts


# Data


def test_without_a_chain_there_is_no_trade_and_the_reason_is_told():
    decision = decide(context_of(chain=pl.DataFrame(schema=CHAIN_SCHEMA)))
    assert decision.action == "NO_TRADE" and "no chain stored for ABC" in decision.justification
    assert not any("IV rank" in change for change in decision.what_would_change)


def test_without_bars_there_is_no_stop_and_no_trade():
    decision = decide(context_of(snapshot_of(atr_14=None)))
    assert decision.action == "NO_TRADE" and outcome_of(decision, "DATA-LEVELS") == "vetoed"


def test_a_stale_snapshot_is_not_traded_and_a_partial_one_ranks_lower():
    assert decide(context_of(snapshot_of(data_quality="stale"))).action == "NO_TRADE"
    partial, complete = (decide(context_of(snapshot_of(data_quality=q))) for q in ("partial", "complete"))
    assert partial.action == "ENTER" and partial.confidence < complete.confidence


def test_a_target_nearer_than_the_stop_waits_for_a_better_price():
    decision = decide(context_of(snapshot_of(range_support=95.0, range_resistance=102.5)))
    assert decision.action == "WAIT"
    assert decision.what_would_change == ("the price comes back to $98.25",)


snapshots = st.fixed_dictionaries(
    {
        "spot": maybe(st.none(), st.just(100.0), st.floats(1, 300)),
        "bc_score": maybe(st.none(), st.integers(0, 28)),
        "spring_score": maybe(st.none(), st.integers(0, 12)),
        "events_detected": maybe(
            st.none(),
            st.lists(st.sampled_from(["SC", "AR", "SPRING", "TEST", "SOS", "SOW", "BC"]), unique=True),
        ),
        "wyckoff_phase": st.sampled_from([None, "A", "B", "C", "D", "E"]),
        "phase_confidence": maybe(st.none(), st.floats(0, 1)),
        "atr_14": maybe(st.none(), st.floats(0, 60)),
        "iv_rank": maybe(st.none(), st.floats(0, 100)),
        "range_support": level,
        "range_resistance": level,
        "call_wall_primary": level,
        "put_wall_primary": level,
        "data_quality": st.sampled_from([None, "complete", "partial", "stale"]),
    }
)


@settings(max_examples=100, deadline=None)
@given(snapshots)
def test_every_decision_is_deterministic_valid_and_names_only_listed_contracts(changes):
    context = context_of(snapshot_of(**changes), FULL_CHAIN)
    decision = decide(context)
    validate(decision, context)
    assert decision_json(decision) == decision_json(decide(context_of(snapshot_of(**changes), FULL_CHAIN)))
    assert {leg.contract for leg in decision.legs} <= set(FULL_CHAIN["contract"])
    assert decision.action == "ENTER" or decision.what_would_change
    if changes["bc_score"] is not None and changes["bc_score"] >= 24:
        assert decision.action == "EXIT"
    if decision.action == "ENTER" and changes["iv_rank"] is not None and changes["iv_rank"] >= 80:
        assert context.candidates.get(decision.candidate_id).net_debit < 0


# The gate


@pytest.mark.parametrize(
    "lie",
    [
        lambda d, c: {"candidate_id": "C99"},
        lambda d, c: {"candidate_id": None},
        lambda d, c: {"candidate_id": "C\u0661"},
        lambda d, c: {
            "candidate_id": next(i.candidate_id for i in c.candidates.candidates if i.direction == "SHORT")
        },
        lambda d, c: {"legs": (replace(d.legs[0], strike=d.legs[0].strike + 1),)},
        lambda d, c: {"legs": (replace(d.legs[0], price=d.legs[0].price - 0.01),)},
        lambda d, c: {"legs": (replace(d.legs[0], expiration=d.legs[0].expiration + timedelta(days=7)),)},
        lambda d, c: {"legs": (replace(d.legs[0], side="sell"),)},
        lambda d, c: {"legs": ()},
        lambda d, c: {"legs": d.legs * 2},
        lambda d, c: {"strategy": "CSP"},
        lambda d, c: {"direction": "SHORT"},
        lambda d, c: {"action": "BUY"},
        lambda d, c: {"action": "WAIT"},
        lambda d, c: {"symbol": "XYZ"},
        lambda d, c: {"session": date(2026, 5, 6)},
        lambda d, c: {"confidence": 1.2},
        lambda d, c: {"p_direction": float("nan")},
        lambda d, c: {"p_direction": None},
        lambda d, c: {"max_loss": 1.0},
        lambda d, c: {"breakeven": 1.0},
        lambda d, c: {"stop_loss": 101.0},
        lambda d, c: {"stop_loss": None},
        lambda d, c: {"profit_target": -5.0},
        lambda d, c: {"alternatives": (Alternative("C77", "CSP", "invented"),)},
        lambda d, c: {"alternatives": (Alternative(d.candidate_id, "LONG_CALL", "the choice itself"),)},
    ],
)
def test_the_gate_refuses_whatever_was_not_enumerated_or_contradicts_itself(lie):
    context = context_of()
    decision = decide(context)
    validate(decision, context)
    with pytest.raises(DecisionError):
        validate(replace(decision, **lie(decision, context)), context)


def test_the_context_of_another_symbol_does_not_validate_a_decision():
    other = [
        row | {"symbol": "XYZ", "contract": row["contract"].replace("ABC", "XYZ")}
        for row in FULL_CHAIN.to_dicts()
    ]
    foreign = context_of(snapshot_of(symbol="XYZ"), chain_of(*other))
    with pytest.raises(DecisionError, match="decision is for ABC"):
        validate(decide(context_of()), foreign)


# Records


def test_only_the_entry_and_exit_families_are_actionable():
    assert is_actionable(snapshot_of()) and is_actionable(snapshot_of(bc_score=24))
    assert is_actionable(sow_snapshot())
    assert not is_actionable(snapshot_of(events_detected=["SC"], spring_score=0))
    assert not is_actionable(snapshot_of(events_detected=[], spring_score=0))


def test_the_probability_comes_from_outcomes_resolved_before_the_session_only():
    def history(day: date) -> pl.DataFrame:
        row = {"event": "SOS", "phase": "A", "direction": "LONG", "correct": True, "resolved_on": day}
        return pl.DataFrame([row] * 40, schema=HISTORY_SCHEMA)

    earlier = build_context(FULL_CHAIN, snapshot_of(), SESSION, history(SESSION - timedelta(days=1)))
    same_day = build_context(FULL_CHAIN, snapshot_of(), SESSION, history(SESSION))
    assert decide(earlier).p_direction > 0.8
    assert (decide(same_day).p_direction, decide(same_day).p_direction_basis) == (0.5, "no record yet")


def test_decision_and_context_become_json_with_sorted_keys_and_no_nan():
    context: Context = context_of(snapshot_of(vsi=float("nan")))
    told = json.loads(decision_json(decide(context)))
    assert list(told) == sorted(told) and told["legs"][0]["expiration"] == "2026-06-19"
    assert "NaN" not in context_json(context)


def test_the_flat_record_carries_the_trade_and_keeps_dates_as_dates():
    context = context_of()
    record = advice_record(decide(context), context)
    assert (record["recommendation_date"], record["spot"], record["dte"]) == (SESSION, 100.0, 45)
    assert record["legs"][0]["expiration"] == SESSION + timedelta(days=45)
    waiting = context_of(snapshot_of(call_wall_primary=100.9))
    record = advice_record(decide(waiting), waiting)
    assert (record["legs"], record["expected_move"], record["direction"]) == ([], None, "LONG")
