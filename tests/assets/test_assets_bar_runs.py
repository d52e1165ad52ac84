"""Bars through the whole asset: what a nightly run looks at again, what it says, and what Dagster is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta

import dagster as dg
import pytest
from assets_world import World

from kapman_assets.launch import RunReport
from kapman_resources import calendar

LAST = date(2026, 6, 12)
WORLD = (LAST, 40)
SESSIONS = [calendar.session_offset(LAST, -8 + i) for i in range(9)]


@pytest.fixture(autouse=True)
def clean(world: World) -> Iterator[None]:
    world.at_night_after(LAST)
    world.database.execute("TRUNCATE ohlcv_daily, load_manifest, load_revisions, rejected_rows, job_runs")
    yield


def faults(world: World, **plan: object) -> None:
    world.vendor.simulation.faults.set(json.dumps(plan).encode())


def bars(world: World, first: date, last: date | None = None) -> RunReport:
    return world.run(first, last, "ohlcv_daily")


def facts(report: RunReport) -> dict[str, object]:
    assert report.ok, report.failures
    return next(t.facts for t in report.tables if t.table == "ohlcv_daily")


def loaded(world: World) -> list[date]:
    rows = world.database.rows("SELECT DISTINCT session_of(time) AS day FROM ohlcv_daily ORDER BY 1")
    return [row["day"] for row in rows]


def test_a_first_run_loads_its_own_session_and_no_other(world: World) -> None:
    bars(world, LAST)
    assert loaded(world) == [LAST]


def test_a_run_looks_at_the_five_sessions_before_it_again_and_says_what_a_replacement_changed(
    world: World,
) -> None:
    bars(world, SESSIONS[0], SESSIONS[-2])
    symbol = world.vendor.simulation.bars_of(SESSIONS[3])["symbol"][0]
    close = world.vendor.simulation.bars_of(SESSIONS[3])["close"][0]
    correction = [{"symbol": symbol, "volume": 7.0}]
    faults(world, replace={str(SESSIONS[3]): correction, str(SESSIONS[2]): correction})
    told = facts(bars(world, LAST))
    assert str(told["replaced_sessions"]).startswith(f"{SESSIONS[3]}: 1 rows changed, 0 added, 0 removed")
    assert str(SESSIONS[2]) not in str(told["replaced_sessions"])  # six sessions back
    query = "SELECT volume, close FROM ohlcv_daily WHERE symbol = %s AND time = session_time(%s)"
    (row,) = world.database.rows(query, (symbol, SESSIONS[3]))
    assert (row["volume"], row["close"]) == (7.0, close)
    assert told["unchanged_files"] == 4


def test_dagster_sees_the_partition_that_was_replaced_on_the_way(world: World) -> None:
    bars(world, SESSIONS[0], SESSIONS[-2])
    symbol = world.vendor.simulation.bars_of(SESSIONS[5])["symbol"][0]
    faults(world, replace={str(SESSIONS[5]): [{"symbol": symbol, "volume": 7.0}]})
    run_id = bars(world, LAST).run_id
    with dg.DagsterInstance.get() as instance:
        events = instance.get_records_for_run(
            run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
        ).records
    assert {record.event_log_entry.dagster_event.partition for record in events} == {
        str(SESSIONS[5]),
        str(LAST),
    }


def test_a_session_that_was_missed_is_made_up_by_the_next_run(world: World) -> None:
    bars(world, SESSIONS[0], SESSIONS[4])
    faults(world, unpublished=[str(SESSIONS[6])], grouped_unavailable=[str(SESSIONS[6])])
    assert bars(world, SESSIONS[5]).ok and bars(world, SESSIONS[7]).ok
    assert loaded(world) == [*SESSIONS[:6], SESSIONS[7]]
    faults(world)
    facts(bars(world, LAST))
    assert loaded(world) == SESSIONS


def test_a_late_file_fails_the_run_before_the_deadline_and_is_stood_in_for_after_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults(world, unpublished=[str(LAST)])
    day_after = LAST + timedelta(days=1)
    for hour, minute, ok in ((4, 0, False), (11, 29, False), (11, 30, True)):
        now = datetime(day_after.year, day_after.month, day_after.day, hour, minute, tzinfo=calendar.NEW_YORK)
        monkeypatch.setenv("KAPMAN_NOW", now.isoformat())
        assert bars(world, LAST).ok is ok
    assert facts(bars(world, LAST))["source"] == "day file"  # nothing new was written
    rows = world.database.rows("SELECT DISTINCT source FROM ohlcv_daily")
    assert [row["source"] for row in rows] == ["grouped"]
    faults(world)
    facts(bars(world, LAST))
    rows = world.database.rows("SELECT DISTINCT source FROM ohlcv_daily")
    assert [row["source"] for row in rows] == ["flatfile"]


def test_the_deadline_is_the_configured_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAR_FILE_DEADLINE", "04:00")
    faults(world, unpublished=[str(LAST)])
    told = facts(bars(world, LAST))
    assert told["source"] == "grouped daily" and "overdue" in str(told["notes"])


def test_in_a_range_the_sessions_that_can_be_had_are_loaded_and_the_others_named(world: World) -> None:
    faults(world, forbidden=[str(SESSIONS[2])], truncate={str(SESSIONS[5]): 300})
    report = bars(world, SESSIONS[0], LAST)
    (failure,) = report.failures
    assert f"2 of 9 sessions have no bars, the first is {SESSIONS[2]}" in failure and "the plan" in failure
    assert loaded(world) == [s for s in SESSIONS if s not in (SESSIONS[2], SESSIONS[5])]
    (run,) = world.database.rows("SELECT state, row_count, error FROM job_runs WHERE stage = 'ohlcv_daily'")
    assert run["state"] == "failed" and run["row_count"] > 0 and str(SESSIONS[2]) in run["error"]


def test_a_file_with_far_too_few_rows_fails_its_check_and_is_stored_as_it_is(world: World) -> None:
    bars(world, SESSIONS[0], SESSIONS[-2])
    names = world.vendor.simulation.bars_of(LAST)["symbol"].to_list()
    faults(
        world, replace={str(LAST): [{"symbol": name, "removed": True} for name in names[: len(names) // 4]]}
    )
    report = bars(world, LAST)
    assert any(
        line.startswith("ohlcv_daily.row_count") and "against a median" in line
        for line in report.failed_checks
    )
    assert LAST in loaded(world)
