"""The clockwork: late bars are asked for until they are there, and partitions come and go once a day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import dagster as dg
import pytest

from kapman_assets.definitions import build_definitions
from kapman_assets.maintenance import retention
from kapman_resources import calendar
from kapman_resources.clock import SessionClock
from kapman_resources.database import Database
from kapman_resources.database.queries import query

SESSION = date(2026, 11, 20)  # a Friday


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as opened:
        yield opened


def schedule(name: str) -> dg.ScheduleDefinition:
    for found in build_definitions().schedules or []:
        if isinstance(found, dg.ScheduleDefinition) and found.name == name:
            return found
    raise AssertionError(f"no schedule {name}")


def late_tick(database: Database, at: str, instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    instant = datetime.fromisoformat(at).replace(tzinfo=calendar.NEW_YORK)
    with dg.build_schedule_context(
        instance=instance,
        scheduled_execution_time=instant,
        resources={"database": database},
    ) as context:
        result = schedule("daily_when_bars_are_late")(context)
    assert isinstance(result, dg.RunRequest | dg.SkipReason)
    return result


def test_the_late_ticks_reach_from_the_nightly_run_past_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    late = schedule("daily_when_bars_are_late")
    assert late.cron_schedule == "0,30 4-12 * * *"
    assert late.default_status == dg.DefaultScheduleStatus.RUNNING
    monkeypatch.setenv("DAILY_JOB_MINUTE", "45")
    monkeypatch.setenv("BAR_FILE_DEADLINE", "13:30")
    assert schedule("daily_when_bars_are_late").cron_schedule == "15,45 4-14 * * *"


def test_a_session_without_bars_is_run_again_with_a_key_of_its_own_each_time(
    database: Database, instance: dg.DagsterInstance
) -> None:
    first, second = (late_tick(database, f"2026-11-21T{at}", instance) for at in ("04:30", "05:00"))
    assert isinstance(first, dg.RunRequest) and isinstance(second, dg.RunRequest)
    assert first.partition_key == second.partition_key == str(SESSION)
    assert first.run_key != second.run_key


def test_the_nightly_run_itself_is_not_doubled(database: Database, instance: dg.DagsterInstance) -> None:
    assert isinstance(late_tick(database, "2026-11-21T04:00", instance), dg.SkipReason)


def test_once_the_bars_are_there_nothing_is_asked(database: Database, instance: dg.DagsterInstance) -> None:
    database.execute(
        "INSERT INTO load_manifest (dataset, session_date, source, row_count) VALUES ('ohlcv_daily', %s, 'grouped', 1)",
        (SESSION,),
    )
    skipped = late_tick(database, "2026-11-21T04:30", instance)
    assert isinstance(skipped, dg.SkipReason) and "are there" in str(skipped.skip_message)


def test_a_run_under_way_is_not_doubled(database: Database, instance: dg.DagsterInstance) -> None:
    job = build_definitions().resolve_job_def("daily")
    instance.create_run_for_job(
        job, tags={"dagster/partition": str(SESSION)}, status=dg.DagsterRunStatus.STARTED
    )
    skipped = late_tick(database, "2026-11-21T04:30", instance)
    assert isinstance(skipped, dg.SkipReason) and "under way" in str(skipped.skip_message)


def test_a_file_is_overdue_from_half_past_eleven_new_york_of_the_next_calendar_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SessionClock()
    for now, overdue in (("2026-11-21T11:29:59-05:00", False), ("2026-11-21T11:30:00-05:00", True)):
        monkeypatch.setenv("KAPMAN_NOW", now)
        assert clock.bars_overdue(SESSION) is overdue


def test_retention_runs_by_itself_before_the_night_and_makes_partitions_ahead(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    daily = schedule("retention_before_the_night")
    assert (daily.cron_schedule, daily.default_status) == ("0 2 * * *", dg.DefaultScheduleStatus.RUNNING)
    monkeypatch.setenv("KAPMAN_NOW", "2026-11-21T02:00:00-05:00")
    database.execute("SELECT ensure_partition('options_chains', '2026-05-04')")
    done = retention.execute_in_process(resources={"database": database, "clock": SessionClock()})
    assert done.success
    left = database.rows(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'options_chains'::regclass ORDER BY 1"
    )
    assert [row["name"] for row in left] == ["options_chains_2026_11", "options_chains_2026_12"]


def test_only_a_table_whose_every_part_has_the_unique_key_passes_that_check(database: Database) -> None:
    database.execute("CREATE TABLE loose (symbol text, time timestamptz)")
    database.execute("CREATE TABLE tight (symbol text, time timestamptz, UNIQUE (time, symbol))")
    database.execute("CREATE TABLE partial (symbol text, time timestamptz)")
    database.execute("CREATE UNIQUE INDEX ON partial (symbol, time) WHERE symbol > 'M'")
    database.execute("SELECT ensure_partition('ohlcv_daily', '2026-05-04')")
    for table, without in (
        ("loose", ["loose"]),
        ("tight", []),
        ("partial", ["partial"]),
        ("ohlcv_daily", []),
    ):
        named = {"table": table, "key": ["symbol", "time"]}
        assert [row["name"] for row in database.rows(query("tables_without_key"), named)] == without
    database.execute("CREATE TABLE split (symbol text, time timestamptz) PARTITION BY RANGE (time)")
    database.execute("CREATE TABLE part PARTITION OF split FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')")
    database.execute("CREATE UNIQUE INDEX ON ONLY split (symbol, time)")
    named = {"table": "split", "key": ["symbol", "time"]}
    assert "part" in [row["name"] for row in database.rows(query("tables_without_key"), named)]
