"""Chains of past sessions from the option day files, run by run, through the asset."""

from __future__ import annotations

import json
from datetime import date, timedelta

import pytest
from chains_world import BEFORE, NIGHT, SESSION, SWITCHED_OFF, ChainsWorld, contract, listed, traded

from kapman_assets.chain_loading import RETENTION
from kapman_assets.daily_snapshots import compute
from kapman_cli.history import HISTORY_TABLES
from kapman_metrics.option_history import KNOWN_SCHEMA
from kapman_resources import calendar
from kapman_resources.database.queries import query
from kapman_resources.market_data.protocol import (
    NotEntitled,
    NotYetPublished,
    VendorAnswerError,
    VendorUnreachable,
)
from kapman_resources.metrics import LocalMetrics

TOLD = {"implied_volatility": 0.3, "delta": 0.5, "gamma": 0.02, "theta": -0.05, "vega": 0.11}
NO_PLAN = NotEntitled("us_options_opra/day_aggs_v1: the plan does not include option day files")


def day_of(chains: ChainsWorld, session: date, **closes: float) -> None:
    """The session's bars, and an option day file with one call of each symbol."""
    chains.close_at(session, **dict.fromkeys(closes, 100.0))
    chains.vendor.files[session] = [traded(contract(symbol), close) for symbol, close in closes.items()]


def sources(chains: ChainsWorld, session: date) -> dict[str, str]:
    return {symbol: row["source"] for symbol, row in chains.manifest(session).items()}


def test_a_session_that_no_snapshot_was_taken_of_is_loaded_from_its_option_day_file(
    chains: ChainsWorld,
) -> None:
    chains.vendor.files[BEFORE] = [
        traded(contract("AAA")), traded(contract("AAA", 110.0), 1.5), traded(contract("XYZ")),
    ]  # fmt: skip
    run = chains.run(BEFORE)
    assert run.failure is None
    assert chains.vendor.asked_chains == []
    stored = chains.chain(BEFORE)
    assert set(stored) == {contract("AAA"), contract("AAA", 110.0)}
    for row in stored.values():
        assert (row["greeks_source"], row["open_interest"], row["volume"]) == ("computed", None, 10.0)
        assert row["implied_volatility"] > 0 and 0 < row["delta"] < 1
    loads = chains.manifest(BEFORE)
    assert {s: (m["source"], m["row_count"], m["oi_session"]) for s, m in loads.items()} == {
        "AAA": ("option day file", 2, None),
        "BBB": ("option day file", 0, None),
    }
    assert all(m["etag"] and m["checksum"] and m["captured_at"] is None for m in loads.values())
    assert run.facts["source"] == "option day file"
    assert run.failed_checks == ["options_chains_cover_the_watchlist: without_a_chain ['BBB']"]


def test_the_second_run_of_a_past_session_reads_and_writes_nothing(chains: ChainsWorld) -> None:
    day_of(chains, BEFORE, AAA=4.0, BBB=5.0)
    chains.run(BEFORE)
    before = chains.fingerprint()
    again = chains.run(BEFORE)
    assert (again.facts["unchanged_files"], again.facts["source"]) == (1, "nothing new")
    assert chains.vendor.read_files == [BEFORE]
    assert chains.fingerprint() == before


def test_a_replaced_day_file_reloads_only_what_came_from_a_day_file(chains: ChainsWorld) -> None:
    chains.vendor.shown = {"AAA": [listed("AAA", open_interest=7.0)]}
    chains.vendor.shown["BBB"] = VendorAnswerError("the page broke off")
    chains.run(SESSION)
    chains.at("2026-06-13T04:00")
    day_of(chains, SESSION, AAA=9.0, BBB=5.0)
    chains.run(SESSION)
    assert sources(chains, SESSION) == {"AAA": "chain snapshot", "BBB": "option day file"}
    day_of(chains, SESSION, AAA=9.0, BBB=6.0)
    chains.run(SESSION)
    stored = chains.chain()
    assert stored[contract("BBB")]["close"] == 6.0
    captured = stored[contract("AAA")]
    assert (captured["close"], captured["open_interest"], captured["greeks_source"]) == (4.0, 7.0, "vendor")
    assert chains.vendor.read_files == [SESSION, SESSION]


def test_a_file_published_again_with_equal_content_is_only_known_by_its_new_etag(chains: ChainsWorld) -> None:
    day_of(chains, BEFORE, AAA=4.0, BBB=5.0)
    chains.run(BEFORE)
    before, old = chains.fingerprint(), chains.manifest(BEFORE)["AAA"]["etag"]
    chains.vendor.etag_suffix = "-2"
    chains.run(BEFORE)
    assert {m["etag"] for m in chains.manifest(BEFORE).values()} == {f"{old}-2"}
    assert chains.run(BEFORE).facts["unchanged_files"] == 1
    assert chains.vendor.read_files == [BEFORE, BEFORE]
    assert chains.fingerprint() == before


