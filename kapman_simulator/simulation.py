"""The simulated clock over a source: what is complete, published and visible now.

Wire formats do not belong here, nor where the data came from.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import date, datetime, time, timedelta
from typing import Literal

import polars as pl

from kapman_resources.calendar import NEW_YORK, close_of, last_completed_session, session_offset
from kapman_simulator.data_sets import STOCKS, DataSet
from kapman_simulator.faults import Faults
from kapman_simulator.source import Source

FILE_CACHE_BYTES = 24_000_000
OPEN_INTEREST_AT = time(6, 30)  # New York: the clearing house's report on the session before
ANNOUNCED_DAYS = 14  # a split is listed this long before it executes


class Simulation:
    """A source seen at one instant; the instant moves only when somebody moves it."""

    def __init__(self, source: Source, now: datetime, api_key: str, s3_key_id: str) -> None:
        self.source = source
        self.api_key, self.s3_key_id = api_key, s3_key_id
        self.faults = Faults()
        self.file_cache_bytes = FILE_CACHE_BYTES  # a benchmark raises it, so that no file is made twice
        self.move_to(now)

    def move_to(self, now: datetime) -> None:
        """Set the clock; raises ValueError for a time without zone."""
        session = last_completed_session(now)
        self.source.reach(session)
        self.now, self.session = now.astimezone(NEW_YORK), session

    @property
    def today(self) -> date:
        return self.now.date()

    @property
    def success(self) -> Literal["OK", "DELAYED"]:
        """The status word of a good REST answer."""
        return "DELAYED" if self.faults.plan.delayed else "OK"

    def known_sessions(self, data_set: DataSet) -> list[date]:
        """Sessions of which the source has a file of this kind, published or not."""
        return self.source.sessions if data_set is STOCKS else self.source.option_sessions

    def published_at(self, session: date, data_set: DataSet = STOCKS) -> datetime:
        return datetime.combine(session, data_set.published, NEW_YORK)

    def is_published(self, session: date, data_set: DataSet = STOCKS) -> bool:
        """Whether the session's flat file is listed now."""
        known = self.known_sessions(data_set)
        at = bisect_left(known, session)
        if at == len(known) or known[at] != session:
            return False
        return self.published_at(session, data_set) <= self.now and session not in self._late(data_set)

    def published_sessions(self, data_set: DataSet = STOCKS) -> list[date]:
        """Sessions whose flat file is listed now, oldest first."""
        known, late = self.known_sessions(data_set), self._late(data_set)
        last = bisect_right(known, self.today)
        # all but today's were published on an earlier day
        older = [day for day in known[: max(last - 1, 0)] if day not in late]
        return older + [day for day in known[max(last - 1, 0) : last] if self.is_published(day, data_set)]

    def _late(self, data_set: DataSet) -> list[date]:
        plan = self.faults.plan
        return plan.unpublished if plan.concerns(data_set.prefix) else []

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

    def option_bars_of(self, session: date) -> pl.DataFrame:
        """The bars of all contracts that traded, whatever the clock says."""
        return self.source.option_bars_of(self.optionable_on(session), session)

    def optionable_on(self, session: date) -> list[str]:
        """Underlyings that may have a chain."""
        dropped = self.faults.plan.drop_symbols
        return [symbol for symbol in self.source.chain_symbols(session) if symbol not in dropped]

    def reported_interest_of(self, symbol: str, session: date) -> pl.DataFrame | None:
        """The chain of the session after, whose open interest is that of the end of `session`; None until then."""
        following = session_offset(session, 1)
        reported = datetime.combine(following, OPEN_INTEREST_AT, NEW_YORK)
        if self.now < reported or symbol in self.faults.plan.drop_symbols:
            return None
        self.source.reach(following)
        return self.source.chain_of(symbol, following)

    def finished_chain_of(self, symbol: str, session: date) -> pl.DataFrame | None:
        """The chain as it stood at the end of `session`; None before that end."""
        if session > self.session or symbol in self.faults.plan.drop_symbols:
            return None
        return self.source.chain_of(symbol, session)

    def splits(self) -> pl.DataFrame:
        """Executed splits and those announced by now, newest first."""
        return self.source.splits.filter(
            pl.col("execution_date") <= self.today + timedelta(days=ANNOUNCED_DAYS)
        ).sort("execution_date", "symbol", descending=[True, False])

    def tickers(self, on: date | None = None) -> pl.DataFrame:
        """Tickers listed by `on` (today at the latest), `active` as of then, later delistings unknown."""
        day = min(on or self.today, self.today)
        dateless = ~pl.col("active") & pl.col("delisted").is_null()
        gone = (pl.col("delisted").fill_null(date.max) <= day) | dateless
        return self._kept(
            self.source.tickers.filter(pl.col("list_date").fill_null(date.min) <= day).with_columns(
                active=~gone, delisted=pl.when(gone).then("delisted")
            )
        )

    def _kept(self, frame: pl.DataFrame) -> pl.DataFrame:
        dropped = self.faults.plan.drop_symbols
        return frame.filter(~pl.col("symbol").is_in(dropped)) if dropped else frame
