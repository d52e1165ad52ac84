"""Everything a chain snapshot can do wrong, one run of the asset each: the rows that are stored, what the user sees."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from chains_world import BEFORE, EXPIRATION, SESSION, ChainsWorld, contract, listed, traded
from metrics_builders import occ

from kapman_metrics import greeks
from kapman_resources import calendar
from kapman_resources.market_data.protocol import (
    BadCredentials,
    NotEntitled,
    VendorAnswerError,
    VendorError,
    VendorUnreachable,
)

NO_GREEKS = dict.fromkeys(("implied_volatility", "delta", "gamma", "theta", "vega"))
NO_DAY = dict.fromkeys(("day_close", "day_volume", "day_session"))
YEARS = (EXPIRATION - SESSION).days / 365


def captured(chains: ChainsWorld, *rows: dict[str, object]) -> dict[str, dict[str, object]]:
    """Runs SESSION with AAA's chain made of these rows and BBB's of one sound contract; AAA's stored rows."""
    chains.vendor.shown = {"AAA": list(rows), "BBB": [listed("BBB")]}
    run = chains.run(SESSION)
    assert run.failure is None, run.failure
    stored = chains.chain()
    assert stored.pop(contract("BBB"))["greeks_source"] == "vendor", "a fault of one symbol is not another's"
    return stored


# -- contracts ---------------------------------------------------------------------------------------------------------


def test_of_a_contract_listed_twice_the_row_with_open_interest_stays_and_the_other_is_recorded(
    chains: ChainsWorld,
) -> None:
    stored = captured(
        chains,
        listed("AAA", open_interest=0.0),
        listed("AAA", open_interest=8.0, **NO_GREEKS),
        listed("AAA", 110.0),
    )
    assert stored[contract("AAA")]["open_interest"] == 8.0
    assert chains.refused() == [
        ("AAA", "duplicate", f"{contract('AAA')}: a better row of the same contract was kept")
    ]
    assert (chains.manifest()["AAA"]["row_count"], chains.manifest()["AAA"]["rejected_count"]) == (2, 1)


def test_adjusted_and_odd_sized_contracts_are_stored_as_not_standard(chains: ChainsWorld) -> None:
    stored = captured(
        chains,
        listed("AAA"),
        listed("AAA", 95.0, root="AAA1", shares_per_contract=150.0),
        listed("AAA", 90.0, shares_per_contract=10.0),
        listed("AAA", 85.0, shares_per_contract=None),
    )
    assert {r["strike"]: (r["is_standard"], r["shares_per_contract"]) for r in stored.values()} == {
        100.0: (True, 100.0), 95.0: (False, 150.0), 90.0: (False, 10.0), 85.0: (False, 100.0),
    }  # fmt: skip


def test_what_an_adjusted_contract_delivers_is_unknown_so_its_volatility_is_not_solved(
    chains: ChainsWorld,
) -> None:
    stored = captured(chains, listed("AAA", **NO_GREEKS), listed("AAA", 95.0, root="AAA1", **NO_GREEKS))
    assert [r["greeks_source"] for _, r in sorted(stored.items(), key=lambda i: -i[1]["strike"])] == [
        "computed",
        None,
    ]


def test_the_volume_of_an_older_day_bar_is_not_this_session_s(chains: ChainsWorld) -> None:
    stored = captured(
        chains, listed("AAA", day_session=BEFORE, day_volume=99.0), listed("AAA", 110.0, day_volume=5.0)
    )
    stale, fresh = stored[contract("AAA")], stored[contract("AAA", 110.0)]
    assert (stale["volume"], stale["close"], stale["last_session"]) == (None, 4.0, BEFORE)
    assert (fresh["volume"], fresh["last_session"]) == (5.0, SESSION)


def test_a_contract_without_a_day_bar_is_stored_with_its_greeks(chains: ChainsWorld) -> None:
    (row,) = captured(chains, listed("AAA", **NO_DAY)).values()
    assert (row["close"], row["volume"], row["last_session"]) == (None, None, None)
    assert (row["greeks_source"], row["open_interest"], row["is_live"]) == ("vendor", 100.0, True)


