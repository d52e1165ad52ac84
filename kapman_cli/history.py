"""`kapman backfill`: the tables of a past range, and the run with its progress."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from kapman_assets.chain_loading import RETENTION
from kapman_assets.jobs import DAILY_TABLES, REFERENCE_TABLES
from kapman_assets.launch import RunReport, run_sessions
from kapman_cli.console import CliError, progress, say
from kapman_cli.report import print_report
from kapman_resources import calendar, clock
from kapman_resources.database import Database
from kapman_resources.database.queries import query
from kapman_resources.settings import Settings

# The whole market's indicators take seconds a session: they are filled from today on, and for the past when asked for.
HISTORY_TABLES = tuple(t for t in (*REFERENCE_TABLES, *DAILY_TABLES) if t != "universe_indicators")


def sessions_of(first: date, last: date) -> list[date]:
    """The completed sessions of a range; raises CliError when there are none."""
    if last < first:
        raise CliError(f"--from {first} lies after --to {last}")
    newest = clock.last_completed_session()
    sessions = calendar.sessions_between(first, min(last, newest))
    if not sessions:
        raise CliError(f"no completed session between {first} and {last}: the newest is {newest}")
    return sessions


def run_backfill(
    database: Database, settings: Settings, first: date, last: date, tables: Sequence[str] | None
) -> RunReport:
    """One run over the range; what is stored already is not fetched again, so a broken one resumes."""
    sessions = sessions_of(first, last)
    span = {"first": sessions[0], "last": sessions[-1]}
    title = f"bars {sessions[0]} to {sessions[-1]}"
    with progress(title, len(sessions), lambda: database.value(query("loaded_bar_files"), span)):
        report = run_sessions(settings, sessions[0], sessions[-1], tables or HISTORY_TABLES)
    print_report(report, f"sessions {sessions[0]} to {sessions[-1]} ({len(sessions)})")
    if tables is None:
        say(
            f"chains without a snapshot come from the option day files, {RETENTION.days} days back, without open "
            "interest unless POLYGON_OPTION_HISTORY is on; snapshots built on them are marked partial"
        )
        say(
            "past sessions are screened after `kapman backfill --only universe_indicators` (some seconds a session)"
        )
    return report
