"""Sessions through all six tables: what is stored, that a re-run changes nothing, that a range equals single runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date

import pytest
from assets_world import World

from kapman_resources import calendar

pytestmark = pytest.mark.slow

LAST = date(2026, 6, 12)
WORLD = (LAST, 60)
HISTORY, NIGHTS = 300, 4
SESSIONS = [calendar.session_offset(LAST, -i) for i in reversed(range(NIGHTS))]


@pytest.fixture(scope="module", autouse=True)
def reports(shared_world: World) -> dict[date, object]:
    """History up to the first night, then the nights one by one, as the schedule would run them."""
    first = calendar.session_offset(SESSIONS[0], -HISTORY)
    shared_world.at_night_after(calendar.session_offset(SESSIONS[0], -1))
    loaded = shared_world.run(
        first, calendar.session_offset(SESSIONS[0], -1), "tickers", "splits", "ohlcv_daily"
    )
    assert loaded.ok, loaded.failures
    found = {}
    for session in SESSIONS:
        shared_world.at_night_after(session)
        found[session] = shared_world.run(session)
        assert found[session].ok, found[session].failures
    return found


@pytest.fixture
def rows(world: World) -> Callable[[str], list[dict]]:
    return world.database.rows


def test_every_materialization_reports_rows_symbols_rejected_rows_seconds_and_source(reports: dict) -> None:
    for report in reports.values():
        for table in report.tables:
            assert table.state == "ok"
            assert {"rows", "symbols", "rejected_rows", "seconds", "source"} <= set(table.facts)


def test_everything_that_comes_from_the_simulator_says_so(world: World, reports: dict) -> None:
    assert {t.facts["data"] for report in reports.values() for t in report.tables} == {"SIMULATED"}
    subjects = world.database.rows("SELECT subject FROM notifications")
    assert all(r["subject"].startswith("SIMULATED: ") for r in subjects)


def test_bars_are_those_of_the_vendor_and_rejected_rows_are_kept_with_their_reason(
    world: World, rows: Callable[[str], list[dict]]
) -> None:
    served = world.vendor.simulation.bars_of(LAST)
    stored = rows(f"SELECT * FROM ohlcv_daily WHERE time = session_time('{LAST}')")
    refused = rows(
        f"SELECT symbol, reason FROM rejected_rows WHERE dataset = 'ohlcv_daily' AND session_date = '{LAST}'"
    )
    assert len(stored) + len(refused) == served.height
    assert {r["reason"] for r in refused} <= {"exchange test symbol"}
    by_symbol = {r["symbol"]: r for r in stored}
    for bar in served.filter(~served["symbol"].is_in([r["symbol"] for r in refused])).iter_rows(named=True):
        kept = by_symbol[bar["symbol"]]
        assert (kept["open"], kept["high"], kept["low"], kept["close"]) == (
            bar["open"], bar["high"], bar["low"], bar["close"],
        )  # fmt: skip
        assert kept["vwap"] == pytest.approx(bar["vwap"], abs=1e-4)


def test_chains_belong_to_the_session_and_remember_when_they_were_captured(
    rows: Callable[[str], list[dict]],
) -> None:
    manifest = rows(
        f"SELECT * FROM load_manifest WHERE dataset = 'options_chains' AND session_date = '{LAST}'"
    )
    assert len(manifest) == 14
    assert {m["oi_session"] for m in manifest} == {calendar.session_offset(LAST, -1)}
    assert {calendar.capture_session(m["captured_at"]) for m in manifest} == {LAST}
    assert {m["data_label"] for m in manifest} == {"SIMULATED"}
    stored = rows("SELECT session_of(time) s, count(*) n FROM options_chains GROUP BY 1 ORDER BY 1")
    assert [r["s"] for r in stored] == SESSIONS
    assert all(r["n"] > 1000 for r in stored)


def test_snapshots_hold_numbers_for_every_watchlist_symbol_and_all_84_indicators(
    rows: Callable[[str], list[dict]],
) -> None:
    found = rows(f"SELECT * FROM daily_snapshots WHERE time = session_time('{LAST}')")
    assert len(found) == 14
    complete = [r for r in found if r["data_quality"] == "complete"]
    assert len(complete) >= 12
    for row in complete:
        assert len(row["technical_indicators_json"]) == 84
        for column in (
            "rsi_14",
            "sma_200",
            "average_iv",
            "put_call_ratio_oi",
            "rvol",
            "hv_20",
            "wyckoff_phase",
            "bc_score",
        ):
            assert row[column] is not None, (row["symbol"], column)
        assert row["dealer_metrics_json"]["sign_convention"] == "calls +, puts -"
        assert row["events_json"]["missing_inputs"] == []
        assert row["events_json"]["signal_type"]
        assert float(row["iv_hv_diff"]) == pytest.approx(float(row["average_iv"]) - float(row["hv_20"]))


def test_every_leg_of_every_recommendation_is_a_contract_of_that_session(
    rows: Callable[[str], list[dict]],
) -> None:
    advice = rows("SELECT * FROM recommendations")
    assert {r["recommendation_date"] for r in advice} <= set(SESSIONS)
    legs = rows("SELECT * FROM recommendation_legs")
    assert legs, "four sessions of a lively market without one trade would test nothing"
    for leg in legs:
        chain = rows(
            "SELECT 1 FROM options_chains WHERE time = session_time('{recommendation_date}') AND symbol = '{symbol}' "
            "AND contract = '{contract}' AND strike = {strike} AND expiration = '{expiration}'".format(**leg)
        )
        assert len(chain) == 1, leg
    entered = {r["id"] for r in advice if r["action"] == "ENTER"}
    assert {leg["recommendation_id"] for leg in legs} == entered
    assert all(r["justification"] and r["rule_trace"] for r in advice)


def test_running_a_session_again_changes_no_row(world: World) -> None:
    before = world.checksums()
    for session in (LAST, SESSIONS[0]):
        report = world.run(session)
        assert report.ok, report.failures
        assert world.checksums() == before


def test_a_range_run_gives_the_rows_of_the_single_runs(world: World) -> None:
    before = world.checksums()
    derived = ("options_daily_summary", "daily_snapshots", "recommendations", "outcomes")
    report = world.run(SESSIONS[0], SESSIONS[-1], *derived)
    assert report.ok, report.failures
    assert world.checksums() == before


def test_what_came_after_a_session_does_not_change_its_recomputation(world: World) -> None:
    """The last two sessions are wiped out; the second one recomputed without them is the same to the byte."""
    digest = f"SELECT md5(string_agg(t::text, '|' ORDER BY symbol)) FROM daily_snapshots t WHERE time = session_time('{SESSIONS[1]}')"
    with_future = world.database.value(digest)
    with world.database.transaction() as connection:
        connection.execute(
            "CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT * FROM ohlcv_daily WHERE time > session_time(%s)",
            (SESSIONS[1],),
        )
        connection.execute("CREATE TABLE later_bars AS SELECT * FROM kept")
        connection.execute("DELETE FROM ohlcv_daily WHERE time > session_time(%s)", (SESSIONS[1],))
    try:
        report = world.run(SESSIONS[1], None, "daily_snapshots")
        assert report.ok, report.failures
        assert world.database.value(digest) == with_future
    finally:
        world.database.execute("INSERT INTO ohlcv_daily SELECT * FROM later_bars")
        world.database.execute("DROP TABLE later_bars")


def test_a_symbol_that_left_the_watchlist_keeps_its_rows_when_its_session_is_run_again(world: World) -> None:
    before = world.checksums()
    world.database.execute(
        "DELETE FROM portfolio_tickers USING tickers t WHERE t.id = ticker_id AND t.symbol = 'NVDA'"
    )
    report = world.run(LAST)
    world.database.execute(
        "INSERT INTO portfolio_tickers (portfolio_id, ticker_id, priority) SELECT 1, id, 'P1' FROM tickers WHERE symbol = 'NVDA'"
    )
    assert report.ok, report.failures
    assert world.checksums() == before


def test_every_stage_of_every_run_is_audited(rows: Callable[[str], list[dict]]) -> None:
    runs = rows(
        f"SELECT stage, state, row_count FROM job_runs WHERE last_session = '{LAST}' AND first_session = last_session"
    )
    assert {r["stage"] for r in runs} == {
        "tickers", "splits", "ohlcv_daily", "options_chains", "options_daily_summary", "daily_snapshots",
        "recommendations", "outcomes", "universe_indicators",
    }  # fmt: skip
    assert {r["state"] for r in runs} == {"succeeded"}


def test_the_newest_snapshots_alerts_and_signals_agree_in_views_and_documents(
    rows: Callable[[str], list[dict]],
) -> None:
    latest = rows("SELECT symbol, events_json FROM v_latest_snapshots")
    assert len(latest) == 14
    exits = {r["symbol"] for r in latest if r["events_json"]["signal_type"].startswith("EXIT")}
    assert {r["symbol"] for r in rows("SELECT symbol FROM v_exit_signals")} == exits
    entries = {r["symbol"] for r in latest if r["events_json"]["signal_type"].startswith("ENTRY")}
    assert {r["symbol"] for r in rows("SELECT symbol FROM v_entry_signals")} == entries


def test_a_critical_or_high_signal_is_in_the_outbox_once_however_often_the_session_ran(world: World) -> None:
    due = {
        (r["symbol"], r["session"])
        for r in world.database.rows(
            "SELECT symbol, session_of(time) AS session, events_json FROM daily_snapshots "
            "WHERE events_json ->> 'alert_priority' IN ('CRITICAL', 'HIGH')"
        )
    }
    sent = world.database.rows("SELECT symbol, session_date, count(*) AS n FROM notifications GROUP BY 1, 2")
    assert {(r["symbol"], r["session_date"]) for r in sent} == due
    assert all(r["n"] == 1 for r in sent)


def test_dagster_knows_the_materializations_and_checks_of_the_run(world: World, reports: dict) -> None:
    import dagster as dg

    from kapman_assets.launch import prepare_instance

    prepare_instance(world.settings)
    with dg.DagsterInstance.get() as instance:
        done = instance.get_materialized_partitions(dg.AssetKey("daily_snapshots"))
        assert done >= {str(session) for session in SESSIONS}
        run = instance.get_run_by_id(reports[LAST].run_id)
        assert run is not None and run.is_success


def test_json_documents_hold_no_number_that_json_cannot_hold(rows: Callable[[str], list[dict]]) -> None:
    for row in rows("SELECT * FROM daily_snapshots"):
        for column, value in row.items():
            if column.endswith("_json") and value is not None:
                json.dumps(value, allow_nan=False)