def test_missing_greeks_are_solved_from_this_session_s_close_and_left_out_where_the_price_is_not_worth_it(
    chains: ChainsWorld,
) -> None:
    close = round(float(greeks.price(100.0, 105.0, YEARS, 0.35, True)), 2)
    stored = captured(
        chains,
        listed("AAA", 105.0, day_close=close, **NO_GREEKS),
        listed("AAA", 106.0, day_close=close, day_session=BEFORE, **NO_GREEKS),
        listed("AAA", 60.0, day_close=35.0, **NO_GREEKS),  # below what it is worth exercised
        listed("AAA", 107.0, **NO_DAY, **NO_GREEKS),
    )
    by_strike = {r["strike"]: r for r in stored.values()}
    assert by_strike[105.0]["implied_volatility"] == pytest.approx(0.35, abs=1e-3)
    assert {strike: r["greeks_source"] for strike, r in by_strike.items()} == {
        105.0: "computed", 106.0: None, 60.0: None, 107.0: None,
    }  # fmt: skip
    assert all(by_strike[106.0][name] is None for name in NO_GREEKS)


def test_greeks_a_hair_outside_are_clamped_and_impossible_ones_taken_away(chains: ChainsWorld) -> None:
    stored = captured(
        chains,
        listed("AAA", 50.0, delta=1.0000000000065, gamma=-1.4e-9, vega=-0.0006),
        listed("AAA", 150.0, delta=1.5, **NO_DAY),
    )
    deep, impossible = stored[contract("AAA", 50.0)], stored[contract("AAA", 150.0)]
    assert (deep["delta"], deep["gamma"], deep["vega"], deep["greeks_source"]) == (1.0, 0.0, 0.0, "vendor")
    assert [impossible[name] for name in ("delta", "gamma", "greeks_source")] == [None, None, None]


def test_expired_contracts_other_types_and_impossible_strikes_are_refused_with_their_reason(
    chains: ChainsWorld,
) -> None:
    stored = captured(
        chains,
        listed("AAA"),
        listed("AAA", 101.0, expiration=SESSION),
        listed("AAA", 102.0, expiration=SESSION - timedelta(days=1)),
        listed("AAA", 103.0, option_type="other", contract="O:AAA260717X00103000"),
        listed("AAA", -1.0, contract="O:AAA260717C00000000"),
    )
    assert sorted(r["strike"] for r in stored.values()) == [100.0, 101.0]
    gone = occ("AAA", SESSION - timedelta(days=1), "call", 102.0)
    assert chains.refused() == [
        ("AAA", "expired", f"{gone}: expired on {BEFORE}"),
        ("AAA", "option_type", "O:AAA260717X00103000: option_type other"),
        ("AAA", "strike", "O:AAA260717C00000000: strike -1.0"),
    ]


def test_without_a_bar_of_the_underlying_the_vendor_s_greeks_stand_and_nothing_is_solved(
    chains: ChainsWorld,
) -> None:
    """The snapshot's own underlying price is null out of hours; ours is the session's close, and it can be missing."""
    chains.close_at(SESSION, BBB=100.0)
    stored = captured(chains, listed("AAA"), listed("AAA", 110.0, **NO_GREEKS))
    assert {r["strike"]: r["greeks_source"] for r in stored.values()} == {100.0: "vendor", 110.0: None}


def test_negative_open_interest_and_numbers_that_are_none_are_unknown(chains: ChainsWorld) -> None:
    nan = float("nan")
    (row,) = captured(
        chains, listed("AAA", open_interest=-5.0, implied_volatility=nan, bid=nan, day_volume=nan)
    ).values()
    assert [row[name] for name in ("open_interest", "implied_volatility", "bid", "volume")] == [None] * 4


def test_strikes_left_over_from_before_a_split_are_stored_and_do_not_live(chains: ChainsWorld) -> None:
    old = calendar.session_offset(SESSION, -11)
    stored = captured(
        chains, listed("AAA", 900.0, day_session=old, open_interest=500.0, **NO_GREEKS), listed("AAA", 90.0)
    )
    assert {r["strike"]: r["is_live"] for r in stored.values()} == {900.0: False, 90.0: True}


