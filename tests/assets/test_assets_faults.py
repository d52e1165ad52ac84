"""What the user is told, and what the tables hold, when the vendor, the clock or the machine does not play along."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from assets_world import World

from kapman_assets.launch import NoSuchSession, RunReport, require_completed_session
from kapman_cli.history import HISTORY_TABLES
from kapman_resources import calendar

pytestmark = pytest.mark.slow

LAST = date(2026, 6, 12)
WORLD = (LAST, 60)
BEFORE = calendar.session_offset(LAST, -1)
FIRST = calendar.session_offset(LAST, -12)


@pytest.fixture(autouse=True)
def clean(world: World) -> Iterator[None]:
    """Every test starts at the night after the last session with an empty market."""
    world.at_night_after(LAST)
    tables = "ohlcv_daily, options_chains, options_daily_summary, daily_snapshots, load_manifest, rejected_rows, job_runs"
    world.database.execute(f"TRUNCATE {tables}")
    world.database.execute("TRUNCATE recommendations CASCADE")
    yield


def faults(world: World, **plan: object) -> None:
    world.vendor.simulation.faults.set(json.dumps(plan).encode())


def states(report: RunReport) -> dict[str, str]:
    return {t.table: t.state for t in report.tables}


def count(world: World, table: str) -> int:
    return world.database.value(f"SELECT count(*) FROM {table}")


def loaded_files(world: World) -> int:
    return world.database.value("SELECT count(*) FROM load_manifest WHERE source = 'flatfile'")


NO_OPTION_FILES = {"forbidden_data_sets": ["us_options_opra"]}  # the plan does not include them


def test_a_file_that_is_not_published_yet_fails_with_one_sentence_and_stores_nothing_until_it_appears(
    world: World,
) -> None:
    faults(world, unpublished=[str(LAST)])
    report = world.run(LAST)
    assert not report.ok
    assert report.failures == [
        f"ohlcv_daily: us_stocks_sip/day_aggs_v1/2026/06/{LAST}.csv.gz is not published yet (the vendor promises it for "
        "about 11:00 New York of the next day): run the session again later"
    ]
    assert states(report)["options_chains"] == "not run"
    assert count(world, "ohlcv_daily") == count(world, "load_manifest") == 0
    assert [
        r["state"] for r in world.database.rows("SELECT state FROM job_runs WHERE stage = 'ohlcv_daily'")
    ] == ["failed"]
    faults(world)
    assert world.run(LAST).ok


def test_a_truncated_file_stores_nothing_and_names_the_file(world: World) -> None:
    faults(world, truncate={str(LAST): 500})
    report = world.run(LAST, None, "ohlcv_daily")
    assert not report.ok
    assert f"{LAST}.csv.gz is not a whole gzip file" in report.failures[0]
    assert count(world, "ohlcv_daily") == 0


def test_sessions_before_a_broken_file_stay_loaded_and_a_second_run_goes_on_from_there(world: World) -> None:
    broken = calendar.session_offset(FIRST, 6)
    faults(world, truncate={str(broken): 500})
    assert not world.run(FIRST, LAST, "ohlcv_daily").ok
    faults(world)
    report = world.run(FIRST, LAST, "ohlcv_daily")
    assert report.ok, report.failures
    assert loaded_files(world) == 13
    stored = world.database.value("SELECT count(DISTINCT time) FROM ohlcv_daily")
    assert stored == 13


def test_an_unchanged_file_is_neither_read_nor_written_again(world: World) -> None:
    assert world.run(FIRST, LAST, "ohlcv_daily").ok
    before = world.database.rows("SELECT ctid::text, xmin::text FROM ohlcv_daily ORDER BY symbol, time")
    again = world.run(FIRST, LAST, "ohlcv_daily")
    facts = next(t for t in again.tables if t.table == "ohlcv_daily").facts
    assert facts["unchanged_files"] == 13
    assert (
        world.database.rows("SELECT ctid::text, xmin::text FROM ohlcv_daily ORDER BY symbol, time") == before
    )


def test_one_symbol_without_an_answer_loses_no_other_and_the_next_run_fetches_only_that_one(
    world: World,
) -> None:
    faults(world, statuses=[{"prefix": "/v3/snapshot/options/NVDA", "status": 403, "times": 9}])
    first = world.run(LAST)
    assert first.ok, first.failures
    facts = next(t for t in first.tables if t.table == "options_chains").facts
    assert facts["symbols"] == 13
    assert facts["failed_symbols"].startswith(
        "NVDA: /v3/snapshot/options/NVDA: the plan does not include this data"
    )
    assert any("without_a_chain ['NVDA']" in line for line in first.failed_checks)
    (nvda,) = world.database.rows("SELECT * FROM daily_snapshots WHERE symbol = 'NVDA'")
    assert (nvda["data_quality"], nvda["dgpi"], nvda["average_iv"]) == ("partial", None, None)
    assert "no option chain" in nvda["events_json"]["missing_inputs"]

    faults(world)
    kept = (
        "SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM options_chains t WHERE symbol <> 'NVDA'"
    )
    others = world.database.value(kept)
    second = world.run(LAST)
    facts = next(t for t in second.tables if t.table == "options_chains").facts
    assert (facts["symbols"], facts["failed_symbols"]) == (14, "none")
    assert facts["pages"] <= 3
    assert world.database.value(kept) == others


def test_a_chain_of_a_past_session_is_refused_and_what_depends_on_it_does_not_run(world: World) -> None:
    faults(world, **NO_OPTION_FILES)
    report = world.run(BEFORE)
    assert not report.ok
    (failure,) = report.failures
    assert failure.startswith(f"options_chains: the chains of session {BEFORE} cannot be captured any more")
    assert states(report) | {"tickers": "ok", "splits": "ok"} == {
        "tickers": "ok", "splits": "ok", "ohlcv_daily": "ok", "options_chains": "failed",
        "options_daily_summary": "not run", "daily_snapshots": "not run", "recommendations": "not run",
        "outcomes": "not run", "universe_indicators": "ok",
    }  # fmt: skip
    assert count(world, "options_chains") == 0


def test_a_past_range_fills_everything_but_chains_and_says_what_its_snapshots_lack(world: World) -> None:
    faults(world, **NO_OPTION_FILES)
    report = world.run(FIRST, BEFORE, *HISTORY_TABLES)
    assert report.ok, report.failures
    assert states(report) == dict.fromkeys(HISTORY_TABLES, "ok")
    rows = world.database.rows(
        "SELECT session_of(time) AS s, data_quality, dgpi, events_json FROM daily_snapshots"
    )
    assert {r["s"] for r in rows} == set(calendar.sessions_between(FIRST, BEFORE))
    assert {r["data_quality"] for r in rows} == {"partial"}
    assert all(r["dgpi"] is None and "no option chain" in r["events_json"]["missing_inputs"] for r in rows)
    legs = count(world, "recommendation_legs")
    assert legs == count(world, "options_chains") == 0  # without a chain nothing can be entered


def test_a_chain_is_not_captured_while_the_market_trades(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults(world, **NO_OPTION_FILES)
    world.run(LAST, None, "ohlcv_daily")
    monkeypatch.setenv("KAPMAN_NOW", "2026-06-15T11:00:00-04:00")
    report = world.run(LAST, None, "options_chains")
    assert "the market trades" in report.failures[0]
    assert count(world, "options_chains") == 0


def test_data_of_two_origins_never_shares_a_database(world: World) -> None:
    assert world.run(BEFORE, None, "ohlcv_daily").ok
    world.database.execute("UPDATE load_manifest SET data_label = NULL")
    report = world.run(LAST, None, "ohlcv_daily")
    assert not report.ok
    assert "must not receive SIMULATED" in report.failures[0]
    assert world.database.value(f"SELECT count(*) FROM ohlcv_daily WHERE time = session_time('{LAST}')") == 0


def test_a_failed_blocking_check_stops_the_tables_that_would_build_on_it(world: World) -> None:
    """A row of a session that has not happened yet can only be a mistake."""
    tomorrow = date(2030, 1, 2)
    world.database.execute("SELECT ensure_partition('ohlcv_daily', %s)", (tomorrow,))
    world.database.execute(
        "INSERT INTO ohlcv_daily VALUES (session_time(%s), 'SPY', 1, 1, 1, 1, 1, NULL, 'flatfile')",
        (tomorrow,),
    )
    report = world.run(LAST)
    assert not report.ok
    assert any(
        line.startswith("ohlcv_daily.no_future_data: rows_after_last_close 1")
        for line in report.failed_checks
    )
    assert states(report)["options_chains"] == "not run"


def test_a_wrong_key_names_the_key(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.run(LAST, None, "ohlcv_daily")
    monkeypatch.setenv("POLYGON_API_KEY", "wrong")
    report = world.run(LAST, None, "options_chains")
    assert "refused POLYGON_API_KEY" in report.failures[0]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "wrong")
    report = world.run(BEFORE, None, "ohlcv_daily")
    assert "AWS_ACCESS_KEY_ID" in report.failures[0]


def test_an_unreachable_vendor_is_one_sentence_and_nothing_is_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run(BEFORE, None, "ohlcv_daily")
    stored = count(world, "ohlcv_daily")
    monkeypatch.setenv("POLYGON_S3_ENDPOINT", "http://127.0.0.1:9")
    report = world.run(LAST, None, "ohlcv_daily")
    (failure,) = report.failures
    assert "no answer from the flat files at http://127.0.0.1:9" in failure
    assert count(world, "ohlcv_daily") == stored


@pytest.mark.parametrize(
    ("day", "words"),
    [
        (
            date(2026, 6, 13),
            "2026-06-13 (Saturday) is no trading session: the nearest are 2026-06-12 and 2026-06-15",
        ),
        (date(2026, 6, 15), "session 2026-06-15 is not over yet: the newest completed one is 2026-06-12"),
        (date(1999, 6, 15), "1999-06-15 is outside the calendar (2000 to 2035)"),
    ],
)
def test_a_date_that_cannot_be_run_is_refused_with_the_nearest_one(day: date, words: str) -> None:
    with pytest.raises(NoSuchSession) as refusal:
        require_completed_session(day)
    assert str(refusal.value) == words


def partitions_are_whole(world: World) -> None:
    """Every stored session has exactly the rows that its manifest row says, and no session is without one."""
    odd = world.database.rows(
        "SELECT session_date, row_count, n FROM (SELECT * FROM load_manifest WHERE source = 'flatfile') m FULL JOIN (SELECT session_of(time) AS session_date, "
        "count(*) AS n FROM ohlcv_daily GROUP BY 1) b USING (session_date) "
        "WHERE m.row_count IS DISTINCT FROM b.n"
    )
    assert odd == []


def killed_while_loading(world: World, repository: Path, first: date, moment: float) -> int:
    """Starts a backfill as a process of its own and kills it after `moment` seconds of loading; sessions then stored."""
    command = [
        sys.executable,
        "-m",
        "kapman_cli",
        "backfill",
        "--from",
        str(first),
        "--to",
        str(LAST),
        "--only",
        "ohlcv_daily",
    ]
    process = subprocess.Popen(
        command, cwd=repository, env=os.environ | {"PYTHONPATH": str(repository)}, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    while process.poll() is None and count(world, "load_manifest") == 0:
        time.sleep(0.01)
    time.sleep(moment)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return loaded_files(world)


def kill_rounds(world: World, repository: Path, rounds: int) -> None:
    first = calendar.session_offset(LAST, -120)
    dice = random.Random(11)
    stopped_inside = 0
    for _ in range(rounds):
        world.database.execute("TRUNCATE ohlcv_daily, load_manifest, rejected_rows")
        stored = killed_while_loading(world, repository, first, dice.uniform(0.0, 1.2))
        stopped_inside += 0 < stored < 121
        partitions_are_whole(world)
        report = world.run(first, LAST, "ohlcv_daily")
        assert report.ok, report.failures
        partitions_are_whole(world)
        assert loaded_files(world) == 121
    assert stopped_inside, "no kill hit the load: the test proves nothing"
    assert world.database.value("SELECT count(*) FROM job_runs WHERE state = 'running'") == 0


def test_a_kill_in_the_middle_of_a_load_leaves_whole_sessions_and_the_next_run_completes(
    world: World, repository: Path
) -> None:
    kill_rounds(world, repository, 1)


@pytest.mark.long
def test_many_kills_at_random_moments_lose_and_double_nothing(world: World, repository: Path) -> None:
    kill_rounds(world, repository, 12)
