"""The tools: arguments checked, one read each, a bounded answer or one clear sentence.

Metrics are computed from what is stored, by the functions that the pipeline uses. Does not belong here: formulas,
SQL (kapman_dashboard.queries and kapman_assets.inputs read), how tools are served (server).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import psycopg
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, TextContent
from psycopg_pool import PoolTimeout
from pydantic import Field

from kapman_assets.stored_inputs import StoredInputs
from kapman_dashboard.queries import NothingStored, Reader
from kapman_mcp.reading import ReadOnlyDatabase
from kapman_metrics.bars import SYMBOL_PATTERN
from kapman_metrics.documents import compact_json
from kapman_metrics.screen_words import ScreenError
from kapman_resources import calendar, screener
from kapman_resources.database import DatabaseError
from kapman_resources.metrics.families import FAMILIES, Family
from kapman_resources.metrics.wire import SYMBOLS_PER_CALL, answer
from kapman_resources.screener import NothingComputed

_AT_ONCE = 4  # reads side by side; the others wait
_LARGEST_ANSWER = 4_000_000  # characters
_LARGEST_LIMIT = 500
_FIRST_YEAR = calendar.FIRST_YEAR + 2  # a year of history lies before a session

Symbol = Annotated[str, Field(pattern=SYMBOL_PATTERN, description="ticker, such as AAPL or BRK.B")]
Symbols = Annotated[list[Symbol], Field(min_length=1, max_length=SYMBOLS_PER_CALL)]
Session = Annotated[
    str | None,
    Field(pattern=r"^\d{4}-\d{2}-\d{2}$", description="YYYY-MM-DD; without it the newest analysed session"),
]
Limit = Annotated[int, Field(ge=1, le=_LARGEST_LIMIT, description="most rows to answer")]
Expression = Annotated[str, Field(description='what to screen for, such as "rsi < 30 and rvol > 2"')]
Sort = Annotated[str | None, Field(description="a column, or column:desc; without it by symbol")]


class Tools:
    """The tools over one read-only database."""

    def __init__(self, database: ReadOnlyDatabase) -> None:
        self._database = database
        self._reader = Reader(database)
        self._slots = threading.BoundedSemaphore(_AT_ONCE)

    def by_name(self) -> dict[str, Callable[..., CallToolResult]]:
        return {family.tool: self._metrics_tool(family) for family in FAMILIES} | {
            "get_snapshot": self.get_snapshot,
            "get_alerts": self.get_alerts,
            "get_recommendations": self.get_recommendations,
            "screen": self.screen,
        }

    def _metrics_tool(self, family: Family) -> Callable[..., CallToolResult]:
        def metrics(
            symbol: Symbol | None = None, symbols: Symbols | None = None, session: Session = None
        ) -> CallToolResult:
            def read() -> dict[str, Any]:
                chosen = _chosen(symbol, symbols)
                given = StoredInputs(self._database, chosen, self._exactly(session))
                return answer(family, given, chosen)

            return self._answered(read)

        return metrics

    def get_snapshot(
        self, symbol: Symbol, session: Session = None, documents: bool = False
    ) -> CallToolResult:
        def read() -> dict[str, Any]:
            day = self._as_of(session)
            found = self._reader.snapshot(symbol, day)
            if found is None:
                raise ToolError(f"no snapshot of {symbol} at or before {day}: is it on a watchlist?")
            hidden = () if documents else [n for n in found if n.endswith("_json") and n != "events_json"]
            return {"snapshot": {name: value for name, value in found.items() if name not in hidden}}

        return self._answered(read)

    def get_alerts(
        self, session: Session = None, symbol: Symbol | None = None, limit: Limit = 50
    ) -> CallToolResult:
        def read() -> dict[str, Any]:
            day = self._as_of(session)
            found = [row for row in self._reader.alerts(day) if symbol in (None, row["symbol"])]
            return {"session": day, "count": len(found), "alerts": found[:limit]}

        return self._answered(read)

    def get_recommendations(
        self, session: Session = None, symbol: Symbol | None = None, limit: Limit = 20
    ) -> CallToolResult:
        def read() -> dict[str, Any]:
            day = self._as_of(session)
            found = self._reader.recommendations(until=day, symbol=symbol, limit=limit)
            return {"session": day, "recommendations": found}

        return self._answered(read)

    def screen(
        self, expression: Expression, session: Session = None, sort: Sort = None, limit: Limit = 50
    ) -> CallToolResult:
        def read() -> dict[str, Any]:
            day = screener.newest_session(self._database) if session is None else _day(session)
            rows = screener.screen(self._database, expression, day, sort, limit)
            return {"session": day, "rows": rows.to_dicts()}

        return self._answered(read)

    # -- sessions

    def _as_of(self, asked: str | None) -> date:
        """The stored session at or before the one asked for."""
        return self._reader.session(None if asked is None else _day(asked)).shown

    def _exactly(self, asked: str | None) -> date:
        """The session asked for, which must be one."""
        if asked is None:
            return self._as_of(None)
        day = _day(asked)
        if not calendar.is_session(day):
            before = calendar.session_on_or_before(day)
            raise ToolError(f"{day} is not a trading session; the one before it is {before}")
        return day

    # -- answers

    def _answered(self, read: Callable[[], dict[str, Any]]) -> CallToolResult:
        """The answer as structured content and as the same text; faults that the caller can mend as ToolError."""
        with self._slots:
            try:
                content = read()
                if labels := self._reader.data_labels():
                    content["data"] = ", ".join(labels)
            except (NothingStored, NothingComputed, ScreenError) as error:
                raise ToolError(str(error)) from error
            except (DatabaseError, psycopg.Error, PoolTimeout) as error:
                raise ToolError(f"the database cannot answer: {str(error).splitlines()[0]}") from error
        text = compact_json(_plain(content))
        if len(text) > _LARGEST_ANSWER:
            raise ToolError(f"the answer has {len(text):,} characters: ask for fewer symbols or rows")
        return CallToolResult(
            content=[TextContent(type="text", text=text)], structured_content=json.loads(text)
        )


def _chosen(symbol: str | None, symbols: list[str] | None) -> list[str]:
    if (symbol is None) == (symbols is None):
        raise ToolError(f"give either `symbol` or `symbols` (a list of up to {SYMBOLS_PER_CALL})")
    return list(dict.fromkeys(symbols or [symbol or ""]))


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ToolError(f"session {text!r} is not a date: write it like 2026-05-05") from None
    if not _FIRST_YEAR <= day.year <= calendar.LAST_YEAR:
        raise ToolError(f"session {day} is outside the calendar's {_FIRST_YEAR}..{calendar.LAST_YEAR}")
    return day


def _plain(value: Any) -> Any:
    """JSON's own types: times in ISO, identities as text, NUMERIC as float."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    return str(value) if isinstance(value, UUID) else value