# -- underlyings -------------------------------------------------------------------------------------------------------


def test_one_symbol_that_fails_loses_no_other_and_the_next_run_fetches_only_that_one(
    chains: ChainsWorld,
) -> None:
    chains.vendor.shown = {"AAA": VendorAnswerError("the page broke off"), "BBB": [listed("BBB")]}
    run = chains.run(SESSION)
    assert run.facts["failed_symbols"] == "AAA: the page broke off"
    assert run.failed_checks == ["options_chains_cover_the_watchlist: without_a_chain ['AAA']"]
    assert set(chains.manifest()) == {"BBB"}
    before = chains.fingerprint()
    chains.vendor.shown["AAA"] = [listed("AAA")]
    again = chains.run(SESSION)
    assert (again.facts["symbols"], again.facts["failed_symbols"], again.failed_checks) == (2, "none", [])
    assert chains.vendor.asked_chains == [["AAA", "BBB"], ["AAA"]]
    assert [row for row in chains.fingerprint() if row["contract"] == contract("BBB")] == before
    assert chains.run(SESSION).facts["source"] == "nothing new"
    assert len(chains.vendor.asked_chains) == 2


def test_an_underlying_without_listed_options_is_recorded_as_empty_and_not_asked_again(
    chains: ChainsWorld,
) -> None:
    chains.vendor.shown = {"AAA": [], "BBB": [listed("BBB")]}
    run = chains.run(SESSION)
    assert chains.manifest()["AAA"]["row_count"] == 0
    assert run.failed_checks == ["options_chains_cover_the_watchlist: without_a_chain ['AAA']"]
    chains.run(SESSION)
    assert len(chains.vendor.asked_chains) == 1


def test_when_no_chain_at_all_could_be_fetched_the_run_fails_with_the_first_reason(
    chains: ChainsWorld,
) -> None:
    chains.vendor.shown = {
        s: VendorAnswerError("page 3 has another shape than documented") for s in ("AAA", "BBB")
    }
    failure = chains.run(SESSION).failure
    assert failure == (
        f"the chains of session {SESSION} cannot be captured: no chain of 2 could be fetched; "
        "('AAA', 'page 3 has another shape than documented')"
    )
    assert chains.manifest() == {}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            NotEntitled("the plan does not include snapshots"),
            "cannot be captured: the plan does not include snapshots",
        ),
        (BadCredentials("the vendor refused POLYGON_API_KEY"), "the vendor refused POLYGON_API_KEY"),
        (VendorUnreachable("no answer from the vendor"), "no answer from the vendor"),
    ],
)
def test_what_concerns_every_underlying_fails_the_run_after_older_sessions_had_their_file(
    chains: ChainsWorld, error: VendorError, words: str
) -> None:
    def refuse(symbols: list[str]) -> None:
        raise error

    chains.monkeypatch.setattr(chains.vendor, "chains", refuse)
    failure = chains.run(SESSION).failure
    assert failure is not None and failure.endswith(words)
    chains.vendor.files[BEFORE] = [traded(contract("AAA")), traded(contract("BBB"))]
    run = chains.run(BEFORE, SESSION)
    assert (run.failure is None) == isinstance(error, NotEntitled)
    assert len(chains.chain(BEFORE)) == 2 and chains.chain(SESSION) == {}


def test_chains_of_another_origin_are_refused(chains: ChainsWorld) -> None:
    chains.vendor.label = "SIMULATED"
    chains.vendor.shown = {"AAA": [listed("AAA")], "BBB": [listed("BBB")]}
    failure = chains.run(SESSION).failure
    assert failure is not None and "must not receive SIMULATED" in failure
    chains.vendor.files[BEFORE] = [traded(contract("AAA"))]
    failure = chains.run(BEFORE).failure
    assert failure is not None and "must not receive SIMULATED" in failure
    assert chains.chain() == chains.chain(BEFORE) == {}


