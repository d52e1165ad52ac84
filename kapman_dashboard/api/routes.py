"""The reading endpoints of the API, each as of `?session=YYYY-MM-DD` (default: the newest stored)."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, HTTPException, Query, Request

from kapman_dashboard import page
from kapman_dashboard.api import models
from kapman_dashboard.boundary import AskedFilters, AskedSession, Limit, Symbol

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": models.Problem, "content": {"application/problem+json": {}}} for code in (404, 422, 503)
}
router = APIRouter(prefix="/api", tags=["api"], responses=_PROBLEMS)
Offset = Annotated[int, Query(ge=0, le=1_000_000)]


def _known(reader: page.Reader, symbol: str) -> dict[str, Any]:
    found = reader.ticker(symbol)
    if found is None:
        raise HTTPException(404, f"no ticker {symbol!r} is stored; symbols are case-sensitive")
    return found


@router.get("/portfolios", response_model=list[models.Portfolio])
def portfolios(request: Request) -> Any:
    return page.reader(request).portfolios()


@router.get("/tickers", response_model=list[models.Ticker])
def tickers(request: Request, watched: bool = True, limit: Limit = 200, offset: Offset = 0) -> Any:
    """The watchlist, or with `watched=false` every known symbol, by name."""
    return page.reader(request).tickers(watched=watched, limit=limit, offset=offset)


@router.get("/tickers/{symbol}", response_model=models.TickerWithSnapshot)
def ticker(request: Request, symbol: Symbol, asked: AskedSession) -> Any:
    reader = page.reader(request)
    found = _known(reader, symbol)
    return found | {"snapshot": reader.snapshot(symbol, reader.session(asked).shown)}


@router.get("/tickers/{symbol}/snapshots", response_model=list[models.Snapshot])
def snapshots(request: Request, symbol: Symbol, asked: AskedSession, limit: Limit = 30) -> Any:
    """Newest first."""
    reader = page.reader(request)
    _known(reader, symbol)
    return reader.snapshots(symbol, reader.session(asked).shown, limit)


@router.get("/tickers/{symbol}/options", response_model=models.Chain)
def options(
    request: Request,
    symbol: Symbol,
    asked: AskedSession,
    expiration: date | None = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 2000,
    offset: Offset = 0,
) -> Any:
    """The newest chain as of the session, sorted by expiration, strike and type."""
    reader = page.reader(request)
    _known(reader, symbol)
    expirations = reader.expirations(symbol, reader.session(asked).shown)
    session = expirations[0]["session"] if expirations else None
    contracts = reader.chain(symbol, session, expiration, limit, offset) if session else []
    return {"symbol": symbol, "session": session, "expirations": expirations, "contracts": contracts}


@router.get("/events/recent", response_model=list[models.Event])
def recent_events(
    request: Request, asked: AskedSession, days: Annotated[int, Query(ge=1, le=365)] = 30, limit: Limit = 100
) -> Any:
    """Wyckoff events of the watchlist detected in the last `days` calendar days up to the session."""
    reader = page.reader(request)
    return reader.recent_events(reader.session(asked).shown, days, limit)


@router.get("/recommendations", response_model=list[models.Recommendation])
def recommendations(request: Request, asked: AskedSession, filters: AskedFilters, limit: Limit = 200) -> Any:
    """Advice of the session, best rank first."""
    reader = page.reader(request)
    return reader.recommendations(session=reader.session(asked).shown, filters=filters, limit=limit)


@router.get("/recommendations/{identity}", response_model=models.RecommendationDetail)
def recommendation(request: Request, identity: UUID, asked: AskedSession) -> Any:
    found = page.reader(request).recommendation(identity, until=asked)
    if found is None:
        raise HTTPException(404, f"no recommendation {identity} is stored")
    return found


@router.get("/jobs/history", response_model=list[models.Run])
def job_history(request: Request, limit: Limit = 30) -> Any:
    """Runs of the pipeline, newest first."""
    return page.reader(request).runs(limit)


@router.get("/dashboard/alerts", response_model=list[models.Alert])
def alerts(request: Request, asked: AskedSession, current: bool = True) -> Any:
    """Alerts most urgent first; `current=false` adds those of a symbol's older snapshots."""
    reader = page.reader(request)
    found = reader.alerts(reader.session(asked).shown)
    return [row for row in found if row["is_current"] or not current]


@router.get("/dashboard/summary", response_model=models.Summary)
def summary(request: Request, asked: AskedSession) -> Any:
    reader = page.reader(request)
    session = reader.session(asked)
    watchlist = reader.watchlist(session.shown)
    alerts_now = [row for row in reader.alerts(session.shown) if row["is_current"]]
    age = page.session_age(session)
    return {
        "session": session.shown,
        "newest_session": session.newest,
        "expected_session": age.expected,
        "age_in_sessions": age.sessions,
        "data_labels": reader.data_labels(),
        "symbols": len(watchlist),
        "by_signal": Counter(row["signal_type"] or "none" for row in watchlist),
        "by_quality": Counter(row["data_quality"] or "none" for row in watchlist),
        "advice": Counter(row["action"] for row in reader.recommendations(session=session.shown)),
        "critical": [row["symbol"] for row in alerts_now if row["alert_type"] == "BC_CRITICAL"],
    }
