"""Option chains of a watchlist: 500 pages at 150 ms latency against the floor, and the decoding of 125,000 contracts.

The vendor is page_server, a process of its own. Which HTTP client earned its place is measured by http_clients.
Does not belong here: storing a chain.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import groupby
from math import ceil
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from benchmarks import page_server
from benchmarks.measure import Measure
from kapman_resources.market_data.rest import RestClient
from kapman_resources.market_data.rest_transport import IN_FLIGHT, REQUESTS_PER_SECOND
from kapman_resources.market_data.rest_wire import chain_frame, chain_page, chain_rows

MUST_FETCH, MUST_DECODE = 1.3, 5.0
ROUNDS = 3
_NEW_YORK = ZoneInfo("America/New_York")


def run() -> Iterator[Measure]:
    """Three measures; raises RuntimeError when a chain is not complete."""
    yield from fetch()
    yield from decode()


def floor_seconds(pages: int, rate: float) -> float:
    """The larger of what the rate limit and what the latency allows, with IN_FLIGHT requests at a time."""
    return max(pages / rate, ceil(pages / IN_FLIGHT) * page_server.LATENCY)


def fetch() -> Iterator[Measure]:
    """From the question to the finished frame, by the product's own client at its own rate."""
    pages = sum(page_server.PAGES)
    floor = floor_seconds(pages, REQUESTS_PER_SECOND)
    for form, zipped in (("gzip", True), ("plain", False)):
        with page_server.serving(zipped=zipped) as url:
            took, asked = _captures(url)
        ratio = round(took / floor, 3)
        peer = (
            f"floor of {pages} pages at {REQUESTS_PER_SECOND}/s and {page_server.LATENCY * 1000:.0f} ms: {floor:.2f} s "
            f"({asked} asked, frame included)"
        )
        yield Measure(
            f"fetch {pages} pages, {form}", ratio, "x floor", peer, f"<= {MUST_FETCH}", ratio <= MUST_FETCH
        )


def _captures(url: str) -> tuple[float, int]:
    """Median seconds of a capture of the whole watchlist, and the pages it asked for."""
    client, took, asked = RestClient(url, "benchmark"), list[float](), 0
    for _ in range(1 + ROUNDS):  # the first one makes the server build its pages
        began = time.perf_counter()
        capture = client.chains(page_server.SYMBOLS)
        took.append(time.perf_counter() - began)
        asked, contracts = capture.pages, sum(page_server.PAGES) * page_server.PAGE
        if capture.rows["contract"].n_unique() != contracts or capture.rows.height != contracts:
            raise RuntimeError(f"{capture.rows.height} of {contracts} contracts: {capture.failed}")
    client.close()
    return median(took[1:]), asked


def decode() -> Iterator[Measure]:
    """Body to frame against body to rows of Decimal and date, medians of interleaved rounds."""
    bodies = _bodies()
    ours, peers = list[float](), list[float]()
    for _ in range(2 * ROUNDS - 1):
        ours.append(_seconds(lambda: _frame(bodies)))
        peers.append(_seconds(lambda: _decimal_rows(bodies)))
    ratio = round(median(peers) / median(ours), 1)
    peer = f"json + Decimal rows {median(peers):.2f} s, typed decoding to the frame {median(ours):.2f} s"
    yield Measure(
        f"decode {sum(page_server.PAGES) * page_server.PAGE} contracts", ratio, "x faster", peer,
        f">= {MUST_DECODE:.0f}", ratio >= MUST_DECODE,
    )  # fmt: skip


def watchlist_chain() -> pl.DataFrame:
    """The raw chains of the whole watchlist as the product decodes them, for benchmarks of what follows."""
    return _frame(_bodies())


def _bodies() -> list[tuple[str, bytes]]:
    return [
        (symbol, page_server.page_body(symbol, start, len(chain.items)))
        for symbol, chain in page_server.market().items()
        for start in range(0, len(chain.items), page_server.PAGE)
    ]


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _frame(bodies: list[tuple[str, bytes]]) -> pl.DataFrame:
    return chain_frame(
        chain_rows(symbol, [contract for _, body in pages for contract in chain_page(body).rows])
        for symbol, pages in groupby(bodies, key=lambda page: page[0])
    )


def _decimal_rows(bodies: list[tuple[str, bytes]]) -> list[tuple[Any, ...]]:
    """The usual way: a dictionary a contract, Decimal for every number, date for every day."""
    return [
        _decimal_row(symbol, contract) for symbol, body in bodies for contract in json.loads(body)["results"]
    ]


def _decimal_row(symbol: str, contract: dict[str, Any]) -> tuple[Any, ...]:
    parts = ("details", "day", "greeks", "last_quote", "last_trade")
    details, day, greeks, quote, trade = (contract.get(part) or {} for part in parts)
    numbers = (
        details.get("strike_price"), details.get("shares_per_contract"), quote.get("bid"), quote.get("ask"),
        trade.get("price"), day.get("close"), day.get("volume"), contract.get("open_interest"),
        contract.get("implied_volatility"), greeks.get("delta"), greeks.get("gamma"), greeks.get("theta"),
        greeks.get("vega"),
    )  # fmt: skip
    traded = datetime.fromtimestamp(day["last_updated"] / 1e9, UTC).astimezone(_NEW_YORK).date()
    expires = date.fromisoformat(details["expiration_date"])
    exact = (None if value is None else Decimal(str(value)) for value in numbers)
    return symbol, details.get("ticker"), details.get("contract_type"), expires, traded, *exact
