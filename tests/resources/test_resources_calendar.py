"""The session rules against exchange_calendars, and their behaviour at clock changes and the ends of time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import exchange_calendars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kapman_resources import calendar
from kapman_resources.calendar import NEW_YORK

FIRST, LAST = date(2000, 1, 1), date(2027, 12, 31)
EST, EDT = timezone(timedelta(hours=-5)), timezone(timedelta(hours=-4))


@pytest.fixture(scope="module")
def exchange() -> exchange_calendars.ExchangeCalendar:
    return exchange_calendars.get_calendar("XNYS", start=str(FIRST), end=str(LAST))


def test_every_session_of_28_years_is_one_of_the_exchange_s(
    exchange: exchange_calendars.ExchangeCalendar,
) -> None:
    theirs = [stamp.date() for stamp in exchange.sessions]
    assert calendar.sessions_between(FIRST, LAST) == theirs


def test_every_early_close_of_28_years_is_one_of_the_exchange_s(
    exchange: exchange_calendars.ExchangeCalendar,
) -> None:
    theirs = [stamp.date() for stamp in exchange.early_closes]
    ours = [day for day in calendar.sessions_between(FIRST, LAST) if calendar.is_early_close(day)]
    assert ours == theirs


def test_every_close_is_the_exchange_s_to_the_minute(exchange: exchange_calendars.ExchangeCalendar) -> None:
    for session, close in exchange.closes.items():
        assert calendar.close_of(session.date()) == close.to_pydatetime(), session


def test_is_session_agrees_with_the_list_of_sessions() -> None:
    known = set(calendar.sessions_between(date(2024, 1, 1), date(2026, 12, 31)))
    days = (date(2024, 1, 1) + timedelta(days=i) for i in range(3 * 365 + 1))
    assert {day for day in days if calendar.is_session(day)} == known


def test_a_holiday_and_a_weekend_have_no_close() -> None:
    for day in (date(2025, 1, 9), date(2026, 5, 9)):
        with pytest.raises(ValueError, match=f"{day} is not a trading session"):
            calendar.close_of(day)
        assert not calendar.is_early_close(day)


@pytest.mark.parametrize(
    ("session", "utc_hour"),
    [
        (date(2026, 3, 6), 5), (date(2026, 3, 9), 4),  # clocks went forward on Sunday the 8th
        (date(2025, 10, 31), 4), (date(2025, 11, 3), 5),  # and back on Sunday the 2nd
    ],
)  # fmt: skip
def test_a_session_s_key_is_new_york_midnight_on_both_sides_of_the_clock_changes(
    session: date, utc_hour: int
) -> None:
    key = calendar.session_time(session)
    assert key == datetime(session.year, session.month, session.day, utc_hour, tzinfo=UTC)
    assert key.astimezone(NEW_YORK).date() == session


@pytest.mark.parametrize(
    ("now", "completed"),
    [
        (datetime(2026, 3, 6, 15, 59, 59, tzinfo=EST), date(2026, 3, 5)),
        (datetime(2026, 3, 6, 16, 0, tzinfo=EST), date(2026, 3, 6)),
        (datetime(2026, 3, 9, 4, 0, tzinfo=EDT), date(2026, 3, 6)),
        (datetime(2026, 3, 9, 19, 59, tzinfo=UTC), date(2026, 3, 6)),
        (datetime(2026, 3, 9, 20, 0, tzinfo=UTC), date(2026, 3, 9)),  # 16:00 EDT
        (datetime(2025, 11, 3, 20, 30, tzinfo=UTC), date(2025, 10, 31)),  # 15:30 EST
        (datetime(2025, 11, 3, 21, 0, tzinfo=UTC), date(2025, 11, 3)),
        (datetime(2025, 11, 28, 13, 0, tzinfo=EST), date(2025, 11, 28)),  # half day
        (datetime(2026, 1, 2, 4, 0, tzinfo=EST), date(2025, 12, 31)),
        (datetime(2026, 5, 6, 2, 57, tzinfo=UTC), date(2026, 5, 5)),  # still the evening of the 5th
    ],
)
def test_the_last_completed_session_changes_at_the_close_and_not_at_midnight(
    now: datetime, completed: date
) -> None:
    assert calendar.last_completed_session(now) == completed


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        calendar.last_completed_session(datetime(2026, 5, 5, 20))


@pytest.mark.parametrize(
    "instant",
    [
        datetime(2026, 5, 5, 9, 30, tzinfo=EDT),
        datetime(2026, 5, 5, 15, 59, 59, tzinfo=EDT),
        datetime(2025, 11, 28, 12, 59, tzinfo=EST),
    ],
)
def test_a_capture_while_the_market_trades_is_refused_with_the_hours_that_are_possible(
    instant: datetime,
) -> None:
    close = f"{calendar.close_of(instant.date()):%H:%M}"
    with pytest.raises(ValueError, match=f"the market trades.*capture after {close} or before 09:30"):
        calendar.capture_session(instant)


@pytest.mark.parametrize(
    ("instant", "session"),
    [
        (datetime(2026, 5, 5, 9, 29, 59, tzinfo=EDT), date(2026, 5, 4)),
        (datetime(2026, 5, 5, 16, 0, tzinfo=EDT), date(2026, 5, 5)),
        (datetime(2025, 11, 28, 13, 0, tzinfo=EST), date(2025, 11, 28)),
        (datetime(2026, 5, 9, 11, 0, tzinfo=EDT), date(2026, 5, 8)),  # Saturday
        (datetime(2025, 12, 25, 11, 0, tzinfo=EST), date(2025, 12, 24)),  # holiday
    ],
)
def test_a_capture_outside_trading_shows_the_last_completed_session(instant: datetime, session: date) -> None:
    assert calendar.capture_session(instant) == session


@pytest.mark.parametrize(
    ("instant", "shown", "held"),
    [
        # (captured, session of the day bars, session of the open interest)
        (datetime(2026, 5, 5, 16, 20, tzinfo=EDT), date(2026, 5, 5), date(2026, 5, 4)),
        (datetime(2026, 5, 6, 4, 0, tzinfo=EDT), date(2026, 5, 5), date(2026, 5, 4)),
        (datetime(2026, 5, 6, 6, 14, 59, tzinfo=EDT), date(2026, 5, 5), date(2026, 5, 4)),
        (datetime(2026, 5, 6, 7, 15, tzinfo=EDT), date(2026, 5, 5), date(2026, 5, 5)),
        (datetime(2026, 5, 6, 9, 29, tzinfo=EDT), date(2026, 5, 5), date(2026, 5, 5)),
        (datetime(2026, 5, 9, 4, 0, tzinfo=EDT), date(2026, 5, 8), date(2026, 5, 7)),  # Saturday
        (datetime(2026, 5, 10, 6, 45, tzinfo=EDT), date(2026, 5, 8), date(2026, 5, 7)),  # no report on a Sunday
        (datetime(2026, 5, 11, 4, 0, tzinfo=EDT), date(2026, 5, 8), date(2026, 5, 7)),
        (datetime(2026, 5, 11, 8, 0, tzinfo=EDT), date(2026, 5, 8), date(2026, 5, 8)),
        (datetime(2025, 12, 25, 8, 0, tzinfo=EST), date(2025, 12, 24), date(2025, 12, 23)),  # holiday
        (datetime(2025, 12, 26, 8, 0, tzinfo=EST), date(2025, 12, 24), date(2025, 12, 24)),
        (datetime(2026, 3, 9, 11, 14, tzinfo=UTC), date(2026, 3, 6), None),  # 07:14 EDT, the clocks just changed
        (datetime(2026, 3, 9, 11, 15, tzinfo=UTC), date(2026, 3, 6), date(2026, 3, 6)),
    ],
)  # fmt: skip
def test_open_interest_is_one_session_older_than_the_bars_until_it_is_reported_in_the_morning(
    instant: datetime, shown: date, held: date | None
) -> None:
    assert calendar.capture_session(instant) == shown
    if held is None:
        with pytest.raises(ValueError, match="flaps"):
            calendar.oi_session(instant)
    else:
        assert calendar.oi_session(instant) == held


@pytest.mark.parametrize("clock_time", [(6, 15), (6, 33), (7, 14)])
def test_the_morning_change_of_open_interest_is_refused_on_session_days_only(
    clock_time: tuple[int, int],
) -> None:
    with pytest.raises(ValueError, match=r"2026-05-06 0.*capture before 06:15 or after 07:15"):
        calendar.oi_session(datetime(2026, 5, 6, *clock_time, tzinfo=EDT))
    saturday = datetime(2026, 5, 9, *clock_time, tzinfo=EDT)
    assert calendar.oi_session(saturday) == date(2026, 5, 7)


def test_an_instant_of_capture_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        calendar.oi_session(datetime(2026, 5, 5, 20))


@given(
    st.datetimes(datetime(2015, 1, 1), datetime(2030, 1, 1), timezones=st.just(NEW_YORK)),
)
def test_open_interest_is_never_newer_than_the_session_shown_and_at_most_one_older(instant: datetime) -> None:
    try:
        held, shown = calendar.oi_session(instant), calendar.capture_session(instant)
    except ValueError:
        return
    assert calendar.session_offset(shown, -1) <= held <= shown


@given(
    st.sampled_from(calendar.sessions_between(date(2010, 1, 1), date(2025, 12, 31))), st.integers(-1500, 1500)
)
def test_an_offset_counts_sessions_and_its_opposite_returns(day: date, offset: int) -> None:
    other = calendar.session_offset(day, offset)
    assert calendar.session_offset(other, -offset) == day
    assert len(calendar.sessions_between(min(day, other), max(day, other))) == abs(offset) + 1


def test_an_offset_starts_from_a_session_only() -> None:
    with pytest.raises(ValueError, match="2026-05-09 is not a trading session"):
        calendar.session_offset(date(2026, 5, 9), 1)


def test_nothing_is_answered_from_beyond_the_horizon() -> None:
    first, last = date(2000, 1, 3), date(2035, 12, 31)
    assert calendar.session_on_or_before(first) == first
    assert calendar.session_offset(last, 0) == last
    for ask in (
        lambda: calendar.is_session(date(1999, 12, 31)),
        lambda: calendar.is_session(date(2036, 1, 2)),
        lambda: calendar.sessions_between(date(1999, 1, 4), last),
        lambda: calendar.sessions_between(first, date(2036, 1, 2)),
        lambda: calendar.session_offset(first, -1),
        lambda: calendar.session_offset(last, 1),
        lambda: calendar.session_on_or_before(date(2000, 1, 1)),
        lambda: calendar.last_completed_session(datetime(2000, 1, 3, 9, tzinfo=EST)),
    ):
        with pytest.raises(ValueError, match="horizon"):
            ask()
