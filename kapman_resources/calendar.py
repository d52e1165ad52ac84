"""XNYS sessions by rule, 2000 to 2035: which days trade, when they close, which one is the last completed.

Pure and dependency-free, because every Dagster process imports it; tests check it against exchange_calendars.
Nothing here reads the clock (see clock.py).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
FIRST_YEAR, LAST_YEAR = 2000, 2035
REGULAR_OPEN, REGULAR_CLOSE, EARLY_CLOSE = time(9, 30), time(16, 0), time(13, 0)
# OPRA reports open interest once, at about 06:30 on session mornings; around it the vendor's figures flap.
OPEN_INTEREST_FLAPS_FROM, OPEN_INTEREST_FLAPS_UNTIL = time(6, 15), time(7, 15)

# Closures no rule can know.
UNSCHEDULED_CLOSURES = frozenset(
    [
        date(2001, 9, 11), date(2001, 9, 12), date(2001, 9, 13), date(2001, 9, 14),
        date(2004, 6, 11), date(2007, 1, 2), date(2012, 10, 29), date(2012, 10, 30),
        date(2018, 12, 5), date(2025, 1, 9),
    ]
)  # fmt: skip


def _nth(year: int, month: int, weekday: int, n: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))


def _last_monday_of_may(year: int) -> date:
    last = date(year, 5, 31)
    return last - timedelta(days=last.weekday())


def _easter(year: int) -> date:
    """Gregorian Easter Sunday (anonymous algorithm, Meeus 1991)."""
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    m = (a + 11 * h) // 319
    r = (2 * e + 2 * i - k - h + m + 32) % 7
    month = (h - m + r + 90) // 25
    return date(year, month, (h - m + r + month + 19) % 32)


def _observed(day: date) -> date:
    return day + timedelta(days={5: -1, 6: 1}.get(day.weekday(), 0))


@cache
def holidays(year: int) -> frozenset[date]:
    """Full-day closures of one year, weekends not included."""
    days = {
        _nth(year, 1, 0, 3),
        _nth(year, 2, 0, 3),
        _easter(year) - timedelta(days=2),
        _last_monday_of_may(year),
        _observed(date(year, 7, 4)),
        _nth(year, 9, 0, 1),
        _nth(year, 11, 3, 4),
        _observed(date(year, 12, 25)),
    }
    new_year = date(year, 1, 1)
    if new_year.weekday() != 5:  # a Saturday New Year is not observed: the year's last Friday trades
        days.add(_observed(new_year))
    if year >= 2022:
        days.add(_observed(date(year, 6, 19)))
    return frozenset(days | {d for d in UNSCHEDULED_CLOSURES if d.year == year})


def all_holidays(first_year: int = FIRST_YEAR, last_year: int = LAST_YEAR) -> list[date]:
    return sorted(d for year in range(first_year, last_year + 1) for d in holidays(year))


@cache
def _sessions() -> list[date]:
    closed = set(all_holidays())
    span = (date(LAST_YEAR, 12, 31) - date(FIRST_YEAR, 1, 1)).days + 1
    days = (date(FIRST_YEAR, 1, 1) + timedelta(days=i) for i in range(span))
    return [d for d in days if d.weekday() < 5 and d not in closed]


def _check_horizon(day: date) -> None:
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise ValueError(f"{day} is outside the calendar's horizon {FIRST_YEAR}..{LAST_YEAR}")


def _session_at(position: int, wanted: str) -> date:
    every = _sessions()
    if not 0 <= position < len(every):  # a negative index would answer from the far end
        raise ValueError(f"{wanted} is outside the calendar's horizon {every[0]}..{every[-1]}")
    return every[position]


def is_session(day: date) -> bool:
    _check_horizon(day)
    return day.weekday() < 5 and day not in holidays(day.year)


def sessions_between(first: date, last: date) -> list[date]:
    """Sessions in [first, last], both ends included."""
    _check_horizon(first)
    _check_horizon(last)
    every = _sessions()
    return every[bisect_left(every, first) : bisect_right(every, last)]


def session_offset(day: date, offset: int) -> date:
    """The session `offset` sessions from `day`, which must be one."""
    if not is_session(day):
        raise ValueError(f"{day} is not a trading session")
    return _session_at(bisect_left(_sessions(), day) + offset, f"the session {offset:+d} from {day}")


def session_on_or_before(day: date) -> date:
    _check_horizon(day)
    return _session_at(bisect_right(_sessions(), day) - 1, f"the session before {day}")


def is_early_close(day: date) -> bool:
    """Thanksgiving Friday, Christmas Eve and the day before Independence Day close at 13:00."""
    if not is_session(day):
        return False
    if day == _nth(day.year, 11, 3, 4) + timedelta(days=1) or (day.month, day.day) == (12, 24):
        return True
    if day == date(2003, 12, 26):  # a Friday after Christmas that no rule yields
        return True
    # July 3 closes early from Monday to Thursday; before 2013 a Thursday July 4 moved it to Friday, July 5
    if (day.month, day.day) == (7, 3):
        return day.weekday() in (0, 1, 2, 3) and not (day.weekday() == 2 and day.year < 2013)
    return (day.month, day.day) == (7, 5) and day.weekday() == 4 and day.year < 2013


def close_of(session: date) -> datetime:
    """The instant (New York zone) at which the session's regular trading ends."""
    if not is_session(session):
        raise ValueError(f"{session} is not a trading session")
    return datetime.combine(session, EARLY_CLOSE if is_early_close(session) else REGULAR_CLOSE, NEW_YORK)


