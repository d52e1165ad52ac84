"""What every table's asset shares: its sessions, its audit row, the metadata it reports, how a failure is worded."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import dagster as dg

from kapman_assets.partitions import session_of_key
from kapman_resources.clock import SessionClock
from kapman_resources.database.audit import StageRecord, stage
from kapman_resources.database.core import Database
from kapman_resources.market_data.protocol import VendorError


class MixedDataError(RuntimeError):
    """Simulated or recorded data and the vendor's must not share a database."""


@dataclass
class Stage:
    """One execution of one asset over its sessions."""

    sessions: list[date]
    record: StageRecord
    database: Database
    started: float = field(default_factory=time.monotonic)

    def result(self, *, source: str, **extra: Any) -> dg.MaterializeResult:
        """What the materialization reports. In a range run the numbers are the whole run's."""
        facts: dict[str, Any] = {
            "rows": self.record.rows,
            "symbols": self.record.symbols,
            "rejected_rows": self.record.rejected,
            "seconds": round(time.monotonic() - self.started, 3),
            "source": source,
            "sessions": len(self.sessions),
        } | extra
        if label := data_label(self.database):
            facts["data"] = label
        self.record.details.update({k: v for k, v in extra.items() if isinstance(v, str | int | float)})
        return dg.MaterializeResult(metadata=facts)


@contextmanager
def open_stage(context: dg.AssetExecutionContext, database: Database) -> Iterator[Stage]:
    """Audits the body of a partitioned table's asset in job_runs, over the run's sessions."""
    with _audited(context, database, [session_of_key(key) for key in context.partition_keys]) as opened:
        yield opened


@contextmanager
def open_reference_stage(
    context: dg.AssetExecutionContext, database: Database, clock: SessionClock
) -> Iterator[Stage]:
    """The same for a table without sessions: it is as of the last completed one."""
    with _audited(context, database, [clock.last_completed_session()]) as opened:
        yield opened


@contextmanager
def _audited(context: dg.AssetExecutionContext, database: Database, sessions: list[date]) -> Iterator[Stage]:
    name = context.asset_key.to_user_string()
    with stage(
        database,
        run_id=context.run_id,
        job_name=context.job_name,
        stage_name=name,
        first=sessions[0],
        last=sessions[-1],
    ) as record:
        try:
            yield Stage(sessions, record, database)
        except (VendorError, MixedDataError) as error:
            # one clear line; the client has retried what a retry can cure
            raise dg.Failure(description=str(error), allow_retries=False) from error


def in_short(lines: Sequence[str], shown: int = 10) -> str:
    """The first lines, and how many more there are: an outage repeats itself for every session of a range."""
    more = [f"and {len(lines) - shown} more"] if len(lines) > shown else []
    return "; ".join([*lines[:shown], *more]) or "none"


def data_label(database: Database) -> str | None:
    """SIMULATED or RECORDED when the stored data says so of itself, None for the vendor's."""
    return database.value("SELECT max(data_label) FROM load_manifest")


def refuse_mixed_data(database: Database, label: str | None) -> None:
    """Raises MixedDataError when the database already holds data of another origin than `label`.

    None is the vendor's own.
    """
    found = database.rows("SELECT DISTINCT data_label FROM load_manifest")
    others = [row["data_label"] for row in found if row["data_label"] != label]
    if others:
        raise MixedDataError(
            f"this database holds {others[0] or 'the vendor’s'} data and must not receive {label or 'the vendor’s'}: "
            "use another KAPMAN_HOME (or DATABASE_URL)"
        )