def test_an_underlying_that_joined_the_watchlist_is_added_and_the_others_are_not_written_again(
    chains: ChainsWorld,
) -> None:
    day_of(chains, BEFORE, AAA=4.0, BBB=5.0, CCC=6.0)
    chains.run(BEFORE)
    before = chains.fingerprint()
    chains.watch("AAA", "BBB", "CCC")
    chains.run(BEFORE)
    assert set(chains.manifest(BEFORE)) == {"AAA", "BBB", "CCC"}
    assert [row for row in chains.fingerprint() if row["contract"] != contract("CCC")] == before


def test_a_past_session_without_a_file_is_refused_in_one_sentence(chains: ChainsWorld) -> None:
    run = chains.run(BEFORE)
    assert run.failure == (
        f"the chains of session {BEFORE} cannot be captured any more (the vendor's snapshot knows only now, which is "
        f"session {SESSION}): the option day file of {BEFORE} is not published"
    )
    assert chains.chain(BEFORE) == {} and chains.manifest(BEFORE) == {}


def test_while_the_market_trades_the_newest_session_can_only_come_from_its_file(chains: ChainsWorld) -> None:
    chains.at("2026-06-12T11:00")
    refused = chains.run(SESSION).failure
    assert (
        refused is not None
        and "cannot be captured now (at 2026-06-12 11:00 New York the market trades" in refused
    )
    assert refused.endswith(f"the option day file of {SESSION} is not published")
    day_of(chains, SESSION, AAA=4.0, BBB=4.0)
    assert chains.run(SESSION).failure is None
    assert chains.vendor.asked_chains == []
    assert set(sources(chains, SESSION).values()) == {"option day file"}


@pytest.mark.parametrize(
    "error", [NO_PLAN, NotYetPublished("not published yet"), VendorAnswerError("not a gzip file")]
)
def test_in_a_range_a_session_without_a_file_stays_without_chains_and_loses_no_other(
    chains: ChainsWorld, error: NotEntitled | NotYetPublished | VendorAnswerError
) -> None:
    first = calendar.session_offset(SESSION, -3)
    for session in calendar.sessions_between(first, BEFORE):
        day_of(chains, session, AAA=4.0, BBB=5.0)
    broken = calendar.session_offset(SESSION, -2)
    chains.vendor.files[broken] = error
    chains.vendor.shown = {"AAA": [listed("AAA")], "BBB": [listed("BBB")]}
    run = chains.run(first, SESSION)
    assert run.failure is None
    assert run.facts["sessions_without"] == f"{broken}: {error}"
    assert run.facts["source"] == "chain snapshot, option day file"
    assert run.failed_checks == [f"options_chains_cover_the_sessions: sessions 1, without_chains {broken}"]
    held = {s: len(chains.chain(s)) for s in calendar.sessions_between(first, SESSION)}
    assert held == {first: 2, broken: 0, BEFORE: 2, SESSION: 2}
    assert set(sources(chains, SESSION).values()) == {"chain snapshot"}


def test_what_concerns_every_session_ends_the_run_and_keeps_what_came_before(chains: ChainsWorld) -> None:
    day_of(chains, BEFORE, AAA=4.0, BBB=5.0)
    original = chains.vendor.option_bars

    def gone(sessions, known):
        yield next(iter(original(sessions, known)))
        raise VendorUnreachable("no answer from the flat files")

    chains.monkeypatch.setattr(chains.vendor, "option_bars", gone)
    chains.vendor.shown = {"AAA": [listed("AAA")], "BBB": [listed("BBB")]}
    run = chains.run(BEFORE, SESSION)
    assert run.failure == "no answer from the flat files"
    assert set(sources(chains, SESSION).values()) == {"chain snapshot"}
    assert set(sources(chains, BEFORE).values()) == {"option day file"}


def test_sessions_older_than_the_chains_retention_are_skipped_and_nothing_is_fetched(
    chains: ChainsWorld,
) -> None:
    oldest = SESSION - RETENTION  # 2026-03-13, a session
    older = calendar.session_offset(oldest, -1)
    for session in (older, oldest):
        day_of(chains, session, AAA=4.0, BBB=5.0)
    run = chains.run(older, oldest)
    assert run.failure is None
    assert run.facts["older_than_retention"] == (
        f"1 sessions, {older} to {older}, not fetched: chains are kept 90 days"
    )
    assert chains.vendor.asked_files == [oldest]
    assert (len(chains.chain(older)), len(chains.chain(oldest))) == (0, 2)
    alone = chains.run(older)
    assert alone.failure is None and alone.failed_checks == [
        "options_chains_cover_the_watchlist: without_a_chain ['AAA', 'BBB']"
    ]
    assert chains.vendor.asked_files == [oldest]


