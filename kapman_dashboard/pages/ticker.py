"""One ticker: its place in the sequence, chart with levels, scores, metrics, chain and history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import HTMLResponse

from kapman_dashboard import formats, metric_catalog, page, vocabulary
from kapman_dashboard.boundary import AskedSession, Symbol
from kapman_dashboard.price_chart import Level, price_chart
from kapman_dashboard.queries import NEAREST_EXPIRY_DAYS, Reader
from kapman_dashboard.vocabulary import Badge

router = APIRouter(include_in_schema=False)
Row = dict[str, Any]
HISTORY_SESSIONS = 30
STRIKES_EACH_SIDE = 10
_LEVELS = (
    ("Call wall", "CW", "call_wall_primary", "wall-call"),
    ("Gamma flip", "GF", "gamma_flip_level", "flip"),
    ("Put wall", "PW", "put_wall_primary", "wall-put"),
)


@dataclass(frozen=True)
class Step:
    """One event of the stepper."""

    code: str
    title: str
    state: Badge
    day: str | None
    confidence: float | None
    is_current: bool


@dataclass(frozen=True)
class ScoreLine:
    """One signal of a score; `points` None means it could not be measured, for `reason`."""

    title: str
    meaning: str
    points: int | None
    most: int
    reason: str | None


@dataclass(frozen=True)
class ChainView:
    """Calls and puts of one expiry side by side, the strikes around `anchor` in `near`."""

    session: date
    expiration: date
    days: int
    expirations: list[Row]
    near: list[tuple[float, Row | None, Row | None]]
    total: int
    anchor: float | None
    anchored_by: str


def stepper(events_json: Mapping[str, Any]) -> list[Step]:
    """The eight events in order; the current one is the one in progress, else the latest detected."""
    stored = events_json.get("steps")
    states = stored if isinstance(stored, Mapping) else {}
    entries = {
        code: states[code] if isinstance(states.get(code), Mapping) else {}
        for code in vocabulary.FIRST_RELEASE
    }
    under_way = [code for code, entry in entries.items() if entry.get("status") == "in_progress"]
    done = [
        code for code, entry in entries.items() if entry.get("status") == "detected" and entry.get("date")
    ]
    current = (
        under_way[0] if under_way else max(done, key=lambda code: str(entries[code]["date"]), default=None)
    )
    return [
        Step(
            code=code,
            title=vocabulary.event_title(code),
            state=vocabulary.STEP_STATES.get(str(entry.get("status")), vocabulary.UNKNOWN_STEP),
            day=entry.get("date"),
            confidence=entry.get("confidence"),
            is_current=code == current,
        )
        for code, entry in entries.items()
    ]


def score_lines(stored: Any, words: Mapping[str, tuple[str, str]], most: int) -> list[ScoreLine]:
    """A score's signals in order, empty when none are stored: each is points, or {points, reason}."""
    if not isinstance(stored, Mapping):
        return []
    lines = []
    for name, (title, meaning) in words.items():
        entry = stored.get(name)
        points = entry.get("points") if isinstance(entry, Mapping) else entry
        reason = entry.get("reason") if isinstance(entry, Mapping) else None
        lines.append(
            ScoreLine(
                title, meaning, points, most, reason or (None if points is not None else "not measured")
            )
        )
    return lines


def chain_view(
    reader: Reader, symbol: str, session: date, spot: float | None, asked: date | None
) -> ChainView | None:
    """The newest chain as of the session at the expiry asked for, else the nearest of 30 days or more."""
    expirations = reader.expirations(symbol, session)
    if not expirations:
        return None
    chosen = next((row for row in expirations if row["expiration"] == asked), None)
    if chosen is None:
        far_enough = [row for row in expirations if row["days"] >= NEAREST_EXPIRY_DAYS]
        chosen = far_enough[0] if far_enough else expirations[-1]
    contracts = [
        row for row in reader.chain(symbol, chosen["session"], chosen["expiration"]) if row["is_standard"]
    ]
    calls = {row["strike"]: row for row in contracts if row["option_type"] == "call"}
    puts = {row["strike"]: row for row in contracts if row["option_type"] == "put"}
    strikes = sorted(calls.keys() | puts.keys())
    anchor, anchored_by = _anchor(spot, calls)
    at = (
        min(range(len(strikes)), key=lambda i: abs(strikes[i] - anchor))
        if anchor and strikes
        else len(strikes) // 2
    )
    near = strikes[max(at - STRIKES_EACH_SIDE, 0) : at + STRIKES_EACH_SIDE + 1]
    return ChainView(
        session=chosen["session"],
        expiration=chosen["expiration"],
        days=chosen["days"],
        expirations=expirations,
        near=[(strike, calls.get(strike), puts.get(strike)) for strike in near],
        total=len(strikes),
        anchor=anchor,
        anchored_by=anchored_by,
    )


