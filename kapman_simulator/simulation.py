"""The simulated clock over a source: what is complete, published and visible now.

Wire formats do not belong here, nor where the data came from.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import date, datetime, time, timedelta

import polars as pl

from kapman_resources.calendar import NEW_YORK, close_of, last_completed_session
from kapman_simulator.faults import Faults
from kapman_simulator.source import Source

PUBLISHED_AT = time(22, 0)  # New York, of the session itself
ANNOUNCED_DAYS = 14  # a split is listed this long before it executes


class Simulation:
    """A source seen at one instant; the instant moves only when somebody moves it."""

    def __init__(self, source: Source, now: datetime, api_key: str, s3_key_id: str) -> None:
        self.source = source
        self.api_key, self.s3_key_id = api_key, s3_key_id
        self.faults = Faults()
        self.move_to(now)

    def move_to(self, now: datetime) -> None:
        """Set the clock; raises ValueError for a time without zone."""
        session = last_completed_session(now)
        self.source.reach(session)
        self.now, self.session = now.astimezone(NEW_YORK), session

    @property
    def today(self) -> date:
        return self.now.date()

    def published_at(self, session: date) -> datetime:
        return datetime.combine(session, PUBLISHED_AT, NEW_YORK)

    def is_published(self, session: date) -> bool:
        """Whether the session's flat file can be read now."""
        known = self.source.sessions
        at = bisect_left(known, session)
        if at == len(known) or known[at] != session:
            return False
        return self.published_at(session) <= self.now and session not in self.faults.plan.unpublished

    def published_sessions(self) -> list[date]:
        """Sessions whose flat file can be read now, oldest first."""
        known = self.source.sessions
        last = bisect_right(known, self.today)
        late = self.faults.plan.unpublished
        # all but today's were published on an earlier day
        older = [day for day in known[: max(last - 1, 0)] if day not in late]
        return older + [day for day in known[max(last - 1, 0) : last] if self.is_published(day)]

    def bars_of(self, session: date) -> pl.DataFrame:
        """The session's bars, whatever the clock says."""
        return self._kept(self.source.bars_of(session))

    def finished_bars_of(self, session: date) -> pl.DataFrame:
        """The session's bars once it has closed, before that none."""
        bars = self.bars_of(session)
        return bars if bars.height and close_of(session) <= self.now else bars.clear()

    def finished_history_of(self, symbol: str) -> pl.DataFrame:
        return self._kept(self.source.history_of(symbol).filter(pl.col("date") <= self.session))

    def chain_of(self, symbol: str) -> pl.DataFrame | None:
        """The chain as it stands now; generated chains lose the series that have expired by today's date."""
        if symbol in self.faults.plan.drop_symbols:
            return None
        chain = self.source.chain_of(symbol, self.session)
        if chain is None or self.source.label == "RECORDED":
            return chain
        return chain.filter(pl.col("expiration") >= self.today)

    def splits(self) -> pl.DataFrame:
        """Executed splits and those announced by now, newest first."""
        return self.source.splits.filter(
            pl.col("execution_date") <= self.today + timedelta(days=ANNOUNCED_DAYS)
        ).sort("execution_date", "symbol", descending=[True, False])

    def tickers(self, on: date | None = None) -> pl.DataFrame:
        """Tickers listed by `on` (today at the latest), `active` as of then, later delistings unknown."""
        day = min(on or self.today, self.today)
        gone = pl.col("delisted").fill_null(date.max) <= day
        return self._kept(
            self.source.tickers.filter(pl.col("list_date").fill_null(date.min) <= day).with_columns(
                active=~gone, delisted=pl.when(gone).then("delisted")
            )
        )

    def _kept(self, frame: pl.DataFrame) -> pl.DataFrame:
        dropped = self.faults.plan.drop_symbols
        return frame.filter(~pl.col("symbol").is_in(dropped)) if dropped else frame