def test_without_bars_no_volatility_can_be_solved_so_the_session_waits_for_them(chains: ChainsWorld) -> None:
    early = calendar.session_offset(BEFORE, -1)
    chains.vendor.files[early] = [traded(contract("AAA"))]
    failure = chains.run(early).failure
    assert (
        failure is not None and "its bars are not loaded" in failure and "load ohlcv_daily first" in failure
    )
    assert chains.vendor.asked_files == [] and chains.chain(early) == {}
    chains.close_at(early, AAA=100.0)
    assert chains.run(early).failure is None
    assert chains.chain(early)[contract("AAA")]["greeks_source"] == "computed"


def test_an_underlying_without_a_bar_of_its_own_keeps_its_contracts_without_greeks(
    chains: ChainsWorld,
) -> None:
    chains.watch("AAA", "SPX")
    chains.vendor.files[BEFORE] = [traded(contract("AAA")), traded(contract("SPX", root="SPXW"))]
    chains.run(BEFORE)
    stored = chains.chain(BEFORE)
    assert stored[contract("SPX", root="SPXW")]["symbol"] == "SPX"
    assert stored[contract("SPX", root="SPXW")]["greeks_source"] is None
    assert stored[contract("AAA")]["greeks_source"] == "computed"


def test_refused_lines_are_kept_with_contract_and_reason_and_replaced_with_their_session(
    chains: ChainsWorld,
) -> None:
    faulty = [traded(contract("AAA", 90.0), -1.0), traded("O:AAA26X"), traded("O:ZZZ26X")]
    chains.vendor.files[BEFORE] = [traded(contract("AAA")), *faulty]
    run = chains.run(BEFORE)
    assert [(symbol, reason) for symbol, reason, _ in chains.refused(BEFORE)] == [
        ("AAA", "price is not above zero"),
        ("AAA", "ticker is not a contract"),
    ]
    assert chains.refused(BEFORE)[0][2].startswith(f"{contract('AAA', 90.0)}: open=-1.0 high=-1.0")
    assert run.facts["rejected_rows"] == chains.manifest(BEFORE)["AAA"]["rejected_count"] == 2
    assert f"{BEFORE}: 2 of 4 tickers of the option day file cannot be read" in run.facts["notes"]
    chains.vendor.files[BEFORE] = [traded(contract("AAA"))]
    chains.run(BEFORE)
    assert chains.refused(BEFORE) == []


def test_a_file_of_which_no_ticker_can_be_read_is_no_empty_chain(chains: ChainsWorld) -> None:
    chains.vendor.files[BEFORE] = [traded("AAA"), traded("BBB")]
    failure = chains.run(BEFORE).failure
    assert failure is not None and failure.endswith(
        "not one of its 2 tickers can be read as an option contract"
    )
    assert chains.manifest(BEFORE) == {}


def test_contracts_known_from_a_snapshot_are_recognised_in_older_files_by_record_and_not_by_root(
    chains: ChainsWorld,
) -> None:
    """AAA was ZZZ before; its contracts kept their root. An adjusted contract delivers 150 shares."""
    old, adjusted = contract("AAA", root="ZZZ"), contract("AAA", 95.0, root="AAA1")
    chains.vendor.shown = {
        "AAA": [
            listed("AAA", contract=old),
            listed("AAA", 95.0, contract=adjusted, shares_per_contract=150.0),
        ],
        "BBB": [listed("BBB")],
    }
    chains.run(SESSION)
    chains.vendor.files[BEFORE] = [traded(old), traded(adjusted), traded(contract("BBB"))]
    chains.run(BEFORE)
    stored = chains.chain(BEFORE)
    assert {c: (r["symbol"], r["is_standard"], r["shares_per_contract"]) for c, r in stored.items()} == {
        old: ("AAA", True, 100.0), adjusted: ("AAA", False, 150.0), contract("BBB"): ("BBB", True, 100.0),
    }  # fmt: skip
    assert stored[adjusted]["greeks_source"] is None, "what it delivers is not the share whose price is known"
    first = chains.database.rows("SELECT contract, first_session FROM option_contracts")
    assert {row["first_session"] for row in first} == {BEFORE}
    unlike = chains.database.frame(query("contracts_unlike_their_ticker"), {}, KNOWN_SCHEMA)
    assert set(unlike["contract"]) == {old, adjusted}


def test_a_snapshot_computed_from_a_rebuilt_chain_is_partial_and_names_why(chains: ChainsWorld) -> None:
    day_of(chains, BEFORE, AAA=4.0, BBB=5.0)
    chains.run(BEFORE)
    rows = compute(chains.database, LocalMetrics(), ["AAA", "BBB"], BEFORE)
    assert rows["data_quality"].to_list() == ["partial", "partial"]
    for document in rows["events_json"]:
        assert json.loads(document)["missing_inputs"] == [
            "no open interest in the chain",
            "no snapshot of the chain: it is rebuilt from the option day file",
            "1 sessions of history, 252 wanted",
        ]
    assert rows["dgpi"].is_null().all() and rows["average_iv"].is_null().all()


