"""The vendor's history of options: open interest by contract and by underlying, end-of-day analytics.

One row a contract and session; what is known when is decided by the simulation. The current chain is in
rest_chains.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import polars as pl
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from kapman_resources.calendar import session_offset
from kapman_simulator.paging import (
    NOT_IN_PLAN,
    TOO_FAR_BACK,
    BadRequest,
    NotInPlan,
    Query,
    go_number,
    reply,
    request_id,
)
from kapman_simulator.rest import day_of, guarded
from kapman_simulator.simulation import Simulation
from kapman_simulator.wire_chain import GREEKS

_KEPT = 200  # rows of so many (endpoint, underlying, session) are remembered between pages
_DIGITS = "0123456789"

_Rows = list[dict[str, Any]]
_Maker = Callable[[Simulation, str, date], _Rows]


def routes(simulation: Simulation) -> list[Route]:
    def endpoint(path: str, maker: _Maker, fields: tuple[str, ...]) -> Route:
        history = _History(simulation, maker)
        handler = guarded(simulation, lambda request: _answer(simulation, history, fields, request))
        return Route(path, handler, methods=["GET"])

    by_contract = ("ticker", "root", "underlying_ticker", "contract_type", "expiration_date", "strike_price")
    return [
        endpoint("/options/v1/open-interest", _interest, by_contract),
        endpoint("/options/v1/open-interest/underlying", _total_interest, ("underlying_ticker",)),
        endpoint("/options/v1/analytics", _analytics, by_contract),
    ]


class _History:
    """Rows of one endpoint by underlying and session, the most recently used ones kept."""

    def __init__(self, simulation: Simulation, maker: _Maker) -> None:
        self._simulation, self._maker = simulation, maker
        self._kept: OrderedDict[tuple[str, date], _Rows] = OrderedDict()
        self._now = simulation.now

    def of(self, symbol: str, session: date) -> _Rows:
        if self._now != self._simulation.now:
            self._now = self._simulation.now
            self._kept.clear()  # what is known depends on the clock
        key = (symbol, session)
        if key not in self._kept:
            rows = self._maker(self._simulation, symbol, session)
            if not rows:
                return rows
            self._kept[key] = rows
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


def _answer(simulation: Simulation, history: _History, fields: tuple[str, ...], request: Request) -> Response:
    plan = simulation.faults.plan
    if plan.option_history == 404:
        return PlainTextResponse("404 page not found", 404)
    if plan.option_history == 403 or plan.basic_plan:
        raise NotInPlan(NOT_IN_PLAN)
    query = Query(request, 100, 5000)
    tests = {
        field: query.wants(field, float if field == "strike_price" else str)
        for field in fields
        if any(name.partition(".")[0] == field for name in query.params)
    }
    rows = [
        row
        for symbol, session in _asked(simulation, history, query)
        for row in history.of(symbol, session)
        if all(test(row[field]) for field, test in tests.items())
    ]
    field, _, order = query.params.get("sort", "date.asc").partition(".")
    if field not in ("date", *fields):
        raise BadRequest(f"cannot sort by {field!r}")
    rows.sort(key=lambda row: row[field], reverse=order == "desc")
    shown, following = query.page(rows)
    body = {"results": shown, "status": simulation.success, "request_id": request_id(request)}
    return reply(body | ({"next_url": following} if following else {}))


def _asked(simulation: Simulation, history: _History, query: Query) -> Iterator[tuple[str, date]]:
    """The underlyings and sessions a question is about; without a date it is about the newest one known."""
    dated = any(name.partition(".")[0] == "date" for name in query.params)
    meant = query.wants("date", day_of)
    sessions = [day for day in simulation.source.sessions if day <= simulation.session and meant(day)]
    floor = simulation.faults.plan.history_from
    if dated and floor is not None and sessions and sessions[0] < floor:
        raise NotInPlan(TOO_FAR_BACK)
    if dated:
        for session in sessions:
            yield from ((symbol, session) for symbol in _underlyings(simulation, query, session))
        return
    for session in sessions[-1:-3:-1]:
        symbols = _underlyings(simulation, query, session)
        if any(history.of(symbol, session) for symbol in symbols):
            yield from ((symbol, session) for symbol in symbols)
            return


def _underlyings(simulation: Simulation, query: Query, session: date) -> list[str]:
    """Underlyings that a question by ticker, root or underlying can concern, all when it names none."""
    roots, names = set[str](), set[str]()
    for name, text in query.params.items():
        if name in ("ticker", "ticker.any_of"):
            roots |= {ticker[2:-15].rstrip(_DIGITS) for ticker in text.split(",")}
        elif name in ("root", "root.any_of"):
            roots |= {root.rstrip(_DIGITS) for root in text.split(",")}
        elif name in ("underlying_ticker", "underlying_ticker.any_of"):
            names |= set(text.split(","))
    # a recording knows one session's chains, and with them the open interest of the session before
    symbols = simulation.optionable_on(session) or simulation.optionable_on(session_offset(session, 1))
    if not roots and not names:
        return symbols
    return [symbol for symbol in symbols if symbol in names or symbol.replace(".", "") in roots]


# --- rows ---------------------------------------------------------------------------------------------------


def _contract(row: dict[str, Any], session: date) -> dict[str, Any]:
    """What identifies a contract on a session."""
    return {
        "ticker": row["contract"], "underlying_ticker": row["symbol"], "root": row["contract"][2:-15],
        "contract_type": row["option_type"], "expiration_date": row["expiration"].isoformat(),
        "strike_price": go_number(row["strike"]), "date": session.isoformat(),
    }  # fmt: skip


def _contracts(chain: pl.DataFrame | None) -> list[dict[str, Any]]:
    if chain is None:
        return []
    return chain.unique("contract", keep="first", maintain_order=True).to_dicts()


def _interest(simulation: Simulation, symbol: str, session: date) -> _Rows:
    """Open interest at the end of `session`: what the snapshot of the session after shows."""
    return [
        _contract(row, session) | {"open_interest": go_number(row["open_interest"])}
        for row in _contracts(simulation.reported_interest_of(symbol, session))
        if row["open_interest"] is not None
    ]


def _total_interest(simulation: Simulation, symbol: str, session: date) -> _Rows:
    """The same over all roots of an underlying, calls and puts apart."""
    rows = _interest(simulation, symbol, session)
    if not rows:
        return []
    calls = sum(row["open_interest"] for row in rows if row["ticker"][-9] == "C")
    total = sum(row["open_interest"] for row in rows)
    return [
        {
            "underlying_ticker": symbol, "date": session.isoformat(), "open_interest": total,
            "call_open_interest": calls, "put_open_interest": total - calls,
        }
    ]  # fmt: skip


def _analytics(simulation: Simulation, symbol: str, session: date) -> _Rows:
    """Volatility and greeks at the end of `session` with their inputs; null where nothing could be solved."""
    source = simulation.source
    rows = _contracts(simulation.finished_chain_of(symbol, session))
    closes = simulation.bars_of(session).filter(pl.col("symbol") == symbol)["close"].to_list()
    close = closes[0] if closes else None
    inputs = {"dividend_yield": source.dividend_yield, "risk_free_rate": source.risk_free_rate}
    numbers = ("implied_volatility", *GREEKS, "rho")
    return [
        _contract(row, session)
        | {name: row[name] for name in numbers}
        | {"underlying_price": row["underlying_price"] if source.label == "RECORDED" else close}
        | inputs
        for row in rows
    ]
