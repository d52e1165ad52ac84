"""The vendor's REST interface: one limiter and one connection pool per key, typed decoding, guarded paging.

The key travels in the Authorization header only, and only to the configured host: of `next_url` just path and query are
used. Does not belong here: which contracts are good (kapman_metrics.chain).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from datetime import date
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import polars as pl
import stamina

from kapman_resources import clock
from kapman_resources.market_data.protocol import (
    RAW_CHAIN_SCHEMA,
    SPLIT_SCHEMA,
    TICKER_SCHEMA,
    BadCredentials,
    ChainCapture,
    NotEntitled,
    VendorAnswerError,
    VendorError,
    VendorUnreachable,
)

LABEL_HEADER = "x-kapman-data-label"
REQUESTS_PER_SECOND = 90  # the vendor asks for fewer than 100
IN_FLIGHT = 50
PAGE_CAP = 400  # SPX, the largest chain, has about 120 pages
_ATTEMPTS = 4
_PATIENCE = 120  # seconds that one question may take, the vendor's own waits included


class _RetryLater(VendorError):
    """Throttled, a server error or a broken connection; `after` is the vendor's own wait in seconds."""

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


def _retry_hint(error: Exception) -> bool | float:
    if isinstance(error, _RetryLater):
        return error.after if error.after is not None else True
    return isinstance(error, httpx.RequestError)


class _Details(msgspec.Struct):
    ticker: str
    contract_type: str
    expiration_date: str
    strike_price: float
    shares_per_contract: float = 100.0


class _Day(msgspec.Struct):
    close: float | None = None
    volume: float | None = None
    last_updated: int | None = None


class _Greeks(msgspec.Struct):
    delta: float | None = None
    gamma: float | None = None
    theta: float | None = None
    vega: float | None = None


class _Quote(msgspec.Struct):
    bid: float | None = None
    ask: float | None = None


class _Trade(msgspec.Struct):
    price: float | None = None


class _Contract(msgspec.Struct):
    details: _Details
    day: _Day | None = None
    greeks: _Greeks | None = None
    last_quote: _Quote | None = None
    last_trade: _Trade | None = None
    implied_volatility: float | None = None
    open_interest: float | None = None


class _GroupedBar(msgspec.Struct, rename={"symbol": "T", "vwap": "vw"}):
    """Untyped fields: one odd value among 12,000 rows must not lose the others."""

    symbol: Any = None
    vwap: Any = None


class _Page(msgspec.Struct):
    """Any answer of the vendor: `results` stay undecoded until the caller knows their type."""

    results: msgspec.Raw = msgspec.Raw(b"[]")
    status: str = "OK"
    next_url: str | None = None
    error: str | None = None
    message: str | None = None


# every failed try is in the final error; a log line for each would drown it
stamina.instrumentation.set_on_retry_hooks([])
_decode_page = msgspec.json.Decoder(_Page).decode
_decode_grouped = msgspec.json.Decoder(list[_GroupedBar] | None).decode
_decode_chain = msgspec.json.Decoder(list[_Contract] | None).decode
_decode_rows = msgspec.json.Decoder(list[dict[str, Any]] | None).decode
_NO_DAY, _NO_GREEKS, _NO_QUOTE, _NO_TRADE = _Day(), _Greeks(), _Quote(), _Trade()


class _Pace:
    """Spaces request starts evenly below a rate, over all tasks of the client."""

    def __init__(self, per_second: float) -> None:
        self._gap = 1.0 / per_second
        self._next = 0.0

    async def turn(self) -> None:
        at = max(self._next, time.monotonic())
        self._next = at + self._gap
        await asyncio.sleep(at - time.monotonic())


