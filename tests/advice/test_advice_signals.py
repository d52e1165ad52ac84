"""The signal table of the domain page, row by row, and what a missing score does to it."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kapman_advice.signals import apply_signals, classify, signal_of

EVENTS = ("SC", "AR", "ST", "SPRING", "TEST", "SOS", "BC", "SOW")
scores = st.one_of(st.none(), st.just(float("nan")), st.integers(0, 28))
spring_scores = st.one_of(st.none(), st.integers(0, 12))
active = st.lists(st.sampled_from(EVENTS), unique=True)


@pytest.mark.parametrize(
    ("bc", "spring", "events", "rule", "signal_type", "priority"),
    [
        (24, 0, [], 1, "EXIT_CRITICAL", "CRITICAL"),
        (24, 12, ["SPRING", "SOS"], 1, "EXIT_CRITICAL", "CRITICAL"),
        (11, 0, ["SPRING", "SOS"], 2, "ENTRY_SIGNAL", "HIGH"),
        (11, 9, [], 3, "ENTRY_SETUP", "HIGH"),
        (11, 12, ["SOW"], 3, "ENTRY_SETUP", "HIGH"),
        (20, 12, ["SPRING", "SOS"], 4, "EXIT_WARNING", "MEDIUM"),
        (23, 0, ["SOW"], 4, "EXIT_WARNING", "MEDIUM"),
        (12, 12, ["SOW", "SPRING", "SOS"], 5, "EXIT_WARNING", "MEDIUM"),
        (19, 0, ["SOS"], 6, "ENTRY_SIGNAL", "LOW"),
        (12, 9, ["SPRING", "SOS"], 7, "ENTRY_SETUP", "LOW"),
        (0, 8, ["SPRING"], 7, "ENTRY_SETUP", "LOW"),
        (0, 8, ["TEST", "SC"], 7, "ENTRY_SETUP", "LOW"),
        (0, 8, ["SC"], 8, "ACCUMULATION", "LOW"),
        (0, 8, ["AR"], 8, "ACCUMULATION", "LOW"),
        (0, 8, ["ST"], 8, "ACCUMULATION", "LOW"),
        (19, 8, ["BC"], 9, "NEUTRAL", "INFO"),
        (0, 0, [], 9, "NEUTRAL", "INFO"),
    ],
)
def test_every_row_of_the_table_fires_on_its_own_condition_and_in_its_order(
    bc, spring, events, rule, signal_type, priority
):
    signal = classify(bc, spring, events)
    assert (signal.rule, signal.signal_type, signal.alert_priority) == (rule, signal_type, priority)


def test_the_critical_exit_says_close_all_positions_and_spring_with_sos_is_the_strong_entry():
    assert "close all positions" in classify(25, 0, []).message
    assert classify(3, 0, ["SPRING", "SOS"]).signal_strength == "STRONG"
    assert "tighter stop" in classify(3, 0, ["SOS"]).message


@given(scores, spring_scores, active, st.one_of(st.none(), st.floats(-5, 9)))
def test_exit_and_entry_flags_follow_the_family_and_never_stand_together(bc, spring, events, vsi):
    signal = classify(bc, spring, events, vsi)
    assert signal.entry_signal == signal.signal_type.startswith("ENTRY")
    assert signal.exit_signal == signal.signal_type.startswith("EXIT")
    assert 1 <= signal.rule <= 9


@given(st.integers(24, 28), spring_scores, active)
def test_a_buying_climax_score_of_24_wins_over_everything(bc, spring, events):
    assert classify(bc, spring, events).signal_type == "EXIT_CRITICAL"


@given(st.integers(20, 28), spring_scores, active)
def test_no_entry_signal_is_ever_given_at_a_buying_climax_score_of_20_or_more(bc, spring, events):
    assert classify(bc, spring, events).exit_signal


@given(scores, spring_scores, active, st.randoms(use_true_random=False))
def test_the_order_in_which_events_are_listed_does_not_matter(bc, spring, events, rng):
    shuffled = list(events)
    rng.shuffle(shuffled)
    assert classify(bc, spring, events) == classify(bc, spring, shuffled)


@given(spring_scores, active)
def test_a_missing_climax_score_fires_no_row_that_asks_for_it_in_either_direction(spring, events):
    for unknown in (None, float("nan")):
        signal = classify(unknown, spring, events)
        assert signal.rule in (5, 7, 8, 9)
        assert any(note.startswith("bc_score missing") for note in signal.notes)


@given(st.integers(0, 28), active)
def test_a_missing_spring_score_reads_like_any_score_too_low_for_a_setup(bc, events):
    assert classify(bc, None, events).rule == classify(bc, 8, events).rule


def test_spring_and_sos_without_a_climax_score_fall_to_the_weak_setup():
    assert classify(None, 10, ["SPRING", "SOS"]).rule == 7


@pytest.mark.parametrize(("vsi", "noted"), [(2.0, False), (2.01, True), (None, False)])
def test_a_volume_surge_above_two_adds_a_note_and_changes_no_signal(vsi, noted):
    signal = classify(0, 0, [], vsi)
    assert any("volume surge" in note for note in signal.notes) is noted
    assert signal.rule == 9


def snapshots(*rows) -> pl.DataFrame:
    return pl.DataFrame(
        list(rows),
        schema={
            "symbol": pl.String,
            "bc_score": pl.Int64,
            "spring_score": pl.Int64,
            "events_detected": pl.List(pl.String),
            "vsi": pl.Float64,
            "events_json": pl.String,
        },
        orient="row",
    )


def test_the_signal_is_written_beside_the_events_and_twice_gives_the_same_bytes():
    frame = snapshots(
        ("AAA", 4, 10, ["SPRING", "SOS"], 2.5, '{"sequence_position":6,"events":[{"confidence":0.85}]}'),
        ("BBB", None, None, None, None, None),
    )
    once = apply_signals(frame)
    first, second = (json.loads(text) for text in once["events_json"])
    assert first["events"] == [{"confidence": 0.85}] and first["sequence_position"] == 6
    assert first["signal_type"] == "ENTRY_SIGNAL" and first["signal_rule"] == 2 and first["entry_signal"]
    assert first["alert_priority"] == "HIGH" and first["signal_strength"] == "STRONG"
    assert any("volume surge" in note for note in first["notes"])
    assert second["signal_type"] == "NEUTRAL"
    assert any("events_detected missing" in note for note in second["notes"])
    assert apply_signals(once)["events_json"].to_list() == once["events_json"].to_list()
    assert once.drop("events_json").equals(frame.drop("events_json"))
    assert list(first) == sorted(first)


def test_the_stored_signal_is_the_one_that_is_read_back():
    frame = apply_signals(snapshots(("AAA", 21, 0, ["BC"], 0.0, None)))
    row = frame.row(0, named=True)
    assert signal_of(row) == classify(21, 0, ["BC"], 0.0)
    assert signal_of(row | {"events_json": None}) == classify(21, 0, ["BC"], 0.0)


def test_notes_of_the_structure_engine_stay_in_front_of_those_of_the_signal():
    told = '{"notes":["only 90 bars of history"]}'
    once = apply_signals(snapshots(("AAA", None, 3, ["SC"], 3.0, told)))
    twice = apply_signals(once)
    notes = json.loads(twice["events_json"][0])["notes"]
    assert notes[0] == "only 90 bars of history" and len(notes) == 3
    assert twice.equals(once)
    assert "only 90 bars of history" not in signal_of(once.row(0, named=True)).notes


def test_a_broken_events_json_or_a_missing_column_is_named():
    with pytest.raises(ValueError, match="events_json of AAA is not JSON"):
        apply_signals(snapshots(("AAA", 4, 10, [], 0.0, "{nope")))
    with pytest.raises(ValueError, match="lack the columns vsi"):
        apply_signals(snapshots(("AAA", 4, 10, [], 0.0, None)).drop("vsi"))
