"""Probabilities that start at one half, move slowly, look only back, and are judged by the Brier score."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kapman_advice.calibration import HISTORY_SCHEMA, brier_summary, p_direction

SESSION = date(2026, 5, 5)


def history(*groups: tuple[str | None, str | None, str, int, int, date]) -> pl.DataFrame:
    """Groups of (event, phase, direction, right, wrong, resolved_on)."""
    rows = [
        (event, phase, side, index < right, day)
        for event, phase, side, right, wrong, day in groups
        for index in range(right + wrong)
    ]
    return pl.DataFrame(rows, schema=HISTORY_SCHEMA, orient="row")


YESTERDAY = SESSION - timedelta(days=1)


def test_without_a_record_the_probability_is_one_half_and_says_so():
    for nothing in (None, history()):
        told = p_direction("SPRING", "A", "LONG", nothing, before=SESSION)
        assert (told.p, told.n, told.basis) == (0.5, 0, "no record yet")


def test_a_base_rate_by_hand():
    told = p_direction(
        "SPRING", "A", "LONG", history(("SPRING", "A", "LONG", 20, 0, YESTERDAY)), before=SESSION
    )
    base = (20 + 10) / 40  # twenty right, shrunk to one half by twenty
    event = (20 + 20 * base) / 40
    assert told.p == pytest.approx((20 + 20 * event) / 40)
    assert told.n == 20 and "20 of 20 right for SPRING in phase A" in told.basis


def test_an_event_without_its_own_record_gets_the_rate_of_its_direction():
    told = p_direction("SOS", "B", "LONG", history(("SPRING", "A", "LONG", 20, 0, YESTERDAY)), before=SESSION)
    assert told.p == pytest.approx(0.75) and told.n == 0


def test_the_other_direction_is_no_evidence():
    told = p_direction("SOW", "E", "SHORT", history(("SOW", "E", "LONG", 50, 0, YESTERDAY)), before=SESSION)
    assert told.p == 0.5


def test_outcomes_resolved_on_or_after_the_session_are_not_known_yet():
    past = ("SPRING", "A", "LONG", 5, 5, YESTERDAY)
    future = [
        ("SPRING", "A", "LONG", 100, 0, SESSION),
        ("SPRING", "A", "LONG", 100, 0, SESSION + timedelta(9)),
    ]
    assert p_direction("SPRING", "A", "LONG", history(past, *future), before=SESSION) == p_direction(
        "SPRING", "A", "LONG", history(past), before=SESSION
    )


def test_a_history_without_the_session_is_refused_since_it_would_look_ahead():
    with pytest.raises(ValueError, match="needs `before`"):
        p_direction("SPRING", "A", "LONG", history(("SPRING", "A", "LONG", 1, 0, YESTERDAY)))


def test_a_missing_event_is_its_own_case_and_not_all_events():
    record = history((None, "A", "LONG", 10, 0, YESTERDAY), ("SOS", "A", "LONG", 0, 10, YESTERDAY))
    assert p_direction(None, "A", "LONG", record, before=SESSION).p > 0.5
    assert p_direction("SOS", "A", "LONG", record, before=SESSION).p < 0.5


@given(st.integers(0, 200), st.integers(0, 200))
def test_the_probability_stays_between_one_half_and_the_rate_seen(right, wrong):
    p = p_direction(
        "SOS", "B", "LONG", history(("SOS", "B", "LONG", right, wrong, YESTERDAY)), before=SESSION
    ).p
    rate = right / (right + wrong) if right + wrong else 0.5
    assert min(rate, 0.5) - 1e-12 <= p <= max(rate, 0.5) + 1e-12


def test_brier_by_hand_and_too_few_under_thirty():
    told = brier_summary([(0.8, True), (0.6, False), (0.5, True), (None, True), (0.9, None)])
    assert told.n == 3
    assert told.brier == pytest.approx((0.04 + 0.36 + 0.25) / 3)
    assert told.base_rate == pytest.approx(2 / 3) and told.base_rate_brier == pytest.approx(2 / 9)
    assert (told.skill, told.verdict) == (None, "too few")
    assert brier_summary([]).verdict == "too few" and brier_summary([]).brier is None


def test_skill_is_measured_from_thirty_outcomes_on():
    sharp = [(0.9, True)] * 15 + [(0.1, False)] * 15
    told = brier_summary(sharp)
    assert told.skill == pytest.approx(1 - 0.01 / 0.25) and told.verdict == "better than the base rate"
    flat = brier_summary([(0.5, True)] * 15 + [(0.5, False)] * 15)
    assert flat.skill == pytest.approx(0.0) and flat.verdict == "no better than the base rate"
    assert brier_summary([(0.9, True)] * 30).skill is None


def test_a_frame_of_outcomes_gives_the_same_summary_as_its_pairs():
    pairs = [(0.9, True), (0.2, False), (None, None)]
    frame = pl.DataFrame(
        pairs, schema={"p_direction": pl.Float64, "direction_correct": pl.Boolean}, orient="row"
    )
    assert brier_summary(frame) == brier_summary(pairs)
