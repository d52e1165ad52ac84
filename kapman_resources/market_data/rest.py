"""What is asked of the vendor's REST interface: bars of a day, chains, their history, splits, tickers.

How it is asked belongs to rest_transport, the form of an answer to rest_wire, the paging of a chain to rest_chains.
Does not belong here: which rows are good.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from datetime import date

import polars as pl

from kapman_resources import clock
from kapman_resources.market_data import rest_history, rest_reference
from kapman_resources.market_data.protocol import (
    BadCredentials,
    BarFile,
    ChainCapture,
    MissingFile,
    NotEntitled,
    NotYetPublished,
    VendorAnswerError,
    VendorError,
    VendorUnreachable,
)
from kapman_resources.market_data.rest_chains import chain_of
from kapman_resources.market_data.rest_transport import (
    IN_FLIGHT,
    REQUESTS_PER_SECOND,
    RestTransport,
    Trail,
    all_of,
    target,
)
from kapman_resources.market_data.rest_wire import bar_page, chain_frame, chain_rows, row_page

_AHEAD = 4  # grouped days in flight or waiting: memory stays flat however long the range
_CHECK_ATTEMPTS = 2  # somebody waits for the answer


class RestClient:
    """Synchronous face of one asynchronous client; safe to share between threads, which share its pace and connections.

    `requests_per_second` may be a fraction: 5 / 60 for the free plan. `option_history` lets that one be asked at all.
    Nothing is opened before the first question; `close` ends connections and thread, and a later question opens them
    again. Every method raises VendorError subclasses.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        requests_per_second: float = REQUESTS_PER_SECOND,
        in_flight: int = IN_FLIGHT,
        *,
        option_history: bool = False,
    ) -> None:
        self._transport = RestTransport(base_url, api_key, requests_per_second, in_flight)
        self._option_history = option_history

    @property
    def label(self) -> str | None:
        """What the newest answer says of its origin; None for the vendor's own data."""
        return self._transport.label

    def grouped(self, sessions: Sequence[date]) -> Iterator[BarFile | MissingFile]:
        """The sessions' unadjusted bars in order, source 'grouped', a few requests running ahead of the caller.

        What concerns one session is yielded as MissingFile (NotYetPublished, NotEntitled, VendorAnswerError); what
        concerns all is raised.
        """
        waiting: deque[Future[BarFile | MissingFile]] = deque()
        try:
            for session in sessions:
                waiting.append(self._transport.submit(self._grouped_day(session)))
                if len(waiting) >= _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def chains(self, symbols: Sequence[str]) -> ChainCapture:
        """Current chains of the symbols, fetched side by side; one symbol's failure does not lose the others.

        Raises only what concerns every symbol alike.
        """
        captured_at = clock.now()
        asked = list(dict.fromkeys(symbols))
        answers = dict(zip(asked, self._transport.run(self._all_chains(asked)), strict=True))
        failures = {symbol: a for symbol, a in answers.items() if isinstance(a, VendorError)}
        common = (BadCredentials, NotEntitled, NotYetPublished, VendorUnreachable)
        total = [error for error in failures.values() if isinstance(error, common)]
        if total and len(total) == len(answers):
            raise total[0]
        found = {symbol: a for symbol, a in answers.items() if not isinstance(a, VendorError)}
        return ChainCapture(
            captured_at=captured_at,
            rows=chain_frame(rows for rows, _ in found.values()),
            pages=sum(pages for _, pages in found.values()),
            failed={symbol: str(error) for symbol, error in failures.items()},
            empty=[symbol for symbol, (rows, _) in found.items() if rows.is_empty()],
            label=self.label,
        )

    def option_history(self, session: date, symbols: Sequence[str]) -> pl.DataFrame:
        """OPTION_HISTORY_SCHEMA of the underlyings' contracts at the session's end, null where the vendor has no value.

        Raises NotEntitled where the switch is off or the plan has no such data.
        """
        if not self._option_history:
            raise NotEntitled(
                "the history of open interest and greeks is switched off: set POLYGON_OPTION_HISTORY=on when the plan "
                "includes it"
            )
        return self._transport.run(rest_history.option_history(self._transport, session, symbols))

    def splits(self, since: date, until: date) -> pl.DataFrame:
        """SPLIT_SCHEMA rows with since <= execution_date <= until as listed; see rest_reference.splits."""
        return self._transport.run(rest_reference.splits(self._transport, since, until))

    def tickers(self) -> pl.DataFrame:
        """TICKER_SCHEMA rows of the stock market's listings, the active ones first; a re-used symbol has several."""
        return self._transport.run(rest_reference.tickers(self._transport))

    def check(self) -> str:
        """'ok', or what is wrong with address, key or plan."""
        path = "/v3/reference/tickers"
        one = target(path, {"market": "stocks", "limit": "1"})
        try:
            self._transport.run(self._transport.get(one, row_page, Trail(path), _CHECK_ATTEMPTS))
        except VendorError as error:
            return str(error)
        return "ok"

    def close(self) -> None:
        self._transport.close()

    async def _all_chains(self, symbols: Sequence[str]) -> list[tuple[pl.DataFrame, int] | VendorError]:
        return await all_of(self._chain(symbol) for symbol in symbols)

    async def _chain(self, symbol: str) -> tuple[pl.DataFrame, int] | VendorError:
        try:
            contracts, pages = await chain_of(self._transport, symbol)
        except VendorError as error:
            return error
        return chain_rows(symbol, contracts), pages  # here, while other symbols' pages are on their way

    async def _grouped_day(self, session: date) -> BarFile | MissingFile:
        path = f"/v2/aggs/grouped/locale/us/market/stocks/{session}"
        try:
            page = await self._transport.get(target(path, {"adjusted": "false"}), bar_page, Trail(path))
        except (NotYetPublished, NotEntitled, VendorAnswerError) as error:
            return MissingFile(session, error)
        rows, checksum = page.rows
        if rows.is_empty():
            missing = f"the vendor has no grouped bars of session {session} yet: run the session again later"
            return MissingFile(session, NotYetPublished(missing))
        return BarFile(session, "grouped", None, page.size_bytes, rows, page.label, checksum=checksum)
