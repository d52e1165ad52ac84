"""The graph as Dagster sees it: its tables, their order, their policies, its schedule, and how light it loads."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest

from kapman_assets.checks import trailing_shortfall
from kapman_assets.definitions import build_definitions, defs
from kapman_assets.jobs import DAILY_TABLES, REFERENCE_TABLES
from kapman_assets.partitions import LOOKBACK_40, LOOKBACK_252, TRADING_SESSIONS
from kapman_resources import calendar

GRAPH = defs.resolve_asset_graph()


def test_there_is_one_asset_per_table_and_the_arrows_run_from_bars_to_outcomes() -> None:
    parents = {
        key.to_user_string(): sorted(p.to_user_string() for p in GRAPH.get(key).parent_keys)
        for key in GRAPH.get_all_asset_keys()
    }
    assert parents == {
        "tickers": [],
        "splits": [],
        "ohlcv_daily": [],
        "options_chains": ["ohlcv_daily"],
        "options_daily_summary": ["options_chains"],
        "daily_snapshots": ["ohlcv_daily", "options_chains", "options_daily_summary", "splits"],
        "recommendations": ["daily_snapshots", "options_chains"],
        "outcomes": ["ohlcv_daily", "options_chains", "recommendations"],
        "universe_indicators": ["ohlcv_daily", "splits"],
    }


def test_tables_with_sessions_share_one_backfill_policy_and_one_partitioning_so_a_range_is_one_run() -> None:
    nodes = [GRAPH.get(dg.AssetKey(table)) for table in DAILY_TABLES]
    assert {node.backfill_policy for node in nodes} == {dg.BackfillPolicy.single_run()}
    assert all(node.partitions_def == TRADING_SESSIONS for node in nodes)


@pytest.mark.parametrize("table", [*DAILY_TABLES, *REFERENCE_TABLES])
def test_every_table_is_guarded_by_the_four_checks_and_tells_a_newcomer_what_it_is(table: str) -> None:
    key = dg.AssetKey(table)
    names = {check.name for check in GRAPH.get_check_keys_for_assets({key})}
    assert names >= {"schema", "row_count", "one_row_per_key", "no_future_data"}
    node = GRAPH.get(key)
    assert len(node.description or "") > 100
    assert node.owners == ["team:kapman"]


def test_the_job_runs_all_tables_in_one_process() -> None:
    job = defs.resolve_job_def("daily")
    assert {key.to_user_string() for key in job.asset_layer.executable_asset_keys} == {
        *DAILY_TABLES,
        *REFERENCE_TABLES,
    }
    assert job.executor_def.name == "in_process"


def test_the_whole_market_waits_for_the_watchlist_and_nothing_waits_for_it() -> None:
    job = defs.resolve_job_def("daily")
    priority = {node.name: int(node.tags.get("dagster/priority", 0)) for node in job.nodes}
    assert priority["universe_indicators"] < min(priority[table] for table in DAILY_TABLES[:-1])
    assert not GRAPH.get(dg.AssetKey("universe_indicators")).child_keys


def test_partitions_are_the_exchange_sessions_and_nothing_else() -> None:
    keys = TRADING_SESSIONS.get_partition_keys(datetime(2026, 11, 22, tzinfo=UTC))
    expected = calendar.sessions_between(date(2015, 1, 2), date(2026, 11, 20))
    assert keys == [day.isoformat() for day in expected]


def test_look_backs_count_sessions_over_weekends_holidays_and_clock_changes() -> None:
    for mapping, sessions in ((LOOKBACK_252, 252), (LOOKBACK_40, 40)):
        session = date(2026, 9, 10)  # Labor Day and the summer's weekends lie before it
        found = mapping.get_upstream_mapped_partitions_result_for_partitions(
            TRADING_SESSIONS.subset_with_partition_keys([session.isoformat()]),
            TRADING_SESSIONS,
            TRADING_SESSIONS,
            datetime(2026, 11, 22, tzinfo=UTC),
        ).partitions_subset
        keys = sorted(found.get_partition_keys())
        assert len(keys) == sessions + 1
        assert keys[0] == calendar.session_offset(session, -sessions).isoformat()


def _tick(at: str) -> dg.RunRequest | dg.SkipReason:
    schedule = next(iter(build_definitions().schedules or []))
    assert isinstance(schedule, dg.ScheduleDefinition)
    instant = datetime.fromisoformat(at).replace(tzinfo=calendar.NEW_YORK)
    with dg.build_schedule_context(scheduled_execution_time=instant) as context:
        result = schedule(context)
    assert isinstance(result, dg.RunRequest | dg.SkipReason)
    return result


@pytest.mark.parametrize(
    ("tick", "session"),
    [
        ("2026-11-21T04:00", "2026-11-20"),  # Saturday: Friday's session
        ("2026-11-24T04:00", "2026-11-23"),
        ("2026-03-10T04:00", "2026-03-09"),  # first night after the clocks went forward
        ("2026-11-03T04:00", "2026-11-02"),  # first night after they went back
        ("2026-11-28T04:00", "2026-11-27"),  # the half day after Thanksgiving
    ],
)
def test_the_night_after_a_session_requests_its_run(tick: str, session: str) -> None:
    result = _tick(tick)
    assert isinstance(result, dg.RunRequest)
    assert (result.partition_key, result.run_key) == (session, session)


@pytest.mark.parametrize(
    "tick", ["2026-11-22T04:00", "2026-11-23T04:00", "2026-11-27T04:00", "2026-12-26T04:00"]
)
def test_a_night_without_a_new_session_is_skipped(tick: str) -> None:
    result = _tick(tick)
    assert isinstance(result, dg.SkipReason)
    assert "no session has closed" in str(result.skip_message)


def test_the_schedule_follows_the_configured_hour_and_is_on_by_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DAILY_JOB_HOUR", "5")
    monkeypatch.setenv("DAILY_JOB_MINUTE", "30")
    schedule = next(iter(build_definitions().schedules or []))
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert schedule.cron_schedule == "30 5 * * *"
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING


def test_loading_the_definitions_imports_no_heavy_library_and_needs_no_configuration(
    repository: Path,
) -> None:
    probe = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise AssertionError('definitions opened a connection')\n"
        "socket.socket.connect = refuse\n"
        "import kapman_assets.definitions\n"
        "print([m for m in ('pandas', 'pandera', 'boto3', 'anthropic', 'openai') if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe],
        env={"PYTHONPATH": str(repository), "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
        cwd=repository,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "[]", done.stderr[-1500:]


def test_a_file_far_below_the_trailing_median_is_a_shortfall_and_a_normal_one_is_not() -> None:
    assert (
        trailing_shortfall([100] * 20 + [84]) == "84 rows against a median of 100 in the 20 sessions before"
    )
    assert trailing_shortfall([100] * 20 + [85]) is None
    assert trailing_shortfall([0]) == "no rows"
    assert trailing_shortfall([12]) is None


def test_asset_bodies_stay_short(repository: Path) -> None:
    import ast

    for table in (*DAILY_TABLES, *REFERENCE_TABLES):
        tree = ast.parse((repository / "kapman_assets" / f"{table}.py").read_text())
        body = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == table)
        code = [n for n in body.body if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))]
        lines = (code[-1].end_lineno or 0) - code[0].lineno + 1
        assert lines <= 30, f"{table} has {lines} lines"