def _anchor(spot: float | None, calls: Mapping[float, Row]) -> tuple[float | None, str]:
    if spot is not None:
        return spot, f"close {formats.price(spot)}"
    with_delta = [row for row in calls.values() if row["delta"] is not None]
    if with_delta:
        half = min(with_delta, key=lambda row: abs(row["delta"] - 0.5))
        return half["strike"], "the call of delta 0.5, because no close is stored"
    return None, "the middle of the listed strikes, because neither close nor delta is stored"


def _chart(snapshot: Row | None, bars: list[Row]) -> Any:
    stored = metric_catalog.document(snapshot or {}, "events_json")
    box = metric_catalog.document(stored, "range")
    levels = [
        Level(name, short, snapshot[key], kind)
        for name, short, key, kind in _LEVELS
        if snapshot and snapshot[key] is not None
    ]
    events = [event for event in stored.get("events") or [] if isinstance(event, Mapping)]
    return price_chart(
        bars, levels, box.get("support"), box.get("resistance"), formats.as_date(box.get("born_at")), events
    )


@router.get("/tickers/{symbol}")
def ticker(
    request: Request,
    symbol: Symbol,
    asked: AskedSession,
    expiry: Annotated[date | None, Query(description="expiration of the chain table")] = None,
) -> HTMLResponse:
    reader = page.reader(request)
    session = reader.session(asked)
    found = reader.ticker(symbol)
    if found is None:
        other = reader.ticker(symbol.upper())
        hint = f", did you mean {other['symbol']}?" if other else ""
        raise HTTPException(404, f"no ticker {symbol!r} is stored; symbols are case-sensitive{hint}")
    snapshot = reader.snapshot(symbol, session.shown)
    bars = reader.bars(symbol, session.shown)
    events_json = metric_catalog.document(snapshot or {}, "events_json")
    last = bars[-1] if bars else None
    spot = last["close"] if last and last["date"] == session.shown else None
    closes = {bar["date"]: bar["close"] for bar in bars}
    history = reader.snapshots(symbol, session.shown, HISTORY_SESSIONS)
    bc_lines = score_lines(
        events_json.get("bc_signals"), vocabulary.BC_SIGNALS, vocabulary.POINTS_PER_BC_SIGNAL
    )
    return page.render(
        request,
        "ticker.html",
        session=session,
        labels=reader.data_labels(),
        ticker=found,
        snapshot=snapshot,
        events_json=events_json,
        signal=vocabulary.SIGNALS.get(str(events_json.get("signal_type")), vocabulary.UNKNOWN_SIGNAL),
        urgency=vocabulary.PRIORITIES.get(str(events_json.get("alert_priority")), vocabulary.NO_PRIORITY)[0],
        quality=vocabulary.QUALITIES.get(
            (snapshot or {}).get("data_quality") or "", vocabulary.UNKNOWN_QUALITY
        ),
        missing_inputs=metric_catalog.missing_inputs(snapshot or {}),
        behind=formats.sessions_since(snapshot["session"], session.shown) if snapshot else None,
        steps=stepper(events_json),
        bc_lines=bc_lines,
        bc_uncounted=bool(snapshot and snapshot["bc_score"] == 0 and any(line.points for line in bc_lines)),
        spring_lines=score_lines(
            events_json.get("spring_signals"), vocabulary.SPRING_SIGNALS, vocabulary.POINTS_PER_SPRING_SIGNAL
        ),
        groups=[(group, metric_catalog.lines(snapshot, group)) for group in metric_catalog.GROUPS]
        if snapshot
        else [],
        dealer=metric_catalog.document(snapshot or {}, "dealer_metrics_json"),
        excluded=metric_catalog.excluded_contracts(snapshot) if snapshot else None,
        indicators=sorted(
            (name, value)
            for name, value in metric_catalog.document(snapshot or {}, "technical_indicators_json").items()
            if value is None or isinstance(value, int | float)
        ),
        bars=bars,
        last=last,
        change=bars[-1]["close"] / bars[-2]["close"] - 1 if len(bars) > 1 else None,
        chart=_chart(snapshot, bars),
        chain=chain_view(reader, symbol, session.shown, spot, expiry),
        advice=reader.recommendations(symbol=symbol, until=session.shown, limit=3),
        history=[row | {"close": closes.get(row["session"])} for row in history],
    )