# -- the vendor's history of open interest -----------------------------------------------------------------------------


def test_where_the_vendor_has_no_history_the_run_says_so_once(chains: ChainsWorld) -> None:
    first = calendar.session_offset(BEFORE, -1)
    for session in (first, BEFORE):
        day_of(chains, session, AAA=4.0, BBB=5.0)
    run = chains.run(first, BEFORE)
    assert run.facts["notes"] == f"past sessions without open interest: {SWITCHED_OFF}"
    assert chains.vendor.asked_history == [first]


def test_the_history_s_open_interest_and_greeks_enter_the_chain_and_the_manifest_names_their_session(
    chains: ChainsWorld,
) -> None:
    day_of(chains, BEFORE, AAA=4.0, BBB=5.0)
    silent = contract("BBB", 130.0, "put")
    chains.vendor.held = {
        BEFORE: [
            {"contract": contract("AAA"), "open_interest": 70.0} | TOLD,
            {"contract": silent, "open_interest": 3.0} | TOLD | {"delta": -0.9},
        ]
    }
    run = chains.run(BEFORE)
    stored = chains.chain(BEFORE)
    assert {c: (r["open_interest"], r["greeks_source"], r["volume"]) for c, r in stored.items()} == {
        contract("AAA"): (70.0, "vendor", 10.0),
        contract("BBB"): (None, "computed", 10.0),
        silent: (3.0, "vendor", None),
    }
    assert {m["oi_session"] for m in chains.manifest(BEFORE).values()} == {BEFORE}
    assert run.facts["notes"] == "none"
    assert chains.run(BEFORE).facts["unchanged_files"] == 1


def test_a_session_loaded_without_open_interest_is_completed_once_the_history_works(
    chains: ChainsWorld,
) -> None:
    day_of(chains, BEFORE, AAA=4.0, BBB=5.0)
    chains.run(BEFORE)
    assert chains.chain(BEFORE)[contract("AAA")]["open_interest"] is None
    chains.vendor.held = {BEFORE: [{"contract": contract("AAA"), "open_interest": 70.0}]}
    chains.run(BEFORE)
    assert chains.chain(BEFORE)[contract("AAA")]["open_interest"] == 70.0
    before = chains.fingerprint()
    assert chains.run(BEFORE).facts["unchanged_files"] == 1
    assert chains.fingerprint() == before


def test_a_history_that_fails_for_a_session_costs_only_its_open_interest(chains: ChainsWorld) -> None:
    day_of(chains, BEFORE, AAA=4.0, BBB=5.0)
    chains.vendor.held = {BEFORE: VendorAnswerError("/options/v1/open-interest: 500")}
    run = chains.run(BEFORE)
    assert run.failure is None
    assert run.facts["notes"] == f"{BEFORE}: no open interest (/options/v1/open-interest: 500)"
    assert len(chains.chain(BEFORE)) == 2


# -- a range -----------------------------------------------------------------------------------------------------------


def test_a_backfill_holds_one_day_file_at_a_time(chains: ChainsWorld) -> None:
    """The vendor's iterator is only asked for the next file when the one before is stored."""
    first = calendar.session_offset(SESSION, -8)
    sessions = calendar.sessions_between(first, BEFORE)
    for session in sessions:
        day_of(chains, session, AAA=4.0, BBB=5.0)
    original, stored_when_asked = chains.vendor.option_bars, []

    def watched(asked, known):
        for file in original(asked, known):
            stored = chains.database.value("SELECT count(DISTINCT time) FROM options_chains")
            stored_when_asked.append(stored)
            yield file

    chains.monkeypatch.setattr(chains.vendor, "option_bars", watched)
    run = chains.run(first, BEFORE)
    assert run.failure is None and run.failed_checks == []
    assert stored_when_asked == list(range(len(sessions)))
    assert run.facts["rows"] == 2 * len(sessions)


def test_a_backfill_covers_every_table_chains_included() -> None:
    assert "options_chains" in HISTORY_TABLES


def test_a_session_that_has_not_closed_is_not_published(chains: ChainsWorld) -> None:
    tomorrow = date.fromisoformat(NIGHT[:10])
    failure = chains.run(tomorrow).failure
    assert failure is not None
    assert failure.endswith(f"it has not closed yet, and the newest completed session is {SESSION}")
    assert chains.vendor.asked_chains == chains.vendor.asked_files == []
    assert tomorrow == SESSION + timedelta(days=1)
