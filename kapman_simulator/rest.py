"""The REST side of the vendor for stocks: bars and market status; the key check before all endpoints.

Reference data, option chains and option history have modules of their own; the S3 protocol is in flatfiles.py.
"""

from __future__ import annotations

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
from kapman_simulator.paging import (
    DAY_NOT_OVER,
    TOO_FAR_BACK,
    BadRequest,
    NotFound,
    NotInPlan,
    Query,
    failure,
    go_number,
    not_authorized,
    reply,
    request_id,
)
from kapman_simulator.simulation import Simulation

Handler = Callable[[Request], Response]

_HOLIDAY_NAMES = {
    1: "Martin Luther King, Jr. Day", 2: "Washington's Birthday", 3: "Good Friday", 4: "Good Friday",
    5: "Memorial Day", 6: "Juneteenth", 7: "Independence Day", 9: "Labor Day", 11: "Thanksgiving",
    12: "Christmas",
}  # fmt: skip


def guarded(simulation: Simulation, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """The handler behind the key check; its refusals become the vendor's 400, 403 and 404."""

    async def endpoint(request: Request) -> Response:
        header = request.headers.get("authorization", "")
        key = (
            header.removeprefix("Bearer ")
            if header.startswith("Bearer ")
            else request.query_params.get("apiKey")
        )
        if key != simulation.api_key:
            error = "Unknown API Key" if key else "API Key was not provided"
            return failure(request, 401, error)
        try:
            return handler(request)
        except BadRequest as error:
            return failure(request, 400, str(error))
        except NotFound as error:
            return failure(request, 404, str(error))
        except NotInPlan as error:
            return not_authorized(request, str(error))

    return endpoint


def route(simulation: Simulation, path: str, handler: Callable[[Simulation, Request], Response]) -> Route:
    """A GET endpoint behind the key check."""
    return Route(path, guarded(simulation, lambda request: handler(simulation, request)), methods=["GET"])


def routes(simulation: Simulation) -> list[Route]:
    return [
        route(simulation, "/v2/aggs/grouped/locale/us/market/stocks/{date}", _grouped),
        route(
            simulation, "/v2/aggs/ticker/{ticker}/range/{multiplier}/{timespan}/{start}/{end}", _ticker_bars
        ),
        route(simulation, "/v1/marketstatus/now", _status_now),
        route(simulation, "/v1/marketstatus/upcoming", _status_upcoming),
    ]


# --- bars ---------------------------------------------------------------------------------------------------


def day_of(text: str) -> date:
    """A date in a path or a parameter; raises BadRequest."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise BadRequest(f"could not parse the date {text!r}, use YYYY-MM-DD") from error


def _moment(text: str) -> date:
    """A range's end: a date, or epoch milliseconds."""
    if text.isdigit():
        return datetime.fromtimestamp(int(text) / 1000, NEW_YORK).date()
    return day_of(text)


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


def _check_plan(simulation: Simulation, start: date, end: date) -> None:
    """Refuses what lies outside the plan's history, and the running day on the free plan."""
    plan = simulation.faults.plan
    if plan.history_from is not None and start < plan.history_from:
        raise NotInPlan(TOO_FAR_BACK)
    running = simulation.today if simulation.today > simulation.session else None
    if plan.basic_plan and running is not None and is_session(running) and end >= running:
        raise NotInPlan(DAY_NOT_OVER)


def _grouped(simulation: Simulation, request: Request) -> Response:
    session = day_of(request.path_params["date"])
    _check_plan(simulation, session, session)
    adjusted = request.query_params.get("adjusted", "true") != "false"
    plan = simulation.faults.plan
    bars = simulation.finished_bars_of(session)
    if session in plan.grouped_unavailable:
        bars = bars.clear()
    rows = [*_bar_rows(simulation, bars, adjusted, time(16)), *plan.grouped_rows.get(session, [])]
    body: dict[str, Any] = {
        "adjusted": adjusted, "queryCount": len(rows), "resultsCount": len(rows), "status": simulation.success,
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
    _check_plan(simulation, start, end)
    bars = simulation.finished_history_of(path["ticker"]).filter(pl.col("date").is_between(start, end))
    rows = list(_bar_rows(simulation, bars, adjusted, time()))
    if query.params.get("sort", "asc") == "desc":
        rows.reverse()
    shown, following = query.page([{k: v for k, v in row.items() if k != "T"} for row in rows])
    body: dict[str, Any] = {
        "ticker": path["ticker"], "queryCount": len(shown), "resultsCount": len(shown), "adjusted": adjusted,
        "status": simulation.success, "request_id": request_id(request), "count": len(shown),
    }  # fmt: skip
    if shown:
        body["results"] = shown
    return reply(body | ({"next_url": following} if following else {}))


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
