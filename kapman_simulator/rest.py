"""The REST side of the vendor for stocks: bars, splits, tickers, market status; the key check before all.

Option chains are in rest_chains.py, the S3 protocol in flatfiles.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import polars as pl
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kapman_resources.calendar import (
    NEW_YORK,
    all_holidays,
    close_of,
    is_early_close,
    is_session,
    sessions_between,
)
from kapman_simulator.paging import BadRequest, Query, bad_request, go_number, reply, request_id
from kapman_simulator.simulation import Simulation

Handler = Callable[[Request], Response]

_HOLIDAY_NAMES = {
    1: "Martin Luther King, Jr. Day", 2: "Washington's Birthday", 3: "Good Friday", 4: "Good Friday",
    5: "Memorial Day", 6: "Juneteenth", 7: "Independence Day", 9: "Labor Day", 11: "Thanksgiving",
    12: "Christmas",
}  # fmt: skip


def guarded(simulation: Simulation, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """The handler behind the key check, with the vendor's 400 for parameters it cannot read."""

    async def endpoint(request: Request) -> Response:
        header = request.headers.get("authorization", "")
        key = (
            header.removeprefix("Bearer ")
            if header.startswith("Bearer ")
            else request.query_params.get("apiKey")
        )
        if key != simulation.api_key:
            error = "Unknown API Key" if key else "API Key was not provided"
            return reply({"status": "ERROR", "request_id": request_id(request), "error": error}, 401)
        try:
            return handler(request)
        except BadRequest as error:
            return bad_request(request, str(error))

    return endpoint


def routes(simulation: Simulation) -> list[Route]:
    def route(path: str, handler: Callable[[Simulation, Request], Response]) -> Route:
        return Route(path, guarded(simulation, lambda request: handler(simulation, request)), methods=["GET"])

    return [
        route("/v2/aggs/grouped/locale/us/market/stocks/{date}", _grouped),
        route("/v2/aggs/ticker/{ticker}/range/{multiplier}/{timespan}/{start}/{end}", _ticker_bars),
        route("/stocks/v1/splits", _splits),
        route("/v3/reference/splits", _old_splits),
        route("/v3/reference/tickers", _tickers),
        route("/v1/marketstatus/now", _status_now),
        route("/v1/marketstatus/upcoming", _status_upcoming),
    ]


# --- bars ---------------------------------------------------------------------------------------------------


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise BadRequest(f"could not parse the date {text!r}, use YYYY-MM-DD") from error


def _moment(text: str) -> date:
    """A range's end: a date, or epoch milliseconds."""
    if text.isdigit():
        return datetime.fromtimestamp(int(text) / 1000, NEW_YORK).date()
    return _day(text)


def _milliseconds(session: date, at: time) -> int:
    return int(datetime.combine(session, at, NEW_YORK).timestamp()) * 1000


def _share_factors(simulation: Simulation, bars: pl.DataFrame) -> pl.DataFrame:
    """Bars with `factor` = shares today for one share of the bar's date, by the splits executed up to now."""
    splits = simulation.splits().filter(pl.col("execution_date") <= simulation.today)
    splits = splits.filter(pl.col("symbol").is_in(bars["symbol"].unique().implode()))
    factor = pl.lit(1.0)
    for symbol, executed, old, new in splits.iter_rows():
        before = (pl.col("symbol") == symbol) & (pl.col("date") < executed)
        factor = factor * pl.when(before).then(new / old).otherwise(1.0)
    return bars.with_columns(factor=factor)


def _bar_rows(
    simulation: Simulation, bars: pl.DataFrame, adjusted: bool, at: time
) -> Iterable[dict[str, Any]]:
    if adjusted:
        prices = [pl.col(name) / pl.col("factor") for name in ("open", "high", "low", "close", "vwap")]
        bars = _share_factors(simulation, bars).with_columns(
            *prices, volume=pl.col("volume") * pl.col("factor")
        )
    stamps: dict[date, int] = {}
    columns = ("symbol", "date", "open", "high", "low", "close", "volume", "vwap", "transactions")
    for symbol, day, opened, high, low, close, volume, vwap, trades in bars.select(columns).iter_rows():
        stamp = stamps.get(day) or stamps.setdefault(day, _milliseconds(day, at))
        row: dict[str, Any] = {
            "T": symbol, "v": go_number(volume), "o": go_number(opened), "c": go_number(close),
            "h": go_number(high), "l": go_number(low), "t": stamp,
        }  # fmt: skip
        if vwap is not None:
            row["vw"] = go_number(vwap)
        if trades is not None:
            row["n"] = trades
        yield row


def _grouped(simulation: Simulation, request: Request) -> Response:
    session = _day(request.path_params["date"])
    adjusted = request.query_params.get("adjusted", "true") != "false"
    bars = simulation.finished_bars_of(session)
    rows = list(_bar_rows(simulation, bars, adjusted, time(16)))
    body: dict[str, Any] = {
        "adjusted": adjusted, "queryCount": len(rows), "resultsCount": len(rows), "status": "OK",
        "request_id": request_id(request), "count": len(rows),
    }  # fmt: skip
    if rows:
        body["results"] = rows
    return reply(body)