class RestClient:
    """Synchronous face of an asynchronous client; every method opens and closes its own connections."""

    def __init__(
        self, *, base_url: str, api_key: str, requests_per_second: float = REQUESTS_PER_SECOND
    ) -> None:
        self._base = base_url.rstrip("/")
        self._key = api_key
        self._rate = requests_per_second
        self.label: str | None = None

    # -- what is asked ------------------------------------------------------------------------------------------

    def chains(self, symbols: Sequence[str]) -> ChainCapture:
        """Current chains of the symbols, fetched side by side; one symbol's failure does not lose the others.

        Raises only what concerns every symbol alike: BadCredentials, NotEntitled, VendorUnreachable.
        """
        captured_at = clock.now()
        answers = asyncio.run(self._chains(symbols))
        failed = {s: str(a) for s, a in answers.items() if isinstance(a, VendorError)}
        total = [
            a for a in answers.values() if isinstance(a, BadCredentials | NotEntitled | VendorUnreachable)
        ]
        if total and len(total) == len(answers):
            raise total[0]
        pages = {s: a for s, a in answers.items() if not isinstance(a, VendorError)}
        contracts = [(s, c) for s, found in pages.items() for page in found for c in page]
        return ChainCapture(
            captured_at=captured_at,
            rows=_chain_frame(contracts),
            pages=sum(map(len, pages.values())),
            failed=failed,
            empty=[s for s, found in pages.items() if not any(found)],
            label=self.label,
        )

    def grouped_vwap(self, sessions: Sequence[date]) -> pl.DataFrame:
        """symbol, session, vwap of the sessions' unadjusted bars; no row where the vendor has none."""
        answers = asyncio.run(self._grouped(sessions))
        rows = [
            (r.symbol, day, _number(r.vwap))
            for day, found in answers.items()
            for r in found
            if isinstance(r.symbol, str)
        ]
        schema = {"symbol": pl.String, "session": pl.Date, "vwap": pl.Float64}
        frame = pl.DataFrame(rows, schema=schema, orient="row")
        return frame.drop_nulls().unique(["symbol", "session"], keep="last", maintain_order=True)

    def splits(self, since: date, until: date) -> pl.DataFrame:
        """Executed splits of all symbols, SPLIT_SCHEMA; the deprecated endpoint answers where the new one is absent."""
        span = {"execution_date.gte": str(since), "execution_date.lte": str(until)}
        try:
            rows = self._all_rows("/stocks/v1/splits", span | {"limit": "5000"})
        except VendorAnswerError:
            rows = self._all_rows("/v3/reference/splits", span | {"limit": "1000"})
        whole = [
            r
            for r in rows
            if r.get("ticker") and r.get("execution_date") and r.get("split_from") and r.get("split_to")
        ]
        return pl.DataFrame(
            {
                "symbol": [r["ticker"] for r in whole],
                "execution_date": [date.fromisoformat(r["execution_date"]) for r in whole],
                "split_from": [float(r["split_from"]) for r in whole],
                "split_to": [float(r["split_to"]) for r in whole],
                "adjustment_type": [r.get("adjustment_type") for r in whole],
            },
            schema=SPLIT_SCHEMA,
        )

    def tickers(self) -> pl.DataFrame:
        """The stock market's reference list, active and delisted, TICKER_SCHEMA."""
        rows: list[dict[str, Any]] = []
        for active in ("true", "false"):
            found = self._all_rows(
                "/v3/reference/tickers", {"market": "stocks", "active": active, "limit": "1000"}
            )
            rows += [{"active": active == "true"} | row for row in found]
        named = [r for r in rows if r.get("ticker")]
        return pl.DataFrame(
            {
                "symbol": [r["ticker"] for r in named],
                "name": [r.get("name") for r in named],
                "ticker_type": [r.get("type") for r in named],
                "primary_exchange": [r.get("primary_exchange") for r in named],
                "is_active": [bool(r["active"]) for r in named],
                "delisted_date": [
                    date.fromisoformat(d[:10]) if (d := r.get("delisted_utc")) else None for r in named
                ],
            },
            schema=TICKER_SCHEMA,
        ).unique("symbol", keep="first", maintain_order=True)

    def check(self) -> str:
        """'ok', or what is wrong with address, key or plan."""
        try:
            self._all_rows("/v3/reference/tickers", {"market": "stocks", "limit": "1"}, first_page_only=True)
        except VendorError as error:
            return str(error)
        return "ok"

    # -- how it is asked ----------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _session(self) -> Any:
        limits = httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
        async with httpx.AsyncClient(
            base_url=self._base,
            headers={"Authorization": f"Bearer {self._key}", "Accept-Encoding": "gzip"},
            timeout=httpx.Timeout(30, connect=5),
            limits=limits,
            follow_redirects=False,  # a redirect could carry the key to a host that was not configured
        ) as client:
            yield client

    async def _chains(self, symbols: Sequence[str]) -> dict[str, list[list[_Contract]] | VendorError]:
        pace, gate = _Pace(self._rate), asyncio.Semaphore(IN_FLIGHT)
        async with self._session() as client:

            async def one(symbol: str) -> list[list[_Contract]] | VendorError:
                async with gate:
                    try:
                        path = f"/v3/snapshot/options/{symbol}"
                        return await self._pages(client, pace, path, {"limit": "250"}, _decode_chain)
                    except VendorError as error:
                        return error

            answers = await asyncio.gather(*(one(symbol) for symbol in symbols))
        return dict(zip(symbols, answers, strict=True))

    async def _grouped(self, sessions: Sequence[date]) -> dict[date, list[_GroupedBar]]:
        pace = _Pace(self._rate)
        async with self._session() as client:

            async def one(session: date) -> list[_GroupedBar]:
                path = f"/v2/aggs/grouped/locale/us/market/stocks/{session}"
                pages = await self._pages(client, pace, path, {"adjusted": "false"}, _decode_grouped)
                return [row for page in pages for row in page]

            return dict(zip(sessions, await asyncio.gather(*map(one, sessions)), strict=True))

    def _all_rows(
        self, path: str, params: dict[str, str], *, first_page_only: bool = False
    ) -> list[dict[str, Any]]:
        async def run() -> list[list[dict[str, Any]]]:
            async with self._session() as client:
                return await self._pages(
                    client, _Pace(self._rate), path, params, _decode_rows, first_page_only
                )

        return [row for page in asyncio.run(run()) for row in page]

    async def _pages(
        self,
        client: httpx.AsyncClient,
        pace: _Pace,
        path: str,
        params: dict[str, str],
        decode: Callable[[Any], Any],
        first_page_only: bool = False,
    ) -> list[Any]:
        """All pages of one question; VendorAnswerError on a cursor loop, the page cap or a page without meaning."""
        pages: list[Any] = []
        seen: set[str] = set()
        target, query = path, params or None
        while True:
            page = await self._get(client, pace, target, query)
            try:
                pages.append(decode(page.results) or [])
            except (msgspec.DecodeError, msgspec.ValidationError) as error:
                raise VendorAnswerError(
                    f"{path}: page {len(pages) + 1} has another shape than documented ({error})"
                ) from error
            if not page.next_url or first_page_only:
                return pages
            try:
                follow = urlsplit(page.next_url)
            except ValueError as error:
                raise VendorAnswerError(
                    f"{path}: page {len(pages)} names a next page that is no address"
                ) from error
            target, query = f"{follow.path}?{follow.query}", None
            if target in seen or len(pages) >= PAGE_CAP:
                raise VendorAnswerError(
                    f"{path}: paging does not end (page {len(pages)}): the answer cannot be trusted"
                )
            seen.add(target)

    async def _get(
        self, client: httpx.AsyncClient, pace: _Pace, target: str, params: dict[str, str] | None
    ) -> _Page:
        try:
            async for attempt in stamina.retry_context(
                on=_retry_hint,
                attempts=_ATTEMPTS,
                timeout=_PATIENCE,
                wait_initial=0.5,
                wait_max=20,
                wait_jitter=0.5,
            ):
                with attempt:
                    await pace.turn()
                    answer = await client.get(target, params=params)
                    self.label = answer.headers.get(LABEL_HEADER, self.label)
                    return _judge(answer)
        except (_RetryLater, httpx.RequestError) as error:
            what = str(error) or type(error).__name__
            raise VendorUnreachable(
                f"the vendor at {self._base} did not answer after {_ATTEMPTS} tries ({what}): check the network and "
                "POLYGON_BASE_URL, then run again"
            ) from error
        raise AssertionError("the retry loop returns or raises")


