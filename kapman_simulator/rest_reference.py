"""The vendor's reference data: splits old and new, the list of tickers, one ticker's details.

What is listed when is decided by the simulation; bars and chains are in modules of their own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import date
from typing import Any

import polars as pl
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from kapman_simulator.faults import SplitEntry
from kapman_simulator.paging import BadRequest, NotFound, Query, go_number, reply, request_id
from kapman_simulator.rest import day_of, route
from kapman_simulator.simulation import Simulation

_SIC = {
    "7372": "SERVICES-PREPACKAGED SOFTWARE", "4813": "TELEPHONE COMMUNICATIONS", "5411": "RETAIL-GROCERY STORES",
    "1000": "METAL MINING", "1311": "CRUDE PETROLEUM & NATURAL GAS", "6022": "STATE COMMERCIAL BANKS",
    "2834": "PHARMACEUTICAL PREPARATIONS", "3560": "GENERAL INDUSTRIAL MACHINERY & EQUIPMENT",
    "5331": "RETAIL-VARIETY STORES", "4911": "ELECTRIC SERVICES", "6798": "REAL ESTATE INVESTMENT TRUSTS",
}  # fmt: skip


def routes(simulation: Simulation) -> list[Route]:
    return [
        route(simulation, "/stocks/v1/splits", _splits),
        route(simulation, "/v3/reference/splits", _old_splits),
        route(simulation, "/v3/reference/tickers", _tickers),
        route(simulation, "/v3/reference/tickers/{ticker}", _details),
    ]


def _results(
    simulation: Simulation, request: Request, query: Query, rows: list[dict[str, Any]], *, count: bool = False
) -> Response:
    shown, following = query.page(rows)
    body: dict[str, Any] = {"results": shown, "status": simulation.success, "request_id": request_id(request)}
    if count:
        body["count"] = len(shown)
    return reply(body | ({"next_url": following} if following else {}))


# --- splits -------------------------------------------------------------------------------------------------


def _split_id(*parts: object) -> str:
    return hashlib.blake2b("".join(map(str, parts)).encode(), digest_size=16).hexdigest()


def _split_rows(simulation: Simulation) -> list[dict[str, Any]]:
    """Newest first, so that the cumulative factor of each split is known when it is reached."""
    rows, cumulative = [], dict[str, float]()
    plan = simulation.faults.plan
    for symbol, executed, old, new in simulation.splits().iter_rows():
        if symbol in plan.hidden_splits:
            continue
        row = {
            "id": _split_id(symbol, executed),
            "ticker": symbol, "execution_date": executed.isoformat(),
            "split_from": go_number(old), "split_to": go_number(new),
        }  # fmt: skip
        row["adjustment_type"] = "forward_split" if new > old else "reverse_split"
        if executed <= simulation.today:
            cumulative[symbol] = cumulative.get(symbol, 1.0) * old / new
            row["historical_adjustment_factor"] = round(cumulative[symbol], 6)
        rows.append(row)
    return rows + [_entry_row(entry, place) for place, entry in enumerate(plan.split_entries)]


def _entry_row(entry: SplitEntry, place: int) -> dict[str, Any]:
    """An entry of the fault plan as the endpoint sends it; without a factor of its own it has none."""
    row: dict[str, Any] = {
        "id": _split_id(entry.ticker, entry.execution_date, "entry", place),
        "ticker": entry.ticker, "execution_date": entry.execution_date.isoformat(),
        "split_from": go_number(entry.split_from), "split_to": go_number(entry.split_to),
    }  # fmt: skip
    forward = entry.split_to > entry.split_from
    row["adjustment_type"] = entry.adjustment_type or ("forward_split" if forward else "reverse_split")
    if entry.historical_adjustment_factor is not None:
        row["historical_adjustment_factor"] = entry.historical_adjustment_factor
    return row


def _select_splits(simulation: Simulation, query: Query) -> list[dict[str, Any]]:
    ticker = query.wants("ticker", str)
    executed = query.wants("execution_date", lambda text: day_of(text).isoformat())
    return [
        row for row in _split_rows(simulation) if ticker(row["ticker"]) and executed(row["execution_date"])
    ]


def _splits(simulation: Simulation, request: Request) -> Response:
    if simulation.faults.plan.no_new_splits_endpoint:
        return PlainTextResponse("404 page not found", 404)
    query = Query(request, 100, 5000)
    rows = _select_splits(simulation, query)
    kind = query.wants("adjustment_type", str)
    rows = [row for row in rows if kind(row["adjustment_type"])]
    field, _, order = query.params.get("sort", "execution_date.desc").partition(".")
    if field not in ("execution_date", "ticker"):
        raise BadRequest(f"cannot sort by {field!r}")
    rows.sort(key=lambda row: row[field], reverse=order == "desc")
    return _results(simulation, request, query, rows)


def _old_splits(simulation: Simulation, request: Request) -> Response:
    query = Query(request, 10, 1000)
    kept = ("id", "ticker", "execution_date", "split_from", "split_to")
    rows = [{name: row[name] for name in kept} for row in _select_splits(simulation, query)]
    if "reverse_split" in query.params:
        reverse = query.params["reverse_split"] == "true"
        rows = [row for row in rows if (row["split_from"] > row["split_to"]) == reverse]
    field = query.params.get("sort", "execution_date")
    if field not in ("execution_date", "ticker"):
        raise BadRequest(f"cannot sort by {field!r}")
    rows.sort(key=lambda row: row[field], reverse=query.params.get("order", "desc") == "desc")
    return _results(simulation, request, query, rows)


# --- tickers ------------------------------------------------------------------------------------------------


def _listing(row: dict[str, Any]) -> dict[str, Any]:
    """One entry of the list, without what the source does not know."""
    entry = {
        "ticker": row["symbol"], "name": row["name"], "market": "stocks", "locale": "us",
        "primary_exchange": row["primary_exchange"], "type": row["type"], "active": row["active"],
        "currency_name": "usd", "composite_figi": row["composite_figi"],
        "delisted_utc": f"{row['delisted']}T00:00:00Z" if row["delisted"] else None,
    }  # fmt: skip
    return {field: value for field, value in entry.items() if value is not None}


def _tickers(simulation: Simulation, request: Request) -> Response:
    query = Query(request, 100, 1000)
    on = day_of(query.params["date"]) if "date" in query.params else None
    active = query.params.get("active", "true") != "false"
    if query.params.get("market", "stocks") != "stocks":
        return _results(simulation, request, query, [], count=True)
    wanted = _ticker_filter(query)
    listed = simulation.tickers(on).sort("symbol", maintain_order=True).filter(pl.col("active") == active)
    rows = [_listing(row) for row in listed.iter_rows(named=True) if wanted(row)]
    if query.params.get("order", "asc") == "desc":
        rows.reverse()
    return _results(simulation, request, query, rows, count=True)


def _ticker_filter(query: Query) -> Callable[[dict[str, Any]], bool]:
    tests = {
        "symbol": query.wants("ticker", str), "type": query.wants("type", str),
        "primary_exchange": query.wants("exchange", str),
    }  # fmt: skip
    return lambda row: all(test(row[field]) for field, test in tests.items())


def _details(simulation: Simulation, request: Request) -> Response:
    """One active ticker at a point in time; the only place with an industry and a share count."""
    symbol, asked = request.path_params["ticker"], request.query_params.get("date")
    on = min(day_of(asked), simulation.today) if asked else simulation.today
    listed = simulation.tickers(on).filter(pl.col("symbol") == symbol, pl.col("active"))
    if listed.is_empty():
        raise NotFound("Ticker not found.")
    row = listed.row(0, named=True)
    root, _, suffix = symbol.partition(".")
    shares = _shares(simulation, row, on)
    closes = simulation.finished_history_of(symbol).filter(pl.col("date") <= on)["close"]
    details = _listing(row) | {
        "list_date": row["list_date"].isoformat() if row["list_date"] else None,
        "sic_code": row["sic_code"], "sic_description": _SIC.get(row["sic_code"]),
        "ticker_root": root, "ticker_suffix": suffix or None, "round_lot": 100,
        "share_class_shares_outstanding": shares,
        "market_cap": round(shares * closes[-1], 2) if shares is not None and len(closes) else None,
    }  # fmt: skip
    shown = {field: value for field, value in details.items() if value is not None}
    return reply({"request_id": request_id(request), "results": shown, "status": simulation.success})


def _shares(simulation: Simulation, row: dict[str, Any], on: date) -> int | None:
    """Shares outstanding on a day, by the splits executed until then."""
    if row["shares_outstanding"] is None:
        return None
    splits = simulation.splits().filter(pl.col("symbol") == row["symbol"], pl.col("execution_date") <= on)
    return round(row["shares_outstanding"] * (splits["split_to"] / splits["split_from"]).product())
