"""The one place that reads the time. KAPMAN_NOW (ISO 8601 with a zone) replaces the clock everywhere.

Does not belong here: which session an instant falls in (calendar.py).
"""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, time, timedelta

from kapman_resources import calendar


class ClockError(ValueError):
    """KAPMAN_NOW cannot be read as an instant."""


def now() -> datetime:
    """The current instant, aware; KAPMAN_NOW when it is set."""
    text = os.environ.get("KAPMAN_NOW", "").strip()
    if not text:
        return datetime.now(UTC)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise ClockError(
            f"KAPMAN_NOW={text!r} is not an ISO time such as 2026-05-06T04:00:00-04:00"
        ) from error
    if instant.tzinfo is None:
        raise ClockError(f"KAPMAN_NOW={text!r} has no zone: write it like 2026-05-06T04:00:00-04:00")
    return instant


def last_completed_session() -> date:
    return calendar.last_completed_session(now())


class SessionClock:
    """The clock and the session calendar as one object, for the assets.

    `bar_file_deadline`: New York time of the day after a session by which its day file should be there.
    """

    def __init__(self, bar_file_deadline: time = time(11, 30)) -> None:
        self._bar_file_deadline = bar_file_deadline

    def now(self) -> datetime:
        return now()

    def last_completed_session(self) -> date:
        return last_completed_session()

    def newest_possible_session(self) -> date:
        """No stored row may be later than this; a replay (an earlier KAPMAN_NOW) does not make later rows wrong."""
        return max(last_completed_session(), calendar.last_completed_session(datetime.now(UTC)))

    def capture_session(self, instant: datetime) -> date:
        """See calendar.capture_session: raises ValueError while the market trades."""
        return calendar.capture_session(instant)

    def bars_overdue(self, session: date) -> bool:
        """Whether the session's day file should have been published by now."""
        day_after = session + timedelta(days=1)
        return self.now() >= datetime.combine(day_after, self._bar_file_deadline, calendar.NEW_YORK)
