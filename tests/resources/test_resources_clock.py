"""KAPMAN_NOW replaces the clock, and a value that cannot be one says how to write it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from kapman_resources import clock


def test_without_the_variable_the_clock_is_the_machine_s() -> None:
    before = datetime.now(UTC)
    assert before <= clock.now() <= before + timedelta(seconds=30)


def test_the_variable_replaces_the_clock_for_instant_and_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAPMAN_NOW", " 2026-05-05T22:57:00-04:00 ")
    assert clock.now() == datetime(2026, 5, 6, 2, 57, tzinfo=UTC)
    assert clock.last_completed_session() == date(2026, 5, 5)
    assert clock.SessionClock().last_completed_session() == date(2026, 5, 5)


def test_a_replay_does_not_make_later_rows_impossible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAPMAN_NOW", "2020-05-05T22:00:00-04:00")
    assert clock.last_completed_session() == date(2020, 5, 5)
    assert clock.SessionClock().newest_possible_session() > date(2025, 1, 1)


@pytest.mark.parametrize("text", ["2026-05-05T22:57:00", "2026-05-05"])
def test_a_time_without_a_zone_is_refused_with_an_example(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAPMAN_NOW", text)
    with pytest.raises(clock.ClockError, match=rf"KAPMAN_NOW='{text}' has no zone: write it like 2026-"):
        clock.now()


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01T00:00Z", "1778000000"])
def test_a_text_that_is_no_time_is_refused_with_an_example(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAPMAN_NOW", text)
    with pytest.raises(clock.ClockError, match=rf"KAPMAN_NOW='{text}' is not an ISO time such as 2026-"):
        clock.now()
