"""The job_runs record: one row a stage and run, written when it starts and closed when it ends, however it ends.

Rows of a process that was killed stay `running` until the next run of the same stage and sessions marks them failed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from psycopg.types.json import Jsonb

from kapman_resources.database.core import Database


@dataclass
class StageRecord:
    """What a stage reports about itself before it ends."""

    rows: int = 0
    symbols: int = 0
    rejected: int = 0
    details: dict[str, Any] = field(default_factory=dict)


@contextmanager
def stage(
    database: Database, *, run_id: str, job_name: str, stage_name: str, first: date, last: date
) -> Iterator[StageRecord]:
    """Audits the block; an exception is recorded and raised again."""
    with database.transaction() as connection:
        connection.execute(
            "UPDATE job_runs SET state = 'failed', finished_at = now(), error = 'the process ended without a word' "
            "WHERE stage = %s AND state = 'running' AND first_session = %s AND last_session = %s AND run_id <> %s",
            (stage_name, first, last, run_id),
        )
        started = connection.execute(
            "INSERT INTO job_runs (run_id, job_name, stage, first_session, last_session) "
            "VALUES (%s, %s, %s, %s, %s) RETURNING id",
            (run_id, job_name, stage_name, first, last),
        ).fetchone()
    assert started is not None
    record = StageRecord()
    try:
        yield record
    except BaseException as error:
        _finish(database, started[0], record, "failed", f"{type(error).__name__}: {error}")
        raise
    _finish(database, started[0], record, "succeeded", None)


def _finish(database: Database, row: int, record: StageRecord, state: str, error: str | None) -> None:
    database.execute(
        "UPDATE job_runs SET finished_at = now(), state = %s, row_count = %s, symbol_count = %s, rejected_count = %s, "
        "error = %s, details = %s WHERE id = %s",
        (state, record.rows, record.symbols, record.rejected, error, Jsonb(record.details), row),
    )
