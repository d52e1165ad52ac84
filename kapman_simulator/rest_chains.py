"""The option chain snapshot: it knows only now, sends pages, and leaves out what it does not have.

Every contract is encoded once for each chain; a page is a join of finished pieces.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

import msgspec
import polars as pl
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kapman_resources.calendar import NEW_YORK
from kapman_simulator import chain_faults
from kapman_simulator.paging import (
    NOT_IN_PLAN,
    BadRequest,
    NotInPlan,
    Query,
    go_number,
    reply,
    request_id,
)
from kapman_simulator.rest import guarded
from kapman_simulator.simulation import Simulation
from kapman_simulator.wire_chain import GREEKS

_KEPT_BYTES = 64_000_000  # more than fifty large chains that are paged at the same time
_DAY = ("open", "high", "low", "close", "volume", "vwap")
_SORTS = ("ticker", "expiration_date", "strike_price")


@dataclass(frozen=True)
class _Encoded:
    """One chain ready to send: parallel lists, one element a contract, in ticker order."""

    items: list[bytes]
    tickers: list[str]
    strikes: list[float]
    expirations: list[str]
    kinds: list[str]
    size: int


def routes(simulation: Simulation) -> list[Route]:
    chains = _Chains(simulation)
    handler = guarded(simulation, lambda request: _snapshot(simulation, chains, request))
    return [Route("/v3/snapshot/options/{underlying}", handler, methods=["GET"])]


class _Chains:
    """Encoded chains of the present day, the most recently used ones kept."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._kept: OrderedDict[tuple[str, bool], _Encoded | None] = OrderedDict()
        self._size = 0
        self._day = (simulation.session, simulation.today)

    def of(self, symbol: str) -> _Encoded | None:
        now = self._simulation
        if self._day != (now.session, now.today):
            self._day = (now.session, now.today)
            self._kept.clear()
            self._size = 0
        key = (symbol, symbol in now.faults.plan.drop_symbols)
        if key not in self._kept:
            chain = now.chain_of(symbol)
            self._kept[key] = encode_chain(chain, now.session) if chain is not None else None
            self._size += getattr(self._kept[key], "size", 0)
            while self._size > _KEPT_BYTES and len(self._kept) > 1:
                self._size -= getattr(self._kept.popitem(last=False)[1], "size", 0)
        self._kept.move_to_end(key)
        return self._kept[key]


def _snapshot(simulation: Simulation, chains: _Chains, request: Request) -> Response:
    plan, symbol = simulation.faults.plan, request.path_params["underlying"]
    if plan.basic_plan:
        raise NotInPlan(NOT_IN_PLAN)
    query = Query(request, 10, 250)
    chain = chains.of(symbol)
    head = f'{{"request_id":"{request_id(request)}","status":"{simulation.success}","results":['.encode()
    if chain is None:
        return reply(head + b"]}")
    order = _selection(chain, query)
    if chain_faults.concern(plan, symbol):
        items = chain_faults.overridden(plan, symbol, chain.items, chain.tickers)
        rows = chain_faults.repeated(plan, symbol, [items[at] for at in order], query.limit)
        found, following = query.page(rows)
        following = following or chain_faults.another_page(plan, symbol, query, len(rows))
    else:
        shown, following = query.page(order)
        found = [chain.items[at] for at in shown]
    tail = b"]" + (b',"next_url":' + msgspec.json.encode(following) if following else b"") + b"}"
    return reply(head + b",".join(found) + tail)


