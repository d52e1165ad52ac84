"""What a run and a database look like on a terminal of 100 columns."""

from __future__ import annotations

from datetime import date
from typing import Any

from kapman_assets.jobs import DAILY_TABLES
from kapman_assets.launch import RunReport
from kapman_assets.stages import data_label
from kapman_cli.console import out, say, table
from kapman_resources import calendar, clock
from kapman_resources.database import Database
from kapman_resources.database.queries import query

_ASIDE = ("rows", "symbols", "rejected_rows", "seconds", "source", "sessions", "data")


def print_report(report: RunReport, title: str) -> None:
    """The run's tables, then one line for each failure and each failed check."""
    label = next((t.facts["data"] for t in report.tables if "data" in t.facts), None)
    title = f"{title}, data: {label}" if label else title
    shown = table("table", "state", ">rows", ">symbols", ">rejected", ">seconds", "source", title=title)
    notes = []
    for t in report.tables:
        facts = t.facts
        said = [
            f"{k.replace('_', ' ')} {v}"
            for k, v in facts.items()
            if k not in _ASIDE and v not in ("none", "", "{}", 0)
        ]
        if said:
            notes.append(f"{t.table}: {', '.join(said)}")
        numbers = [_number(facts.get(k)) for k in ("rows", "symbols", "rejected_rows", "seconds")]
        shown.add_row(t.table, t.state, *numbers, str(facts.get("source", "")))
    out.print(shown, markup=False)
    for line in notes:
        say(line)
    for line in report.failed_checks:
        say(f"check failed  {line}")
    for line in report.failures:
        say(f"FAILED  {line}")
    say(f"{'done' if report.ok else 'failed'} in {report.seconds:.1f} s (run {report.run_id[:8]})")


def _number(value: Any) -> str:
    return "" if value is None else f"{value:,}"


def print_status(database: Database) -> None:
    """Freshness per table, the last runs, the alerts that stand."""
    label = data_label(database)
    newest = clock.last_completed_session()
    say(f"last completed session {newest}" + (f", data: {label}" if label else ""))
    shown = table("table", "newest session", ">behind", "last run", ">seconds", "state")
    for row in database.rows(query("status_of_tables"), {"tables": list(DAILY_TABLES)}):
        behind = sessions_behind(row["newest"], newest)
        ran = f"{row['started_at']:%Y-%m-%d %H:%M}" if row["started_at"] else "never"
        took = "" if row["seconds"] is None else f"{row['seconds']:.1f}"
        shown.add_row(row["stage"], str(row["newest"] or "empty"), behind, ran, took, row["state"] or "")
    out.print(shown, markup=False)
    print_alerts(database, newest)


def sessions_behind(stored: date | None, newest: date) -> str:
    return "" if stored is None else str(max(len(calendar.sessions_between(stored, newest)) - 1, 0))


def print_alerts(database: Database, as_of: date) -> None:
    """Alerts of each symbol's newest snapshot, the most urgent first."""
    alerts = [
        a
        for a in database.rows("SELECT * FROM fn_alerts(%s)", (as_of,))
        if a["is_current"] and a["alert_type"] != "VOLUME_SURGE"
    ]
    if not alerts:
        say("no alert stands")
        return
    shown = table("priority", "symbol", "signal", "why")
    for alert in alerts:
        shown.add_row(alert["alert_priority"], alert["symbol"], alert["signal_type"], alert["alert_message"])
    out.print(shown, markup=False)


def print_advice(database: Database, session: date) -> None:
    """The session's advice, one line each, legs in words."""
    rows = database.rows(query("advice_of_session"), {"session": session})
    if not rows:
        say(f"no advice for {session}: no P1 symbol has an actionable signal")
        return
    shown = table(
        "symbol", "action", "direction", "trade", ">p", ">confidence", title=f"advice for session {session}"
    )
    for r in rows:
        p = "" if r["p_direction"] is None else f"{r['p_direction']:.2f}"
        shown.add_row(r["symbol"], r["action"], r["direction"], r["legs"] or "", p, f"{r['confidence']:.2f}")
    out.print(shown, markup=False)
