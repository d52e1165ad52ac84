"""Today: what to do and why, in under a minute: banner, sources, advice, watchlist by urgency."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from kapman_dashboard import formats, page, vocabulary
from kapman_dashboard.boundary import AskedFilters, AskedSession
from kapman_dashboard.vocabulary import Badge

router = APIRouter(include_in_schema=False)
Row = dict[str, Any]


@dataclass(frozen=True)
class WatchRow:
    """One line of the watchlist: the stored row beside the words and the weight it is shown with."""

    row: Row
    signal: Badge
    urgency: int
    urgency_text: str
    days_since: int | None
    quality: Badge
    reasons: list[str]
    behind: int | None

    @property
    def sort_key(self) -> tuple[int, int, str, str]:
        return self.urgency, self.row["signal_rule"] or 99, self.row["watch_priority"], self.row["symbol"]


def watch_row(row: Row, session: date) -> WatchRow:
    """`behind`: by how many sessions the newest snapshot is older than the page, None without one."""
    urgency, text = vocabulary.PRIORITIES.get(row["alert_priority"] or "", vocabulary.NO_PRIORITY)
    return WatchRow(
        row=row,
        signal=vocabulary.SIGNALS.get(row["signal_type"] or "", vocabulary.UNKNOWN_SIGNAL),
        urgency=urgency,
        urgency_text=text,
        days_since=formats.sessions_since(row["primary_event_detected_at"], session),
        quality=vocabulary.QUALITIES.get(row["data_quality"] or "", vocabulary.UNKNOWN_QUALITY),
        reasons=[str(item) for item in row["missing_inputs"] or []],
        behind=formats.sessions_since(row["session"], session),
    )


def degraded(rows: Sequence[WatchRow]) -> list[WatchRow]:
    """Rows whose numbers are not whole, old or absent, for the source bar."""
    return [row for row in rows if row.quality is not vocabulary.QUALITIES["complete"] or row.behind]


@router.get("/")
def today(request: Request, asked: AskedSession, filters: AskedFilters) -> HTMLResponse:
    reader = page.reader(request)
    session = reader.session(asked)
    watched = [watch_row(row, session.shown) for row in reader.watchlist(session.shown)]
    portfolios = sorted({name for row in watched for name in row.row["portfolio_names"]})
    shown = [
        row
        for row in watched
        if (filters.portfolio is None or filters.portfolio in row.row["portfolio_names"])
        and (filters.signal is None or filters.signal == row.row["signal_type"])
    ]
    every = reader.recommendations(session=session.shown)
    advice = reader.recommendations(session=session.shown, filters=filters) if filters.any else every
    alerts = reader.alerts(session.shown)
    runs = reader.runs(1, until=session.shown if session.is_replay else None)
    return page.render(
        request,
        "today.html",
        session=session,
        labels=reader.data_labels(),
        age=page.session_age(session),
        filters=filters,
        portfolios=portfolios,
        critical=[row for row in alerts if row["alert_type"] == "BC_CRITICAL" and row["is_current"]],
        alerts=alerts,
        advice_counts=Counter(row["action"] for row in every),
        opened=sorted(
            (row for row in advice if row["action"] in vocabulary.OPENED),
            key=lambda row: (vocabulary.OPENED.index(row["action"]), -row["confidence"], row["symbol"]),
        ),
        refused=[row for row in advice if row["action"] not in vocabulary.OPENED],
        advice_total=len(every),
        watchlist=sorted(shown, key=lambda row: row.sort_key),
        watch_total=len(watched),
        urgencies=Counter(row.urgency_text for row in watched),
        degraded=degraded(watched),
        run=runs[0] if runs else None,
    )
