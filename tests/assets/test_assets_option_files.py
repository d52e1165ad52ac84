"""Chains over the wire from the simulated vendor: its option day files, its history of open interest, its snapshot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date

import polars as pl
import pytest
from chains_world import ChainsWorld

from kapman_resources import calendar
from kapman_resources.market_data.flat_files import OPTION_DAYS, STOCK_DAYS, FlatFiles
from kapman_resources.market_data.protocol import BarFile
from kapman_resources.market_data.rest import RestClient
from kapman_simulator.server import Serving

WATCHED = ("AAPL", "NVDA")
LAST = date(2026, 6, 12)
FIRST, BROKEN, THIRD = (calendar.session_offset(LAST, -i) for i in (3, 2, 1))
DAY_FILE = "option day file"


@pytest.fixture
def world(chains: ChainsWorld, small_vendor: Serving) -> ChainsWorld:
    """The night after LAST: bars of the watched symbols stored, their chains not."""
    files = FlatFiles(
        endpoint=small_vendor.url, bucket="flatfiles", access_key=small_vendor.s3_key_id,
        secret_key=small_vendor.s3_secret,
    )  # fmt: skip
    chains.database.execute("TRUNCATE ohlcv_daily, load_manifest")
    chains.vendor.label = "SIMULATED"
    chains.watch(*WATCHED)
    chains.at("2026-06-13T04:00")
    for bars in files.files(STOCK_DAYS, [FIRST, BROKEN, THIRD, LAST], {}):
        assert isinstance(bars, BarFile)
        ours = bars.rows.filter(pl.col("symbol").is_in(WATCHED))
        chains.close_at(bars.session, **dict(ours.select("symbol", "close").iter_rows()))
    chains.monkeypatch.setattr(
        chains.vendor, "option_bars", lambda sessions, known: files.files(OPTION_DAYS, sessions, known)
    )
    return chains


@pytest.fixture
def rest(world: ChainsWorld, small_vendor: Serving) -> Iterator[RestClient]:
    """The vendor's REST side with its history switched on, in the place of the world's frames."""
    client = RestClient(base_url=small_vendor.url, api_key=small_vendor.api_key, option_history=True)
    world.monkeypatch.setattr(world.vendor, "chains", client.chains)
    world.monkeypatch.setattr(world.vendor, "option_history", client.option_history)
    yield client
    client.close()


def plan(vendor: Serving, **faults: object) -> None:
    vendor.simulation.faults.set(json.dumps(faults | {"data_sets": [f"{OPTION_DAYS}/"]}).encode())


def by_symbol(world: ChainsWorld, session: date) -> dict[str, int]:
    return {symbol: load["row_count"] for symbol, load in world.manifest(session).items()}


def test_a_range_of_files_gives_every_watched_contract_that_traded_solved_by_us(world: ChainsWorld) -> None:
    run = world.run(FIRST, THIRD)
    assert run.failure is None and run.failed_checks == []
    assert (run.facts["source"], run.facts["data"], run.facts["symbols"]) == (DAY_FILE, "SIMULATED", 2)
    for session in (FIRST, BROKEN, THIRD):
        stored = pl.DataFrame(list(world.chain(session).values()), infer_schema_length=None)
        assert by_symbol(world, session) == dict(stored.group_by("symbol").len().iter_rows())
        assert set(stored["symbol"]) == set(WATCHED)
        assert stored["open_interest"].is_null().all() and (stored["last_session"] == session).all()
        standard = stored.filter(pl.col("is_standard") & (pl.col("expiration") > session))
        assert (standard["greeks_source"] == "computed").mean() > 0.9
        assert (stored["expiration"] >= session).all()
        adjusted = stored.filter(pl.col("contract").str.contains(r"^O:[A-Z]+\d\d{6}[CP]"))
        assert not adjusted["is_standard"].any() and adjusted["implied_volatility"].is_null().all()
    again = world.run(FIRST, THIRD)
    assert (again.facts["unchanged_files"], again.facts["source"]) == (3, "nothing new")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"unpublished": [str(BROKEN)]}, "not published yet"),
        ({"forbidden": [str(BROKEN)]}, "plan"),
        ({"truncate": {str(BROKEN): 500}}, "gzip"),
        ({"drop_columns": {str(BROKEN): ["close"]}}, "close"),
    ],
)
def test_a_file_that_cannot_be_had_costs_its_session_only_and_is_loaded_when_it_appears(
    world: ChainsWorld, small_vendor: Serving, fault: dict[str, object], words: str
) -> None:
    plan(small_vendor, **fault)
    run = world.run(FIRST, THIRD)
    assert run.failure is None
    assert run.facts["sessions_without"].startswith(f"{BROKEN}: ") and words in run.facts["sessions_without"]
    assert world.chain(BROKEN) == {} and world.manifest(BROKEN) == {}
    assert all(by_symbol(world, FIRST).values()) and all(by_symbol(world, THIRD).values())
    assert run.failed_checks == [f"options_chains_cover_the_sessions: sessions 1, without_chains {BROKEN}"]
    plan(small_vendor)
    healed = world.run(FIRST, THIRD)
    assert (healed.facts["unchanged_files"], healed.failed_checks) == (2, [])
    assert all(by_symbol(world, BROKEN).values())


def test_lines_of_nonsense_in_a_file_are_refused_one_by_one(
    world: ChainsWorld, small_vendor: Serving
) -> None:
    world.run(THIRD)
    healthy = world.chain(THIRD)
    start = int(calendar.session_time(THIRD).timestamp()) * 1_000_000_000
    free = "O:AAPL261218C00999000"
    lines = [
        f"{free},5,-1,1,1,1,{start},3",
        f"O:AAPL261218C00998000,5,1,1,2,NaN,{start},3",
        f"O:AAPL261218C00997000,-5,1,1,1,1,{start},3",
        f"O:AAPL211022C000150000,5,1,1,1,1,{start},3",
        f"O:NVDA261318C00100000,5,1,1,1,1,{start},3",
    ]
    plan(small_vendor, append_rows={str(THIRD): lines})
    run = world.run(THIRD)
    assert run.failure is None
    assert world.chain(THIRD) == healthy
    reasons = [(symbol, reason) for symbol, reason, _ in world.refused(THIRD)]
    assert reasons == [
        ("AAPL", "price is missing or not a number"),
        ("AAPL", "price is not above zero"),
        ("AAPL", "ticker is not a contract"),
        ("AAPL", "volume is negative"),
        ("NVDA", "identity"),
    ]
    assert run.facts["rejected_rows"] == len(lines)


def test_a_corrected_file_replaces_its_session_and_a_new_etag_alone_does_not(
    world: ChainsWorld, small_vendor: Serving
) -> None:
    world.run(THIRD)
    contract, before = max(world.chain(THIRD).items(), key=lambda item: item[1]["volume"])
    etag = world.manifest(THIRD)["AAPL"]["etag"]
    plan(small_vendor, etag_only=[str(THIRD)])
    rows = world.fingerprint()
    assert world.run(THIRD).facts["unchanged_files"] == 1
    assert world.fingerprint() == rows and world.manifest(THIRD)["AAPL"]["etag"] != etag
    price = before["close"] + 0.01
    correction = {
        "symbol": contract,
        "close": price,
        "high": price + 1,
        "low": before["close"] - 0.01,
        "open": price,
    }
    plan(small_vendor, replace={str(THIRD): [correction]})
    assert world.run(THIRD).failure is None
    after = world.chain(THIRD)[contract]
    assert after["close"] == pytest.approx(price)
    assert after["implied_volatility"] != before["implied_volatility"]


def test_the_vendor_s_history_makes_a_past_chain_whole(
    world: ChainsWorld, small_vendor: Serving, rest: RestClient
) -> None:
    plan(small_vendor, option_history=404)
    bare = world.run(THIRD)
    assert "past sessions without open interest" in bare.facts["notes"] and "404" in bare.facts["notes"]
    without = by_symbol(world, THIRD)
    plan(small_vendor)
    run = world.run(THIRD)
    assert (run.failure, run.facts["notes"]) == (None, "none")
    assert {load["oi_session"] for load in world.manifest(THIRD).values()} == {THIRD}
    assert {load["source"] for load in world.manifest(THIRD).values()} == {DAY_FILE}
    assert all(by_symbol(world, THIRD)[symbol] > rows for symbol, rows in without.items())
    stored = pl.DataFrame(list(world.chain(THIRD).values()), infer_schema_length=None)
    plain = stored.filter(pl.col("is_standard"))
    assert plain["open_interest"].is_not_null().mean() > 0.97
    assert (plain["greeks_source"] == "vendor").mean() > 0.8
    silent = stored.filter(pl.col("last_session").is_null())
    assert silent.height and silent["volume"].is_null().all() and silent["close"].is_null().all()


def test_a_snapshot_with_everything_wrong_that_the_wire_document_names_is_stored_row_by_row(
    world: ChainsWorld, small_vendor: Serving, rest: RestClient
) -> None:
    assert world.run(LAST).failure is None
    healthy, always = world.chain(LAST), world.refused(LAST)
    untouched = [c for c in healthy if healthy[c]["symbol"] == "NVDA"]
    fit = [
        row["contract"]
        for row in healthy.values()
        if row["symbol"] == "AAPL"
        and row["greeks_source"] == "vendor"
        and row["expiration"] > LAST
        and row["is_standard"]
    ]
    bare, broken, wild, odd, gone = fit[:5]
    overrides = [
        {"symbol": "AAPL", "patch": {"underlying_asset": {"price": None}}},
        {"symbol": "AAPL", "ticker": bare, "patch": {"day": {}}},
        {"symbol": "AAPL", "ticker": broken, "remove": ["greeks", "implied_volatility", "day"]},
        {"symbol": "AAPL", "ticker": wild, "patch": {"greeks": {"delta": 1.0000000000065, "gamma": -1.4e-9}}},
        {"symbol": "AAPL", "ticker": odd, "patch": {"details": {"shares_per_contract": 150}}},
        {"symbol": "AAPL", "ticker": gone, "patch": {"details": {"expiration_date": "2026-06-11"}}},
    ]
    plan(small_vendor, contract_overrides=overrides, duplicate_contracts=["NVDA"])
    world.database.execute(
        "TRUNCATE options_chains; DELETE FROM load_manifest WHERE dataset = 'options_chains'"
    )
    run = world.run(LAST)
    assert run.failure is None
    stored = world.chain(LAST)
    assert set(stored) == set(healthy) - {gone}
    assert {c: stored[c] for c in untouched} == {c: healthy[c] for c in untouched}
    assert (stored[bare]["close"], stored[bare]["volume"], stored[bare]["greeks_source"]) == (
        None,
        None,
        "vendor",
    )
    assert [stored[broken][name] for name in ("delta", "gamma", "implied_volatility", "greeks_source")] == [
        None
    ] * 4
    assert (stored[wild]["delta"], stored[wild]["gamma"]) == (1.0, 0.0)
    assert (stored[odd]["is_standard"], stored[odd]["shares_per_contract"]) == (False, 150.0)
    reasons = [(symbol, reason) for symbol, reason, _ in set(world.refused(LAST)) - set(always)]
    assert reasons.count(("AAPL", "expired")) == 1
    assert reasons.count(("NVDA", "duplicate")) == len(reasons) - 1 == 4
