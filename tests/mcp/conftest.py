"""Servers of the room on loopback and the SDK's own client; one small analysed market for all of its modules."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from typing import Any

import anyio
import httpx2
import pytest
import uvicorn
from assets_world import World, small_world
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult

from kapman_mcp.reading import ReadOnlyDatabase
from kapman_mcp.server import create_app
from kapman_resources import calendar
from kapman_resources.listening import listen

SESSION = date(2026, 6, 12)
BEFORE = calendar.session_offset(SESSION, -1)
OWN = ("KAPMAN_MCP", "METRICS_", "POLYGON_MCP")


@contextmanager
def _served(app: Any) -> Iterator[str]:
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture
def served() -> Iterator[Callable[[Any], str]]:
    """Serves an application on loopback until the test ends; gives its address."""
    with ExitStack() as stack:
        yield lambda app: stack.enter_context(_served(app))


class Asking:
    """One question to a server, over the SDK's client; `seen` counts all requests to the server."""

    def __init__(self, url: str, seen: list[str]) -> None:
        self.url = url
        self.seen = seen

    def __call__(self, tool: str, arguments: dict[str, Any] | None = None, **headers: str) -> CallToolResult:
        async def call() -> CallToolResult:
            async with self._client(headers) as client:
                return await client.call_tool(tool, arguments or {})

        return anyio.run(call)

    def good(self, tool: str, **arguments: Any) -> dict[str, Any]:
        answer = self(tool, arguments)
        assert not answer.is_error, answer.content
        assert answer.structured_content is not None
        return answer.structured_content

    def refused(self, tool: str, **arguments: Any) -> str:
        answer = self(tool, arguments)
        assert answer.is_error
        return answer.content[0].text  # type: ignore[union-attr]

    def tools(self) -> dict[str, Any]:
        async def listed() -> dict[str, Any]:
            async with self._client({}) as client:
                return {tool.name: tool for tool in (await client.list_tools()).tools}

        return anyio.run(listed)

    def instructions(self) -> str:
        async def said() -> str:
            async with self._client({}) as client:
                return client.instructions or ""

        return anyio.run(said)

    def _client(self, headers: dict[str, str]) -> Any:
        http = httpx2.AsyncClient(headers=headers, trust_env=False)
        return Client(streamable_http_client(f"{self.url}/mcp", http_client=http))


@pytest.fixture(scope="module")
def analysed() -> Iterator[World]:
    """Two sessions of a small generated market through the whole pipeline, a year of bars before them."""
    patch = pytest.MonkeyPatch()
    for name in [name for name in os.environ if name.startswith(OWN)]:
        patch.delenv(name)
    with small_world(SESSION, 60) as world:
        world.at_night_after(BEFORE)
        first = calendar.session_offset(BEFORE, -260)
        assert world.run(first, calendar.session_offset(BEFORE, -1), "ohlcv_daily").ok
        assert world.run(BEFORE).ok
        world.at_night_after(SESSION)
        assert world.run(SESSION).ok
        yield world
    patch.undo()


@pytest.fixture(scope="module")
def read_only(analysed: World) -> Iterator[ReadOnlyDatabase]:
    database = ReadOnlyDatabase(analysed.database.url, max_size=8)
    with database:
        yield database


@pytest.fixture(scope="module")
def kapman_server(read_only: ReadOnlyDatabase) -> Iterator[Asking]:
    """Kapman's own server over the analysed market."""
    app, seen = create_app(read_only), list[str]()

    async def counted(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            seen.append(scope["path"])
        await app(scope, receive, send)

    with _served(counted) as url:
        yield Asking(url, seen)