def _ticker_bars(simulation: Simulation, request: Request) -> Response:
    path = request.path_params
    if (path["multiplier"], path["timespan"]) != ("1", "day"):
        raise BadRequest("the simulated vendor has bars of 1 day only")
    query = Query(request, 5000, 50_000)
    adjusted = query.params.get("adjusted", "true") != "false"
    start, end = _moment(path["start"]), _moment(path["end"])
    bars = simulation.finished_history_of(path["ticker"]).filter(pl.col("date").is_between(start, end))
    rows = list(_bar_rows(simulation, bars, adjusted, time()))
    if query.params.get("sort", "asc") == "desc":
        rows.reverse()
    shown, following = query.page([{k: v for k, v in row.items() if k != "T"} for row in rows])
    body: dict[str, Any] = {
        "ticker": path["ticker"], "queryCount": len(shown), "resultsCount": len(shown), "adjusted": adjusted,
        "status": "OK", "request_id": request_id(request), "count": len(shown),
    }  # fmt: skip
    if shown:
        body["results"] = shown
    return reply(body | ({"next_url": following} if following else {}))


# --- splits and tickers -------------------------------------------------------------------------------------


def _results(request: Request, query: Query, rows: list[dict[str, Any]], **extra: Any) -> Response:
    shown, following = query.page(rows)
    body = {"results": shown, "status": "OK", "request_id": request_id(request), **extra}
    if "count" in extra:
        body["count"] = len(shown)
    return reply(body | ({"next_url": following} if following else {}))


def _split_rows(simulation: Simulation) -> list[dict[str, Any]]:
    """Newest first, so that the cumulative factor of each split is known when it is reached."""
    rows, cumulative = [], dict[str, float]()
    for symbol, executed, old, new in simulation.splits().iter_rows():
        row = {
            "id": hashlib.blake2b(f"{symbol}{executed}".encode(), digest_size=16).hexdigest(),
            "ticker": symbol, "execution_date": executed.isoformat(),
            "split_from": go_number(old), "split_to": go_number(new),
        }  # fmt: skip
        row["adjustment_type"] = "forward_split" if new > old else "reverse_split"
        if executed <= simulation.today:
            cumulative[symbol] = cumulative.get(symbol, 1.0) * old / new
            row["historical_adjustment_factor"] = round(cumulative[symbol], 6)
        rows.append(row)
    return rows


def _select_splits(simulation: Simulation, query: Query) -> list[dict[str, Any]]:
    ticker, executed = (
        query.wants("ticker", str),
        query.wants("execution_date", lambda text: _day(text).isoformat()),
    )
    return [
        row for row in _split_rows(simulation) if ticker(row["ticker"]) and executed(row["execution_date"])
    ]


def _splits(simulation: Simulation, request: Request) -> Response:
    query = Query(request, 100, 5000)
    rows = _select_splits(simulation, query)
    field, _, order = query.params.get("sort", "execution_date.desc").partition(".")
    if field not in ("execution_date", "ticker"):
        raise BadRequest(f"cannot sort by {field!r}")
    rows.sort(key=lambda row: row[field], reverse=order == "desc")
    return _results(request, query, rows)


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
    return _results(request, query, rows)


def _tickers(simulation: Simulation, request: Request) -> Response:
    query = Query(request, 100, 1000)
    on = _day(query.params["date"]) if "date" in query.params else None
    active = query.params.get("active", "true") != "false"
    ticker, kind = query.wants("ticker", str), query.wants("type", str)
    if query.params.get("market", "stocks") != "stocks":
        return _results(request, query, [], count=0)
    rows = []
    for symbol, name, code, exchange, listed_now, _, delisted in (
        simulation.tickers(on).sort("symbol").iter_rows()
    ):
        if listed_now != active or not ticker(symbol) or not kind(code):
            continue
        row = {
            "ticker": symbol, "name": name, "market": "stocks", "locale": "us", "primary_exchange": exchange,
            "type": code, "active": listed_now, "currency_name": "usd",
            "delisted_utc": f"{delisted}T00:00:00Z" if delisted else None,
        }  # fmt: skip
        rows.append({field: value for field, value in row.items() if value is not None})
    if query.params.get("order", "asc") == "desc":
        rows.reverse()
    return _results(request, query, rows, count=0)


# --- market status ------------------------------------------------------------------------------------------


def _status_now(simulation: Simulation, request: Request) -> Response:
    now = simulation.now
    early = late = False
    market = "closed"
    if is_session(now.date()):
        closes = close_of(now.date())
        early = time(4) <= now.time() < time(9, 30)
        late = closes <= now < datetime.combine(now.date(), time(20), NEW_YORK)
        market = "extended-hours" if early or late else "closed"
        if time(9, 30) <= now.time() and now < closes:
            market = "open"
    return reply(
        {
            "market": market,
            "earlyHours": early,
            "afterHours": late,
            "serverTime": now.isoformat(timespec="seconds"),
            "exchanges": {"nyse": market, "nasdaq": market, "otc": market},
            "currencies": {"fx": "open", "crypto": "open"},
            "indicesGroups": {"s_and_p": market, "nasdaq": market, "dow_jones": market},
        }
    )


def _status_upcoming(simulation: Simulation, request: Request) -> Response:
    """The next year's closures and early closes: a bare array, one entry for each exchange."""
    first, last = simulation.today, simulation.today + timedelta(days=365)
    days: list[tuple[date, bool]] = [
        (day, True) for day in all_holidays(first.year, last.year) if first <= day <= last
    ]
    days += [(day, False) for day in sessions_between(first, last) if is_early_close(day)]
    entries = []
    for day, closed in sorted(days):
        name = (
            "New Years Day"
            if (day.month, day.day <= 2) == (1, True)
            else _HOLIDAY_NAMES.get(day.month, "Closure")
        )
        entry = {"date": day.isoformat(), "name": name, "status": "closed" if closed else "early-close"}
        if not closed:
            opens = datetime.combine(day, time(9, 30), NEW_YORK)
            entry["open"], entry["close"] = (
                f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.000Z}" for at in (opens, close_of(day))
            )
        entries += [{**entry, "exchange": exchange} for exchange in ("NYSE", "NASDAQ")]
    return reply(entries)