# -- moments -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "interest"),
    [
        ("2026-06-11T16:20", BEFORE),
        ("2026-06-12T04:00", BEFORE),
        ("2026-06-12T07:20", SESSION),
    ],
)
def test_the_manifest_names_the_session_whose_end_the_open_interest_refers_to(
    chains: ChainsWorld, moment: str, interest: date
) -> None:
    chains.vendor.shown = {"AAA": [listed("AAA")], "BBB": [listed("BBB")]}
    chains.at(moment)
    assert chains.run(SESSION).failure is None
    loads = chains.manifest().values()
    assert {m["oi_session"] for m in loads} == {interest}
    assert {m["captured_at"] for m in loads} == {
        datetime.fromisoformat(moment).replace(tzinfo=calendar.NEW_YORK)
    }


def test_no_chain_is_captured_while_open_interest_changes(chains: ChainsWorld) -> None:
    chains.at("2026-06-12T06:33")
    chains.vendor.shown = {"AAA": [listed("AAA")], "BBB": [listed("BBB")]}
    failure = chains.run(SESSION).failure
    assert failure is not None
    assert failure.startswith(
        f"the chains of session {SESSION} cannot be captured: at 2026-06-12 06:33 New York"
    )
    assert failure.endswith("flaps: capture before 06:15 or after 07:15")
    assert chains.vendor.asked_chains == chains.vendor.asked_files == []
    chains.at("2026-06-12T07:15")
    assert chains.run(SESSION).failure is None


@pytest.mark.parametrize("later", ["2026-06-12T06:15", "2026-06-12T09:30", "2026-06-12T16:00"])
def test_a_capture_that_runs_into_another_moment_is_not_stored(chains: ChainsWorld, later: str) -> None:
    chains.at("2026-06-12T06:14")
    chains.vendor.shown = {"AAA": [listed("AAA")], "BBB": [listed("BBB")]}
    chains.vendor.while_fetching = lambda: chains.at(later)
    failure = chains.run(SESSION).failure
    assert failure is not None and "its pages would mix two sessions" in failure
    assert chains.chain() == {} and chains.manifest() == {}


def test_a_capture_stamped_with_another_session_is_not_stored(chains: ChainsWorld) -> None:
    chains.vendor.shown = {"AAA": [listed("AAA")], "BBB": [listed("BBB")]}
    chains.vendor.captured_at = datetime(2026, 6, 11, 8, 0, tzinfo=calendar.NEW_YORK)
    failure = chains.run(SESSION).failure
    assert failure is not None and f"which is session {BEFORE}" in failure
    assert chains.chain() == {}


def test_two_runs_at_once_never_mix_the_one_that_stored_first_stands(chains: ChainsWorld) -> None:
    """While the first run still fetches, a second one captures and commits both chains."""
    early = {"AAA": [listed("AAA", open_interest=1.0)], "BBB": [listed("BBB", open_interest=1.0)]}
    late = {
        "AAA": [listed("AAA", open_interest=2.0), listed("AAA", 110.0)],
        "BBB": [listed("BBB", open_interest=2.0)],
    }

    def second_run() -> None:
        chains.vendor.while_fetching = lambda: None
        chains.vendor.shown = early
        assert chains.run(SESSION).failure is None
        chains.vendor.shown = late

    chains.vendor.while_fetching = second_run
    assert chains.run(SESSION).failure is None
    stored = chains.chain()
    assert {c: r["open_interest"] for c, r in stored.items()} == {contract("AAA"): 1.0, contract("BBB"): 1.0}
    assert {m["row_count"] for m in chains.manifest().values()} == {1}


def test_a_snapshot_of_the_session_shown_now_is_not_made_up_from_a_day_file(chains: ChainsWorld) -> None:
    chains.vendor.files[SESSION] = [traded(contract("AAA")), traded(contract("BBB"))]
    chains.vendor.shown = {"AAA": [listed("AAA")], "BBB": VendorAnswerError("the page broke off")}
    run = chains.run(SESSION)
    assert chains.vendor.asked_files == []
    assert set(chains.chain()) == {contract("AAA")}
    assert run.facts["failed_symbols"] == "BBB: the page broke off"