def _judge(answer: httpx.Response) -> _Page:
    """The page of a good answer; raises the VendorError that a bad one means (wire formats, section 3.1)."""
    path, code = answer.url.path, answer.status_code
    try:
        page = _decode_page(answer.content)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        if code == 200:
            raise _RetryLater(f"{path}: the answer is not the documented JSON ({error})") from error
        page = _Page(status=str(code))
    said = page.error or page.message or page.status
    if code == 200 and page.status in ("OK", "DELAYED"):
        return page
    if code == 401:
        raise BadCredentials(f"the vendor refused POLYGON_API_KEY ({said}): check the key in .env")
    if code == 403:
        raise NotEntitled(f"{path}: the plan does not include this data ({said})")
    if code == 429 or code >= 500 or code == 200:
        text = answer.headers.get("Retry-After", "")
        wait = float(text) if text.isdecimal() else None
        if wait is not None and wait > _PATIENCE:
            raise VendorUnreachable(
                f"{path}: HTTP {code}, {said}; the vendor asks to wait {text} s: run again then"
            )
        raise _RetryLater(f"{path}: HTTP {code}, {said}", wait)
    raise VendorAnswerError(f"{path}: HTTP {code}, {said}")


def _chain_frame(contracts: list[tuple[str, _Contract]]) -> pl.DataFrame:
    rows = []
    for symbol, c in contracts:
        d, day, greeks = c.details, c.day or _NO_DAY, c.greeks or _NO_GREEKS
        quote, trade = c.last_quote or _NO_QUOTE, c.last_trade or _NO_TRADE
        rows.append(
            (symbol, d.ticker, d.expiration_date, d.strike_price, d.contract_type, quote.bid, quote.ask, trade.price,
             day.close, day.volume, day.last_updated, c.open_interest, c.implied_volatility,
             greeks.delta, greeks.gamma, greeks.theta, greeks.vega, d.shares_per_contract)
        )  # fmt: skip
    wire = RAW_CHAIN_SCHEMA | {"expiration": pl.String, "day_session": pl.Int64}
    stamp = pl.from_epoch("day_session", "ns")
    new_york = stamp.dt.replace_time_zone("UTC").dt.convert_time_zone("America/New_York").dt.date()
    return pl.DataFrame(rows, schema=wire, orient="row").with_columns(
        pl.col("expiration").str.to_date("%Y-%m-%d", strict=False),
        # both 00:00 New York and 00:00 UTC of the session have been seen
        pl.when(stamp.dt.time() == pl.time(0)).then(stamp.dt.date()).otherwise(new_york).alias("day_session"),
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
