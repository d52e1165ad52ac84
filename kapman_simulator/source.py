"""What the server serves: one small protocol for generated and recorded markets, and the generated one.

A source knows data by session; what is visible at the simulated clock is decided by the simulation, not here.
"""

from __future__ import annotations

from bisect import bisect_left
from datetime import date, datetime, time, timedelta
from typing import Protocol

import numpy as np
import polars as pl

from kapman_resources.calendar import NEW_YORK, session_offset, session_on_or_before
from kapman_simulator.chains import CONTRACTS, DIVIDEND, RATE, option_bars, option_chain
from kapman_simulator.contracts import HISTORY
from kapman_simulator.market import BAR_SCHEMA, Market, generate

_FILE_BYTES = 20  # one listed contract's room in an option file; about 9 to 12 are used


class Source(Protocol):
    """A market the server can serve."""

    label: str  # "SIMULATED" or "RECORDED"
    seed: int | None
    default_now: datetime
    risk_free_rate: float | None  # that the greeks were made with, where it is known
    dividend_yield: float | None
    fingerprint: str  # names the content in the ETag of a file that is not made yet

    @property
    def sessions(self) -> list[date]: ...

    @property
    def option_sessions(self) -> list[date]:
        """Sessions of which option bars are known."""

    @property
    def splits(self) -> pl.DataFrame:
        """symbol, execution_date, split_from, split_to."""

    @property
    def tickers(self) -> pl.DataFrame:
        """market.TICKER_SCHEMA."""

    def reach(self, session: date) -> None:
        """Make sure that data up to `session` exists, where the source can make it."""

    def bars_of(self, session: date) -> pl.DataFrame:
        """market.BAR_SCHEMA, one session, sorted by symbol; empty for a date without bars."""

    def history_of(self, symbol: str) -> pl.DataFrame:
        """market.BAR_SCHEMA, one symbol, sorted by date."""

    def chain_symbols(self, session: date) -> list[str]: ...

    def chain_of(self, symbol: str, session: date) -> pl.DataFrame | None:
        """wire_chain.CHAIN_SCHEMA sorted by contract; None for an underlying without a chain there."""

    def option_bars_of(self, symbols: list[str], session: date) -> pl.DataFrame:
        """market.BAR_SCHEMA with contracts as symbols, sorted: what traded of these underlyings."""

    def option_file_size(self, session: date) -> int | None:
        """Bytes the session's option file is promised to have before it is made; None: it is made at once."""


class BarStore:
    """Bars sorted by symbol and date, readable by session too (through an index, without a second copy)."""

    def __init__(self, bars: pl.DataFrame) -> None:
        self.bars = bars
        days = bars["date"].to_physical().to_numpy()
        self._order = np.argsort(days, kind="stable").astype(np.uint32)
        values, starts = np.unique(days[self._order], return_index=True)
        self.sessions: list[date] = pl.Series(values).cast(pl.Int32).cast(pl.Date).to_list()
        self._edges = [*starts.tolist(), len(days)]

    def of_session(self, session: date) -> pl.DataFrame:
        at = bisect_left(self.sessions, session)
        if at == len(self.sessions) or self.sessions[at] != session:
            return self.bars.clear()
        return self.bars[self._order[self._edges[at] : self._edges[at + 1]]]


class GeneratedSource:
    """The seeded market behind the protocol; grows when the clock moves past its end."""

    label = "SIMULATED"
    risk_free_rate: float | None = RATE
    dividend_yield: float | None = DIVIDEND

    def __init__(
        self, seed: int, last: date, symbols: int = 300, contracts_per_symbol: int = CONTRACTS
    ) -> None:
        self.seed: int | None = seed
        self._symbols, self._contracts = symbols, contracts_per_symbol
        self.fingerprint = f"generated {seed} {symbols} {contracts_per_symbol}"
        self._grow(session_on_or_before(last))
        day_after = self.market.last + timedelta(days=1)
        self.default_now = datetime.combine(day_after, time(4), NEW_YORK)

    def _grow(self, last: date) -> None:
        assert self.seed is not None
        self.market: Market = generate(self.seed, last, self._symbols)
        self._store = BarStore(self.market.bars)

    def reach(self, session: date) -> None:
        if session > self.market.last:
            self._grow(session_offset(session, 20))

    @property
    def sessions(self) -> list[date]:
        return list(self.market.sessions)

    @property
    def option_sessions(self) -> list[date]:
        return list(self.market.sessions[HISTORY - 1 :])

    @property
    def splits(self) -> pl.DataFrame:
        return self.market.splits

    @property
    def tickers(self) -> pl.DataFrame:
        return self.market.tickers

    def bars_of(self, session: date) -> pl.DataFrame:
        return self._store.of_session(session)

    def history_of(self, symbol: str) -> pl.DataFrame:
        return self.market.history_of(symbol)

    def chain_symbols(self, session: date) -> list[str]:
        traded = self.bars_of(session)["symbol"].to_list()
        return [symbol for symbol in traded if self.market.members[symbol].optionable]

    def chain_of(self, symbol: str, session: date) -> pl.DataFrame | None:
        chain = option_chain(self.market, symbol, session, contracts_per_symbol=self._contracts)
        return chain if chain.height else None

    def option_bars_of(self, symbols: list[str], session: date) -> pl.DataFrame:
        bars = [
            option_bars(self.market, symbol, session, contracts_per_symbol=self._contracts)
            for symbol in symbols
        ]
        return pl.concat([pl.DataFrame(schema=BAR_SCHEMA), *bars]).sort("symbol")

    def option_file_size(self, session: date) -> int | None:
        # few contracts asked for still give a ladder of a certain length, hence the constant
        return 512 + _FILE_BYTES * len(self.chain_symbols(session)) * (self._contracts + 40)
