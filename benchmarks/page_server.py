"""A vendor of one endpoint in a process of its own: prebuilt option chains, sent page by page after a fixed latency.

It exists to be faster than any client, so that a benchmark measures the client. Does not belong here: faults, keys,
anything that the simulated vendor does better (kapman_simulator).
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import random
import subprocess
import sys
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec

from benchmarks.measure import ROOT

PAGE = 250
LATENCY = 0.15
FIRST_EXPIRY = date(2026, 5, 6)
# a watchlist of 100 names: index funds and the largest stocks as recorded, then the many with one to eight pages
PAGES = [40, 36, 24, 20, 18, 16, 15, 14, 13, 12, *[8] * 8, *[6] * 10, *[4] * 20, *[3] * 18, *[1] * 34]
SYMBOLS = [f"SYM{number:03}" for number in range(len(PAGES))]


@dataclass(frozen=True)
class Chain:
    """One underlying's contracts in order of expiry, encoded; parallel lists."""

    items: list[bytes]
    expirations: list[str]


def expiries(contracts: int) -> list[date]:
    """The expiries that a chain of this size lists: daily or Monday-Wednesday-Friday ones only for the largest."""
    near = [0, 1, 2, 5, 6, 7, 8, 9] if contracts > 8000 else [0, 2, 5, 7, 9] if contracts > 2500 else [2, 9]
    offsets = [*near, 16, 23, 30, 37, 44, 72, 107, 135, 163, 198, 226, 254, 317, 408, 590, 772, 954]
    return [FIRST_EXPIRY + timedelta(days) for days in (offsets if contracts > 500 else offsets[:9])]


def chain(symbol: str, contracts: int, seed: int) -> Chain:
    """Contracts of about 930 bytes each with every field that the widest plan sends."""
    draw = random.Random(seed)
    listed = expiries(contracts)
    of_each = sorted(listed[number * len(listed) // contracts] for number in range(contracts))
    encode = msgspec.json.Encoder().encode
    items = [encode(_contract(symbol, day, number, draw)) for number, day in enumerate(of_each)]
    return Chain(items, [str(day) for day in of_each])


def _contract(symbol: str, expires: date, number: int, draw: random.Random) -> dict[str, object]:
    strike, price, kind = (
        50 + number // 2 * 2.5,
        round(draw.uniform(0.01, 90), 2),
        ("call", "put")[number % 2],
    )
    stamp = 1777953600000000000
    return {
        "break_even_price": round(strike + price, 2),
        "day": {
            "change": round(draw.uniform(-3, 3), 2), "change_percent": round(draw.uniform(-9, 9), 3), "close": price,
            "high": round(price + 1, 2), "last_updated": stamp, "low": price, "open": price, "previous_close": price,
            "volume": draw.randrange(9000), "vwap": round(price * 1.02, 4),
        },
        "details": {
            "contract_type": kind, "exercise_style": "american", "expiration_date": str(expires),
            "shares_per_contract": 100, "strike_price": strike,
            "ticker": f"O:{symbol}{expires:%y%m%d}{kind[0].upper()}{int(strike * 1000):08}",
        },
        "greeks": {
            "delta": draw.uniform(-1, 1), "gamma": draw.random() / 9, "theta": -draw.random(), "vega": draw.random(),
        },
        "implied_volatility": draw.uniform(0.1, 2), "open_interest": draw.randrange(20_000),
        "last_quote": {
            "ask": round(price + 0.05, 2), "ask_size": 110, "bid": price, "bid_size": 172, "last_updated": stamp,
            "midpoint": round(price + 0.025, 3), "timeframe": "DELAYED",
        },
        "last_trade": {
            "conditions": [209], "exchange": 316, "price": price, "sip_timestamp": stamp, "size": 2,
            "timeframe": "DELAYED",
        },
        "underlying_asset": {
            "change_to_break_even": round(draw.uniform(-20, 20), 2), "last_updated": stamp, "price": 174.97,
            "ticker": symbol, "timeframe": "DELAYED",
        },
    }  # fmt: skip


@cache
def market() -> dict[str, Chain]:
    """The whole watchlist; 500 full pages."""
    sizes = zip(SYMBOLS, PAGES, strict=True)
    return {symbol: chain(symbol, PAGE * pages, seed) for seed, (symbol, pages) in enumerate(sizes)}


def page_body(symbol: str, start: int, stop: int) -> bytes:
    """The page that begins at `start` of the contracts before `stop`."""
    found, end = market()[symbol], min(start + PAGE, stop)
    tail = b"]"
    if end < stop:
        query = urlencode({"cursor": f"{end}-{stop}"})
        tail = f'],"next_url":"https://vendor.invalid/v3/snapshot/options/{symbol}?{query}"'.encode()
    body = b",".join(found.items[start:end])
    return b'{"request_id":"0a1b2c","status":"OK","results":[' + body + tail + b"}"


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with kept connections, answers in order: just enough for GET."""

    def __init__(self, latency: float, zipped: bool) -> None:
        self._latency, self._zipped = latency, zipped
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            target = head.split(b" ", 2)[1].decode()
            asyncio.get_running_loop().call_later(self._latency, self._answer, target)

    def _answer(self, target: str) -> None:
        if not self._transport.is_closing():
            self._transport.write(_response(target, self._zipped))


@cache
def _response(target: str, zipped: bool) -> bytes:
    """Built once: the first run over the market pays, the measured ones do not."""
    parts = urlsplit(target)
    symbol = parts.path.rsplit("/", 1)[1]
    query = dict(parse_qsl(parts.query))
    expirations = market()[symbol].expirations
    if "cursor" in query:
        start, stop = map(int, query["cursor"].split("-"))
    else:
        start = bisect_left(expirations, query.get("expiration_date.gte", ""))
        stop = bisect_left(expirations, query.get("expiration_date.lt", "9999"))
    body = page_body(symbol, start, stop)
    if zipped:
        body = gzip.compress(body, 6)
    encoding = "Content-Encoding: gzip\r\n" if zipped else ""
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{encoding}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _serve(latency: float, zipped: bool) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(latency, zipped), "127.0.0.1", 0, backlog=200)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)  # the parent closes it, even by dying
    server.close()


@contextmanager
def serving(*, zipped: bool, latency: float = LATENCY) -> Iterator[str]:
    """The server's address, as long as the with block lasts."""
    command = [sys.executable, "-m", "benchmarks.page_server", "--latency", str(latency)]
    command += ["--zipped"] if zipped else []
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin and process.stdout
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--latency", type=float, default=LATENCY)
    arguments.add_argument("--zipped", action="store_true")
    chosen = arguments.parse_args()
    market()
    asyncio.run(_serve(chosen.latency, chosen.zipped))
