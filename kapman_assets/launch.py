"""Running the graph from a command: in this process, on the real instance, with an honest report.

The same job and checks that the daemon launches; what differs is only that nobody waits for a queue and a process.
"""

from __future__ import annotations

import os
import shutil
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from kapman_resources import calendar, clock
from kapman_resources.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
EVENT_BATCH = "200"  # events written at once: a range run is then three times as fast


@dataclass(frozen=True)
class TableReport:
    """One table of a run: its state (ok, failed, not run) and what its materialization reported."""

    table: str
    state: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunReport:
    run_id: str
    ok: bool
    seconds: float
    tables: list[TableReport]
    failures: list[str]
    failed_checks: list[str]


class NoSuchSession(ValueError):
    """The date asked for is not a completed trading session; the message names the nearest one."""


def require_completed_session(day: date) -> date:
    """`day` when it is a completed session; raises NoSuchSession otherwise."""
    if not calendar.FIRST_YEAR <= day.year <= calendar.LAST_YEAR:
        raise NoSuchSession(f"{day} is outside the calendar ({calendar.FIRST_YEAR} to {calendar.LAST_YEAR})")
    if not calendar.is_session(day):
        before = calendar.session_on_or_before(day)
        after = calendar.session_offset(before, 1)
        raise NoSuchSession(
            f"{day:%Y-%m-%d} ({day:%A}) is no trading session: the nearest are {before} and {after}"
        )
    newest = clock.last_completed_session()
    if day > newest:
        raise NoSuchSession(f"session {day} is not over yet: the newest completed one is {newest}")
    return day


def prepare_instance(settings: Settings) -> Path:
    """Points DAGSTER_HOME at KAPMAN_HOME/dagster with this version's dagster.yaml; returns that folder."""
    home = settings.home / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ROOT / "dagster.yaml", home / "dagster.yaml")
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", EVENT_BATCH)
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")
    return home


@contextmanager
def _quiet() -> Iterator[None]:
    """Dagster's preview and beta notices concern its developers, not the trader."""
    from dagster._utils.warnings import BetaWarning, PreviewWarning

    with warnings.catch_warnings():
        for notice in (BetaWarning, PreviewWarning, DeprecationWarning):
            warnings.simplefilter("ignore", notice)
        yield


def run_sessions(
    settings: Settings, first: date, last: date, tables: Sequence[str] | None = None
) -> RunReport:
    """Materializes the tables (default: all of the daily job) for [first, last] as one run, checks included."""
    started = time.monotonic()
    prepare_instance(settings)
    with _quiet():
        import dagster as dg
        from dagster._core.definitions.partitions.context import partition_loading_context
        from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

        from kapman_assets.definitions import defs
        from kapman_assets.jobs import daily

        job = defs.resolve_job_def(daily.name)
        tags = {ASSET_PARTITION_RANGE_START_TAG: str(first), ASSET_PARTITION_RANGE_END_TAG: str(last)}
        # a session is complete at its close; Dagster by itself would know the partition only after midnight
        midnight = datetime.combine(last + timedelta(days=1), datetime.min.time(), calendar.NEW_YORK)
        instance = dg.DagsterInstance.get()
        try:
            with partition_loading_context(effective_dt=max(midnight, clock.now())):
                result = job.execute_in_process(
                    instance=instance,
                    partition_key=str(first) if first == last else None,
                    tags=tags if first != last else None,
                    asset_selection=[dg.AssetKey(t) for t in tables] if tables else None,
                    run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                    raise_on_error=False,
                )
            return _report(result, tables, time.monotonic() - started)
        finally:
            instance.dispose()


def _report(result: Any, tables: Sequence[str] | None, seconds: float) -> RunReport:
    from kapman_assets.jobs import DAILY_TABLES, REFERENCE_TABLES

    done: dict[str, dict[str, Any]] = {}
    for event in result.get_asset_materialization_events():
        metadata = event.materialization.metadata
        done[event.asset_key.to_user_string()] = {key: value.value for key, value in metadata.items()}
    failed = {event.step_key: _reason(event) for event in result.get_step_failure_events()}
    checks = [
        f"{e.asset_key.to_user_string()}.{e.check_name}: {_findings(e)}"
        for e in result.get_asset_check_evaluations()
        if not e.passed
    ]
    reports = []
    for table in tables or (*REFERENCE_TABLES, *DAILY_TABLES):
        state = "failed" if table in failed else "ok" if table in done else "not run"
        reports.append(TableReport(table, state, done.get(table, {})))
    if not result.success and not failed:
        failed["run"] = "the run did not start; see Dagster's log under KAPMAN_HOME/dagster"
    failures = [f"{step}: {reason}" for step, reason in failed.items()]
    return RunReport(result.run_id, result.success, seconds, reports, failures, checks)


def _findings(evaluation: Any) -> str:
    return ", ".join(f"{key} {value.value}" for key, value in evaluation.metadata.items())


def _reason(event: Any) -> str:
    """The sentence that says what went wrong: a Failure's description, else the innermost exception."""
    data = event.event_specific_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    error = data.error
    while error.cause is not None:
        error = error.cause
    return error.message.strip()