def last_completed_session(now: datetime) -> date:
    """The newest session whose close is not later than `now` (an aware datetime)."""
    if now.tzinfo is None:
        raise ValueError("now must carry a time zone")
    local = now.astimezone(NEW_YORK)
    session = session_on_or_before(local.date())
    return session if close_of(session) <= local else session_offset(session, -1)


def capture_session(instant: datetime) -> date:
    """The session that a snapshot of "now" taken at this instant shows: the last completed one.

    Raises ValueError while the market trades, because such a snapshot mixes two sessions.
    """
    local = instant.astimezone(NEW_YORK)
    today = local.date()
    if is_session(today) and datetime.combine(today, REGULAR_OPEN, NEW_YORK) <= local < close_of(today):
        raise ValueError(
            f"at {local:%Y-%m-%d %H:%M} New York the market trades, and the vendor shows a session that is not over: "
            f"capture after {close_of(today):%H:%M} or before {REGULAR_OPEN:%H:%M}"
        )
    return last_completed_session(instant)


def oi_session(instant: datetime) -> date:
    """The session to whose end the open interest of a chain captured at this instant (an aware datetime) refers.

    The figure changes once on each session's morning: before it, at 04:00 after session D, it is that of the end of
    D-1, after it that of D; weekends and holidays change nothing. Raises ValueError from 06:15 to 07:15 New York of
    such a morning, when pages of one chain can show different days.
    """
    if instant.tzinfo is None:
        raise ValueError("the instant of a capture must carry a time zone")
    local = instant.astimezone(NEW_YORK)
    today = local.date()
    if is_session(today):
        if local.time() >= OPEN_INTEREST_FLAPS_UNTIL:
            return session_offset(today, -1)
        if local.time() >= OPEN_INTEREST_FLAPS_FROM:
            raise ValueError(
                f"at {local:%Y-%m-%d %H:%M} New York the vendor's open interest changes from one session to the next "
                f"and flaps: capture before {OPEN_INTEREST_FLAPS_FROM:%H:%M} or after {OPEN_INTEREST_FLAPS_UNTIL:%H:%M}"
            )
    newest_report = session_on_or_before(today - timedelta(days=1))
    return session_offset(newest_report, -1)


def session_time(session: date) -> datetime:
    """The one instant that keys a session in every table: 00:00 New York of its date."""
    return datetime.combine(session, time(), NEW_YORK).astimezone(UTC)
