"""The record of runs is closed however a stage ends; an alert is recorded once."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from kapman_resources.database import Database
from kapman_resources.database.audit import stage
from kapman_resources.notify import Notification, TableNotifier

SESSION = date(2026, 5, 5)


def run(run_id: str, stage_name: str = "ohlcv_daily", session: date = SESSION) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "job_name": "daily",
        "stage_name": stage_name,
        "first": session,
        "last": session,
    }


def records(database: Database) -> list[dict[str, Any]]:
    return database.rows("SELECT * FROM job_runs ORDER BY id")


def test_a_stage_that_ends_well_leaves_its_numbers(database: Database) -> None:
    with stage(database, **run("r1")) as record:
        (running,) = records(database)
        assert (running["state"], running["finished_at"]) == ("running", None)
        record.rows, record.symbols, record.rejected = 12_000, 11_990, 3
        record.details["source"] = "flatfile"
    (row,) = records(database)
    assert row["state"] == "succeeded" and row["error"] is None
    assert (row["row_count"], row["symbol_count"], row["rejected_count"]) == (12_000, 11_990, 3)
    assert row["details"] == {"source": "flatfile"}
    assert (row["run_id"], row["job_name"], row["stage"]) == ("r1", "daily", "ohlcv_daily")
    assert (row["first_session"], row["last_session"]) == (SESSION, SESSION)
    assert row["finished_at"] >= row["started_at"]


@pytest.mark.parametrize("error", [ValueError("no such file"), KeyboardInterrupt()])
def test_a_stage_that_fails_says_why_and_raises_on(database: Database, error: BaseException) -> None:
    with pytest.raises(type(error)), stage(database, **run("r1")) as record:
        record.rows = 7
        raise error
    (row,) = records(database)
    assert row["state"] == "failed" and row["finished_at"] is not None
    assert row["error"].startswith(type(error).__name__) and str(error) in row["error"]
    assert row["row_count"] == 7


def test_the_record_of_a_killed_run_is_closed_by_the_next_run_of_the_same_stage_and_session(
    database: Database,
) -> None:
    killed = stage(database, **run("killed"))
    killed.__enter__()
    other = stage(database, **run("other-session", session=date(2026, 5, 4)))
    other.__enter__()
    elsewhere = stage(database, **run("other-stage", stage_name="outcomes"))
    elsewhere.__enter__()
    with stage(database, **run("next")):
        states = {row["run_id"]: row["state"] for row in records(database)}
    assert states == {
        "killed": "failed",
        "other-session": "running",
        "other-stage": "running",
        "next": "running",
    }
    dead = records(database)[0]
    assert dead["error"] == "the process ended without a word" and dead["finished_at"] is not None
    assert records(database)[-1]["state"] == "succeeded"


def alert(key: str, **more: Any) -> Notification:
    given: dict[str, Any] = {
        "kind": "BC_CRITICAL", "severity": "CRITICAL", "symbol": "NVDA", "session_date": SESSION,
        "subject": "close all positions", "body": "bc_score 25 of 28",
    }  # fmt: skip
    return Notification(dedupe_key=key, **(given | more))


def test_an_occasion_is_recorded_once_however_often_it_is_reported(database: Database) -> None:
    notifier = TableNotifier()
    with database.transaction() as connection:
        assert notifier.record(connection, [alert("a"), alert("b"), alert("a", body="changed")]) == 2
    with database.transaction() as connection:
        assert notifier.record(connection, [alert("b"), alert("c", symbol=None, session_date=None)]) == 1
        assert notifier.record(connection, []) == 0
    rows = database.rows("SELECT dedupe_key, body, state FROM notifications ORDER BY 1")
    assert [row["dedupe_key"] for row in rows] == ["a", "b", "c"]
    assert rows[0]["body"] == "bc_score 25 of 28" and rows[0]["state"] == "pending"


def test_an_alert_lives_and_dies_with_the_transaction_it_reports(database: Database) -> None:
    with pytest.raises(RuntimeError), database.transaction() as connection:
        TableNotifier().record(connection, [alert("a")])
        raise RuntimeError("the rows it speaks of were not stored")
    assert database.value("SELECT count(*) FROM notifications") == 0