def _selection(chain: _Encoded, query: Query) -> list[int]:
    strike, kind = query.wants("strike_price", float), query.wants("contract_type", str)
    expires = query.wants("expiration_date", lambda text: date.fromisoformat(text).isoformat())
    rows = range(len(chain.items))
    if any(name.startswith(("strike_price", "expiration_date", "contract_type")) for name in query.params):
        terms = zip(rows, chain.strikes, chain.expirations, chain.kinds, strict=True)
        chosen = [at for at, price, day, type_ in terms if strike(price) and expires(day) and kind(type_)]
    else:
        chosen = list(rows)
    sort, descending = query.params.get("sort", "ticker"), query.params.get("order", "asc") == "desc"
    if sort not in _SORTS:
        raise BadRequest(f"cannot sort by {sort!r}, use one of {', '.join(_SORTS)}")
    columns: dict[str, list[Any]] = {
        "ticker": chain.tickers, "expiration_date": chain.expirations, "strike_price": chain.strikes,
    }  # fmt: skip
    if sort != "ticker" or descending:
        chosen.sort(key=columns[sort].__getitem__, reverse=descending)
    return chosen


def encode_chain(chain: pl.DataFrame, session: date) -> _Encoded:
    """Each contract of a chain (wire_chain.CHAIN_SCHEMA) as the JSON object the vendor sends."""
    encode = msgspec.json.Encoder().encode
    stamps: dict[date, int] = {}
    printed = int(datetime.combine(session, time(19, 59, 58), NEW_YORK).timestamp()) * 1_000_000_000
    items = [encode(_entry(row, stamps, printed)) for row in chain.iter_rows(named=True)]
    return _Encoded(
        items=items,
        tickers=chain["contract"].to_list(),
        strikes=chain["strike"].to_list(),
        expirations=chain["expiration"].cast(pl.String).to_list(),
        kinds=chain["option_type"].to_list(),
        size=sum(map(len, items)) + 200 * len(items),
    )


def _entry(row: dict[str, Any], stamps: dict[date, int], printed: int) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "details": {
            "contract_type": row["option_type"],
            "exercise_style": "american",
            "expiration_date": row["expiration"].isoformat(),
            "shares_per_contract": go_number(row["shares_per_contract"] or 100.0),
            "strike_price": go_number(row["strike"]),
            "ticker": row["contract"],
        },
        "day": _day_bar(row, stamps),
        "underlying_asset": _underlying(row, printed),
    }
    for name, value in (
        ("break_even_price", row["break_even"]),
        ("implied_volatility", row["implied_volatility"]),
        ("open_interest", row["open_interest"]),
    ):
        if value is not None:
            entry[name] = go_number(value)
    if row["delta"] is not None:
        entry["greeks"] = {name: row[name] for name in GREEKS}
    if row["bid"] is not None or row["ask"] is not None:
        entry["last_quote"] = _quote(row)
    if row["last"] is not None:
        trade = {"price": go_number(row["last"]), "sip_timestamp": row["last_at"], "timeframe": "DELAYED"}
        entry["last_trade"] = {name: value for name, value in trade.items() if value is not None}
    return entry


def _day_bar(row: dict[str, Any], stamps: dict[date, int]) -> dict[str, Any]:
    session = row["day_session"]
    bar = {name: go_number(row[f"day_{name}"]) for name in _DAY if row[f"day_{name}"] is not None}
    if session is not None:
        if session not in stamps:
            midnight = datetime.combine(session, time(), NEW_YORK)
            stamps[session] = int(midnight.timestamp()) * 1_000_000_000
        bar["last_updated"] = stamps[session]
    return bar


def _quote(row: dict[str, Any]) -> dict[str, Any]:
    bid, ask = row["bid"], row["ask"]
    quote = {
        "bid": bid, "ask": ask, "bid_size": row["bid_size"], "ask_size": row["ask_size"],
        "midpoint": (bid + ask) / 2 if bid and ask else None,
    }  # fmt: skip
    present = {name: go_number(value) for name, value in quote.items() if value is not None}
    return present | {"last_updated": row["quoted_at"], "timeframe": "DELAYED"}


def _underlying(row: dict[str, Any], printed: int) -> dict[str, Any]:
    price = row["underlying_price"]
    if price is None:
        return {"ticker": row["symbol"]}
    sent = None if price != price else go_number(price)
    return {
        "ticker": row["symbol"], "price": sent,
        "last_updated": row["quoted_at"] or printed, "timeframe": "DELAYED",
    }  # fmt: skip
