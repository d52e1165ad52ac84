"""Metrics from a server that speaks MCP: asks its tools, in batches and side by side, within a bounded time.

A number is used only when it belongs to the session, rests on the data that this side holds and has the right shape;
for everything else the reason is kept. Does not belong here: what an answer must hold (wire), the server (kapman_mcp).
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
import polars as pl
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent, Tool
from pydantic import ValidationError

from kapman_resources.metrics import ComputedMetrics
from kapman_resources.metrics.families import FAMILIES, Facts, Family, MetricInputs
from kapman_resources.metrics.wire import SYMBOLS_PER_CALL, WrongAnswer, results_of, row_of
from kapman_resources.settings import Settings

log = logging.getLogger(__name__)
logging.getLogger("mcp.client").setLevel(
    logging.CRITICAL
)  # every fault is in a reason; a traceback would drown it

_ASIDE = 4  # calls in flight
_CONNECT_SECONDS = 5.0
_ATTEMPTS = 2  # a connection may break once
_LONGEST_QUOTE = 240
_ARGUMENTS = {"symbols", "session"}
# what a server can make the SDK raise: refused, broken or malformed; anything else is a fault of ours
_SERVER_FAULTS = (
    MCPError, httpx2.HTTPError, OSError, ValidationError, RuntimeError,
    anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream,
)  # fmt: skip
_STATUS = {
    401: "it refuses the token: set KAPMAN_MCP_TOKEN to the one it was started with",
    403: "it refuses this client (403)",
    404: "there is no MCP server under this path (404)",
    421: "it does not go by this host name (421): start it with --name",
}


@dataclass
class _Question:
    """One call of one tool; afterwards either `content` or `fault`, and neither while it is unanswered."""

    family: Family
    symbols: tuple[str, ...]
    content: Any = None
    fault: str | None = None

    @property
    def is_open(self) -> bool:
        return self.content is None and self.fault is None


class McpMetrics:
    """The metrics provider over MCP. Never raises for what a server does or fails to do."""

    def __init__(self, url: str, *, token: str | None = None, seconds: float = 120.0) -> None:
        """`seconds`: how long all answers for one session may take together."""
        self._url = url if urlsplit(url).path.strip("/") else url.rstrip("/") + "/mcp"
        self._token = token
        self._seconds = seconds
        self._given_up: str | None = None
        self._status: int | None = None  # of the newest HTTP answer, when it was an error

    @classmethod
    def from_settings(cls, settings: Settings) -> McpMetrics:
        token = settings.kapman_mcp_token.get_secret_value() if settings.kapman_mcp_token else None
        return cls(settings.polygon_mcp_url or "", token=token, seconds=settings.polygon_mcp_timeout)

    def compute(self, given: MetricInputs) -> ComputedMetrics:
        """All families for the session; what the server does not give properly is NULL, its reason in `missing`."""
        known = {family.tool: family.computed_from(given) for family in FAMILIES}
        questions = [
            _Question(family, batch) for family in FAMILIES for batch in _batches(sorted(known[family.tool]))
        ]
        if questions:
            self._ask(questions, given.session)
        reasons: dict[str, list[str]] = defaultdict(list)
        frames = []
        for family in FAMILIES:
            rows = []
            for question in (q for q in questions if q.family is family):
                for symbol, row, fault in self._read(question, given.session, known[family.tool]):
                    rows += [row] if row else []
                    if fault and fault not in reasons[symbol]:
                        reasons[symbol].append(fault)
            frames.append(pl.DataFrame(rows, schema=family.schema, orient="row"))
        return ComputedMetrics(tuple(frames), {symbol: said for symbol, said in reasons.items() if said})

    def _read(
        self, question: _Question, session: date, known: dict[str, Facts]
    ) -> Iterator[tuple[str, dict[str, Any] | None, str | None]]:
        """(symbol, row, fault) for every symbol asked for."""
        family, fault = question.family, question.fault
        results: Mapping[str, Any] = {}
        if fault is None:
            try:
                results = results_of(question.content, session)
            except WrongAnswer as error:
                fault = self._of_tool(family, error)
        for symbol in question.symbols:
            row, own_fault = None, fault
            if fault is None:
                try:
                    row = row_of(family, symbol, results.get(symbol), known[symbol])
                except WrongAnswer as error:
                    own_fault = self._of_tool(family, error)
            yield symbol, row, own_fault

    # -- asking

    def _ask(self, questions: Sequence[_Question], session: date) -> None:
        """Fills the questions in; a server that let the whole time pass without a word is not asked again."""
        fault = self._given_up or anyio.run(self._within_time, questions, session)
        unanswered = [question for question in questions if question.is_open]
        if unanswered:
            sentence = f"metrics server {self._url}: {fault}"
            log.warning("session %s: %s", session, sentence)
            for question in unanswered:
                question.fault = sentence

    async def _within_time(self, questions: Sequence[_Question], session: date) -> str | None:
        """Asks what is open; returns why something stayed open."""
        fault = None
        with anyio.move_on_after(self._seconds) as time:
            for _ in range(_ATTEMPTS):
                try:
                    await self._converse(questions, session)
                    return None
                except Exception as error:
                    cause = _cause(error)
                    if not isinstance(cause, _SERVER_FAULTS):
                        raise
                    fault = self._worded(cause)
                    if not isinstance(cause, httpx2.TransportError):
                        break
        if time.cancelled_caught:
            fault = f"no answer within {self._seconds:g} s (POLYGON_MCP_TIMEOUT)"
            if all(question.is_open for question in questions):
                self._given_up = f"{fault}; not asked again in this run"
        return fault

    async def _converse(self, questions: Sequence[_Question], session: date) -> None:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        timeout = httpx2.Timeout(self._seconds, connect=min(_CONNECT_SECONDS, self._seconds))
        async with (
            httpx2.AsyncClient(
                headers=headers,
                timeout=timeout,
                trust_env=False,
                event_hooks={"response": [self._note_status]},
            ) as http,
            Client(streamable_http_client(self._url, http_client=http), cache=None) as client,
        ):
            tools = await _tools(client)
            limiter = anyio.CapacityLimiter(_ASIDE)
            async with anyio.create_task_group() as group:
                for question in questions:
                    if question.is_open:
                        tool = tools.get(question.family.tool)
                        group.start_soon(self._answer, client, tool, limiter, question, session)

    async def _answer(
        self,
        client: Client,
        tool: Tool | None,
        limiter: anyio.CapacityLimiter,
        question: _Question,
        session: date,
    ) -> None:
        name = question.family.tool
        if tool is None:
            question.fault = f"metrics server: it has no tool {name}"
            return
        taken = tool.input_schema.get("properties")
        if lacking := _ARGUMENTS - set(taken if isinstance(taken, dict) else ()):
            question.fault = f"metrics server: {name} does not take {' and '.join(sorted(lacking))}"
            return
        arguments = {"symbols": list(question.symbols), "session": session.isoformat()}
        async with limiter:
            try:
                result = await client.call_tool(name, arguments)
            except Exception as error:  # whatever the SDK makes of a wrong answer is the server's doing
                question.fault = self._of_tool(question.family, self._worded(error))
                return
        if result.is_error:
            question.fault = self._of_tool(question.family, _text(result))
        elif result.structured_content is None:
            question.fault = self._of_tool(question.family, "the answer has no structured content")
        else:
            question.content = result.structured_content

    async def _note_status(self, response: httpx2.Response) -> None:
        self._status = response.status_code if response.status_code >= 400 else None

    def _worded(self, error: BaseException) -> str:
        if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
            return "not reachable: start it with `kapman mcp`, or unset METRICS_PROVIDER"
        if isinstance(error, MCPError) and self._status is not None:
            return _STATUS.get(self._status, f"HTTP {self._status}")
        return self._quoted(f"{type(error).__name__}: {error}")

    def _of_tool(self, family: Family, said: object) -> str:
        return f"metrics server, {family.tool}: {self._quoted(str(said))}"

    def _quoted(self, text: str) -> str:
        """A server's own words on one line, shortened, and never with the token."""
        if self._token:
            text = text.replace(self._token, "***")
        return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_LONGEST_QUOTE]


def _batches(symbols: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for start in range(0, len(symbols), SYMBOLS_PER_CALL):
        yield tuple(symbols[start : start + SYMBOLS_PER_CALL])


async def _tools(client: Client) -> dict[str, Tool]:
    page = await client.list_tools()
    tools = {tool.name: tool for tool in page.tools}
    while page.next_cursor:
        page = await client.list_tools(cursor=page.next_cursor)
        tools |= {tool.name: tool for tool in page.tools}
    return tools


def _text(result: CallToolResult) -> str:
    return " ".join(part.text for part in result.content if isinstance(part, TextContent))


def _cause(error: BaseException) -> BaseException:
    """What went wrong inside the SDK's task groups: its first leaf."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
