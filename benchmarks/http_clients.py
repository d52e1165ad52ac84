"""HTTP clients side by side: why the REST client stands on the one it stands on. `python -m benchmarks.http_clients`.

Each fetches the same 500 pages by their own addresses, decoding included, under the same limiter; a client that is not
installed is left out (niquests replaces urllib3 under botocore: only in an environment to throw away). Does not belong
here: paging, retries, the product's own client (fetch_bench).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from statistics import median

from benchmarks import page_server
from benchmarks.fetch_bench import ROUNDS, floor_seconds
from kapman_resources.market_data.rest_transport import IN_FLIGHT, REQUESTS_PER_SECOND
from kapman_resources.market_data.rest_wire import chain_page

Get = Callable[[str], Awaitable[bytes]]
NO_LIMIT = 100_000.0
_HEADERS = {"Authorization": "Bearer benchmark", "Accept-Encoding": "gzip"}


@dataclass(frozen=True)
class Outcome:
    """`ratio`: wall seconds against the floor; `cpu_seconds`: of this process, decoding included."""

    client: str
    rate: float
    ratio: float
    cpu_seconds: float


def compare(rate: float) -> Iterator[Outcome]:
    """Medians of interleaved rounds over gzip pages, after one round that warms the server."""
    targets = [
        f"/v3/snapshot/options/{symbol}?cursor={start}-{pages * page_server.PAGE}"
        for symbol, pages in zip(page_server.SYMBOLS, page_server.PAGES, strict=True)
        for start in range(0, pages * page_server.PAGE, page_server.PAGE)
    ]
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in _CLIENTS}
    with page_server.serving(zipped=True) as url:
        for _ in range(1 + ROUNDS):
            for name in list(took):
                wall, cpu = time.perf_counter(), time.process_time()
                try:
                    contracts = _CLIENTS[name](url, targets, rate)
                except ImportError:
                    del took[name]
                    continue
                assert contracts == len(targets) * page_server.PAGE, f"{name}: {contracts} contracts"
                took[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    floor = floor_seconds(len(targets), rate)
    for name, rounds in took.items():
        walls, cpus = zip(*rounds[1:], strict=True)
        yield Outcome(name, rate, round(median(walls) / floor, 3), round(median(cpus), 2))


def _asynchronous(
    opened: Callable[[str], AbstractAsyncContextManager[Get]],
) -> Callable[[str, list[str], float], int]:
    async def all_pages(url: str, targets: list[str], rate: float) -> int:
        gate, began = asyncio.Semaphore(IN_FLIGHT), time.monotonic()

        async def one(number: int, target: str) -> int:
            async with gate:
                await asyncio.sleep(began + number / rate - time.monotonic())
                return len(chain_page(await get(target)).rows)

        async with opened(url) as get:
            return sum(await asyncio.gather(*(one(n, target) for n, target in enumerate(targets))))

    return lambda url, targets, rate: asyncio.run(all_pages(url, targets, rate))


@asynccontextmanager
async def _httpx_like(url: str, module: str, through_aiohttp: bool = False) -> AsyncIterator[Get]:
    httpx = import_module(module)
    limits = httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
    transport = import_module("httpx_aiohttp").AiohttpTransport(limits=limits) if through_aiohttp else None
    async with httpx.AsyncClient(
        headers=_HEADERS, timeout=30, limits=limits, transport=transport, trust_env=False
    ) as client:

        async def get(target: str) -> bytes:
            return (await client.get(url + target)).content

        yield get


@asynccontextmanager
async def _aiohttp(url: str) -> AsyncIterator[Get]:
    aiohttp = import_module("aiohttp")
    connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
    async with aiohttp.ClientSession(headers=_HEADERS, connector=connector) as client:

        async def get(target: str) -> bytes:
            async with client.get(url + target, allow_redirects=False) as answer:
                return await answer.read()

        yield get


@asynccontextmanager
async def _niquests(url: str) -> AsyncIterator[Get]:
    async with import_module("niquests").AsyncSession(pool_maxsize=IN_FLIGHT) as client:
        client.headers.update(_HEADERS)
        client.trust_env = False

        async def get(target: str) -> bytes:
            return (await client.get(url + target)).content

        yield get


def _urllib3_threads(url: str, targets: list[str], rate: float) -> int:
    pool = import_module("urllib3").PoolManager(maxsize=IN_FLIGHT, headers=_HEADERS, retries=False)
    began = time.monotonic()

    def one(number: int) -> int:
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        return len(chain_page(pool.request("GET", url + targets[number]).data).rows)

    with ThreadPoolExecutor(IN_FLIGHT) as threads:
        return sum(threads.map(one, range(len(targets))))


_CLIENTS: dict[str, Callable[[str, list[str], float], int]] = {
    "httpx2": _asynchronous(lambda url: _httpx_like(url, "httpx2")),
    "httpx": _asynchronous(lambda url: _httpx_like(url, "httpx")),
    "httpx through aiohttp": _asynchronous(lambda url: _httpx_like(url, "httpx", through_aiohttp=True)),
    "aiohttp": _asynchronous(_aiohttp),
    "niquests": _asynchronous(_niquests),
    "urllib3 in threads": _urllib3_threads,
}


if __name__ == "__main__":
    for limit in (REQUESTS_PER_SECOND, NO_LIMIT):
        for outcome in compare(limit):
            print(
                f"{outcome.client:24} {limit:8.0f}/s {outcome.ratio:6.3f}x floor {outcome.cpu_seconds:5.2f} s CPU"
            )
