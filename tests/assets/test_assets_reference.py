"""The reference tables on a real database: what a list of tickers or splits leaves behind, load after load."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from kapman_assets import inputs
from kapman_assets.splits import splits, splits_of_the_watchlist_without_findings
from kapman_assets.tickers import tickers
from kapman_metrics.frames import BAR_SCHEMA
from kapman_resources.calendar import session_offset, sessions_between
from kapman_resources.clock import SessionClock
from kapman_resources.database import Database
from kapman_resources.market_data.protocol import SPLIT_SCHEMA, TICKER_SCHEMA

SESSION = date(2026, 5, 5)
Load = Callable[..., dict[str, Any]]


class Listing:
    """A vendor that has nothing but its two reference lists."""

    def __init__(self) -> None:
        self.listed = pl.DataFrame(schema=TICKER_SCHEMA)
        self.split_entries = pl.DataFrame(schema=SPLIT_SCHEMA)

    def tickers(self) -> pl.DataFrame:
        return self.listed

    def splits(self, since: date, until: date) -> pl.DataFrame:
        return self.split_entries.filter(pl.col("execution_date").is_between(since, until))


@pytest.fixture
def load(database: Database, monkeypatch: pytest.MonkeyPatch) -> Load:
    """load(tickers=rows) or load(splits=rows) at the night after `session`; the materialization's metadata."""
    vendor = Listing()

    def run(*, session: date = SESSION, **given: Any) -> dict[str, Any]:
        monkeypatch.setenv("KAPMAN_NOW", f"{session}T22:00:00-04:00")
        resources = {"database": database, "market_data": vendor, "clock": SessionClock()}
        if "tickers" in given:
            vendor.listed = pl.DataFrame(given["tickers"], schema=TICKER_SCHEMA, orient="row")
        else:
            rows = [(*row, None) for row in given["splits"]]
            vendor.split_entries = pl.DataFrame(rows, schema=SPLIT_SCHEMA, orient="row")
        asset = tickers if "tickers" in given else splits
        result = dg.materialize([asset], resources=resources, raise_on_error=False)
        if not result.success:
            return {
                "failure": result.get_step_failure_events()[
                    0
                ].event_specific_data.user_failure_data.description
            }
        (event,) = result.get_asset_materialization_events()
        return {name: value.value for name, value in event.materialization.metadata.items()}

    return run


def ticker(
    symbol: str, name: str | None = "Some Co", kind: str | None = "CS", **other: Any
) -> tuple[Any, ...]:
    row = {"exchange": "XNYS", "active": True, "delisted": None, "figi": None} | other
    return (symbol, name, kind, row["exchange"], row["active"], row["delisted"], row["figi"])


def stored(database: Database, symbol: str) -> dict[str, Any]:
    (row,) = database.rows("SELECT * FROM tickers WHERE symbol = %s", (symbol,))
    return row


def breaks(database: Database) -> list[tuple[str, date, str]]:
    found = database.rows(
        "SELECT symbol, first_session, reason FROM listing_breaks ORDER BY symbol, first_session"
    )
    return [(row["symbol"], row["first_session"], row["reason"]) for row in found]


def store_bars(
    database: Database, symbol: str, closes: dict[date, float], *, opens: dict[date, float] | None = None
):
    """Bars of one symbol; an open that is not given is the close."""
    with database.transaction() as connection:
        for session, close in closes.items():
            first = (opens or {}).get(session, close)
            row = {
                "symbol": symbol, "open": first, "high": max(first, close), "low": min(first, close), "close": close,
                "volume": 1000.0, "vwap": None, "source": "flatfile",
            }  # fmt: skip
            frame = pl.DataFrame([row], schema_overrides={"vwap": pl.Float64})
            database.replace_session(connection, "ohlcv_daily", session, frame, symbols=[symbol])
    span = {"first": min(closes), "last": max(closes)}
    database.execute(
        "INSERT INTO tickers (symbol, first_ohlcv_date, last_ohlcv_date) VALUES (%s, %s, %s) ON CONFLICT (symbol) "
        "DO UPDATE SET last_ohlcv_date = greatest(tickers.last_ohlcv_date, excluded.last_ohlcv_date)",
        (symbol, span["first"], span["last"]),
    )


# -- tickers ----------------------------------------------------------------------------------------------------------


def test_the_active_listing_names_the_symbol_and_types_decide_the_tier(
    database: Database, load: Load
) -> None:
    facts = load(
        tickers=[
            ticker("FB", "Facebook", active=False, delisted=date(2022, 6, 9), figi="F1"),
            ticker("FB", "Buffer ETF", "ETF", figi="F2"),
            ticker("VXX", "An ETN", "ETN"), ticker("GLDX", "A vehicle", "ETV"), ticker("TSLL", "One stock", "ETS"),
            ticker("CEF", "A closed-end fund", "FUND"), ticker("ODD", "?", "XYZ"), ticker("NONE", None, None),
            ticker("not a ticker"),
        ]
    )  # fmt: skip
    fb = stored(database, "FB")
    assert (fb["name"], fb["ticker_type"], fb["composite_figi"], fb["is_active"]) == (
        "Buffer ETF",
        "ETF",
        "F2",
        True,
    )
    assert fb["delisted_date"] is None
    tiers = {
        symbol: stored(database, symbol)["universe_tier"]
        for symbol in ("FB", "VXX", "GLDX", "TSLL", "CEF", "ODD")
    }
    assert tiers == {
        "FB": "etf",
        "VXX": "etf",
        "GLDX": "etf",
        "TSLL": "etf",
        "CEF": "polygon_full",
        "ODD": "polygon_full",
    }
    assert stored(database, "ODD")["ticker_type"] == "XYZ" and stored(database, "NONE")["ticker_type"] is None
    assert facts["rows"] == 7 and facts["rejected_rows"] == 1 and facts["added"] == 7 and facts["reused"] == 1


def test_a_tier_given_by_seed_or_user_is_never_overwritten(database: Database, load: Load) -> None:
    database.execute(
        "INSERT INTO tickers (symbol, universe_tier) VALUES ('MINE', 'custom'), ('R3', 'russell3000')"
    )
    load(
        tickers=[
            ticker("AAPL"),
            ticker("SPY", kind="ETF"),
            ticker("MINE", kind="ETF"),
            ticker("R3", kind="ETN"),
        ]
    )
    tiers = [stored(database, symbol)["universe_tier"] for symbol in ("AAPL", "SPY", "MINE", "R3")]
    assert tiers == ["sp500", "etf", "custom", "russell3000"]


def test_a_symbol_known_from_bars_becomes_an_etf_and_leaves_the_tier_with_its_product(
    database: Database, load: Load
) -> None:
    store_bars(database, "META2", {SESSION: 10.0})
    load(tickers=[ticker("META2", "Metaverse ETF", "ETF")])
    assert stored(database, "META2")["universe_tier"] == "etf"
    load(tickers=[ticker("META2", "Meta Platforms", "CS")])
    assert stored(database, "META2")["universe_tier"] == "polygon_full"


def test_delisting_and_relisting_are_followed_both_ways(database: Database, load: Load) -> None:
    gone = [ticker("SAIL", active=False, delisted=date(2022, 8, 16)), ticker("A")]
    load(tickers=gone)
    assert (stored(database, "SAIL")["is_active"], stored(database, "SAIL")["delisted_date"]) == (
        False,
        date(2022, 8, 16),
    )
    load(tickers=[*gone, ticker("SAIL", "Some Co")])
    assert (stored(database, "SAIL")["is_active"], stored(database, "SAIL")["delisted_date"]) == (True, None)
    load(tickers=gone)
    assert stored(database, "SAIL")["is_active"] is False


def test_what_the_vendor_omits_this_time_is_kept(database: Database, load: Load) -> None:
    load(tickers=[ticker("A", "Agilent", figi="F1")])
    load(tickers=[ticker("A", None, None, exchange=None)])
    row = stored(database, "A")
    assert (row["name"], row["ticker_type"], row["primary_exchange"], row["composite_figi"]) == (
        "Agilent", "CS", "XNYS", "F1",
    )  # fmt: skip


def test_a_symbol_in_neither_list_is_active_while_its_bars_go_on(database: Database, load: Load) -> None:
    store_bars(database, "TRADES", {SESSION: 10.0})
    store_bars(database, "SILENT", {session_offset(SESSION, -80): 10.0})
    database.execute("INSERT INTO tickers (symbol) VALUES ('NOBARS')")
    database.execute("UPDATE tickers SET is_active = false WHERE symbol = 'TRADES'")
    load(tickers=[ticker("A"), ticker("GONE", active=False, delisted=SESSION)])
    store_bars(database, "GONE", {SESSION: 10.0})
    load(tickers=[ticker("A")])
    active = {s: stored(database, s)["is_active"] for s in ("TRADES", "SILENT", "NOBARS", "GONE", "A")}
    assert active == {"TRADES": True, "SILENT": False, "NOBARS": True, "GONE": False, "A": True}


def test_a_list_without_an_active_symbol_changes_nothing_and_says_why(database: Database, load: Load) -> None:
    load(tickers=[ticker("A")])
    facts = load(tickers=[ticker("A", active=False, delisted=SESSION)])
    assert facts == {"failure": "the vendor's list of tickers holds no active symbol: run again later"}
    assert stored(database, "A")["is_active"]


def test_an_unchanged_list_of_thirty_thousand_touches_no_row(database: Database, load: Load) -> None:
    listed = [
        ticker(f"S{n:05d}", f"Company {n}", "ETF" if n % 5 == 0 else "CS", figi=f"F{n}")
        for n in range(28_000)
    ]
    listed += [
        ticker(f"S{n:05d}", f"Before {n}", active=False, delisted=date(2020, 1, 2)) for n in range(2_000)
    ]
    first = load(tickers=listed)
    assert (first["added"], first["reused"]) == (28_000, 2_000)
    # a row that is only locked keeps its place but gets an xmax
    state = "SELECT md5(string_agg(ctid::text || xmin || xmax, ',' ORDER BY id)) FROM tickers"
    before, known = (
        database.value(state),
        database.value("SELECT md5(string_agg(b::text, ',' ORDER BY symbol)) FROM listing_breaks b"),
    )
    started = time.perf_counter()
    again = load(tickers=listed)
    assert (again["added"], again["changed"]) == (0, 0)
    assert database.value(state) == before
    assert (
        database.value("SELECT md5(string_agg(b::text, ',' ORDER BY symbol)) FROM listing_breaks b") == known
    )
    assert time.perf_counter() - started < 4


# -- listings ---------------------------------------------------------------------------------------------------------


def test_another_company_under_a_ticker_begins_on_the_session_after_the_delisting(
    database: Database, load: Load
) -> None:
    old = ticker("FB", "Facebook, Inc.", active=False, delisted=date(2026, 4, 2), figi="F1")
    load(tickers=[old, ticker("FB", "Buffer ETF", "ETF", figi="F2")])
    first = date(2026, 4, 6)  # the 2nd was Maundy Thursday
    assert breaks(database) == [("FB", first, "delisted 2026-04-02: Facebook, Inc.")]
    corrected = ticker("FB", "Facebook, Inc.", active=False, delisted=date(2026, 3, 31), figi="F1")
    load(tickers=[corrected, ticker("FB", "Buffer ETF", "ETF", figi="F2")])
    assert [row[1] for row in breaks(database)] == [date(2026, 4, 1)]


def test_a_figi_that_changes_with_the_name_begins_another_company(database: Database, load: Load) -> None:
    before = session_offset(SESSION, -1)
    load(tickers=[ticker("X", "Old Co", figi="F1"), ticker("Y", "Steady", figi="F3")], session=before)
    load(tickers=[ticker("X", "New Co", figi="F2"), ticker("Y", "Steady", figi="F4")])
    assert breaks(database) == [("X", SESSION, "composite FIGI changed from F1 to F2")]
    load(tickers=[ticker("X", "New Co", figi="F2")], session=session_offset(SESSION, 1))
    assert len(breaks(database)) == 1


def test_every_read_of_bars_sees_one_company(database: Database, load: Load) -> None:
    days = sessions_between(date(2026, 3, 2), SESSION)
    store_bars(database, "FB", dict.fromkeys(days, 100.0))
    old = ticker("FB", "Facebook, Inc.", active=False, delisted=date(2026, 4, 2), figi="F1")
    load(tickers=[old, ticker("FB", "Buffer ETF", "ETF", figi="F2")])
    load(splits=[("FB", date(2026, 5, 1), 1.0, 2.0)])
    raw = inputs.raw_bars(database, ["FB"], SESSION)
    adjusted = inputs.adjusted_bars(database, ["FB"], SESSION)
    assert raw.schema == adjusted.schema == pl.Schema(BAR_SCHEMA)
    assert raw["date"].to_list() == adjusted["date"].to_list() == [d for d in days if d >= date(2026, 4, 6)]
    assert adjusted["close"][0] == 50.0
    earlier = date(2026, 4, 2)
    assert inputs.raw_bars(database, ["FB"], earlier)["date"].min() == days[0]


# -- splits -----------------------------------------------------------------------------------------------------------


def split_rows(database: Database) -> list[tuple[Any, ...]]:
    found = database.rows(
        "SELECT symbol, execution_date, split_from, split_to, is_applied, finding FROM splits ORDER BY 1, 2"
    )
    return [tuple(row.values()) for row in found]


def test_a_contradicting_list_becomes_one_record_by_the_bars(database: Database, load: Load) -> None:
    store_bars(database, "SOPA", {date(2026, 4, 30): 1.0, date(2026, 5, 1): 10.5})
    facts = load(
        splits=[
            ("SOPA", date(2026, 5, 1), 15.0, 1.0), ("SOPA", date(2026, 5, 1), 10.0, 1.0),
            ("SOPA", date(2026, 5, 1), 10.0, 1.0), ("DOV", date(2026, 4, 30), 1000.0, 1238.0),
            ("SOON", date(2026, 5, 6), 1.0, 2.0),
        ]
    )  # fmt: skip
    finding = "the ratio is no split's: a spin-off or another distribution coded as one"
    assert split_rows(database) == [
        ("DOV", date(2026, 4, 30), 1000.0, 1238.0, False, finding),
        ("SOPA", date(2026, 5, 1), 10.0, 1.0, True, None),
    ]
    (refused,) = database.rows("SELECT * FROM rejected_rows")
    assert (refused["dataset"], refused["session_date"], refused["symbol"]) == (
        "splits",
        date(2026, 5, 1),
        "SOPA",
    )
    assert refused["detail"].startswith("1.0 for 15.0, kept ratio 0.1")
    assert (facts["not_applied"], facts["doubled_entries"], facts["rejected_rows"]) == (1, 1, 1)
    applied = inputs.splits(database, ["SOPA", "DOV"], SESSION)
    assert applied["symbol"].to_list() == ["SOPA"]


def test_the_same_list_again_touches_no_split(database: Database, load: Load) -> None:
    listed = [(f"S{n}", date(2026, 5, 1), 1.0, 2.0) for n in range(20)]
    load(splits=listed)
    state = "SELECT md5(string_agg(ctid::text || xmin || xmax, ',' ORDER BY symbol)) FROM splits"
    before = database.value(state)
    load(splits=listed)
    assert database.value(state) == before


def test_a_split_that_the_vendor_withdraws_is_applied_no_more_and_its_return_applies_it(
    database: Database, load: Load
) -> None:
    others = [(f"S{n}", date(2026, 5, 1), 1.0, 2.0) for n in range(20)]
    wrong = ("ENVX", date(2025, 7, 17), 7.0, 8.0)
    database.execute("INSERT INTO splits VALUES ('MINE', '2025-07-17', 1, 3, NULL, 'user')")
    load(splits=[*others, wrong])
    assert ("ENVX", date(2025, 7, 17), 7.0, 8.0, True, None) in split_rows(database)
    load(splits=others)
    gone = ("ENVX", date(2025, 7, 17), 7.0, 8.0, False, "the vendor does not list it any more")
    assert gone in split_rows(database)
    assert ("MINE", date(2025, 7, 17), 1.0, 3.0, True, None) in split_rows(database)
    load(splits=[*others, wrong])
    assert ("ENVX", date(2025, 7, 17), 7.0, 8.0, True, None) in split_rows(database)


def test_a_list_that_is_suddenly_short_withdraws_nothing_and_is_noted(database: Database, load: Load) -> None:
    load(splits=[(f"S{n}", date(2026, 5, 1), 1.0, 2.0) for n in range(20)])
    facts = load(splits=[("S0", date(2026, 5, 1), 1.0, 2.0)])
    assert (
        facts["notes"]
        == "kept what a short list lacks: 1 rows against a median of 20 in the 1 sessions before"
    )
    assert all(row[4] for row in split_rows(database)) and len(split_rows(database)) == 20


def test_the_watchlist_is_told_of_splits_that_are_not_applied(database: Database, load: Load) -> None:
    check = splits_of_the_watchlist_without_findings
    load(splits=[("DELL", date(2026, 4, 30), 1.0, 1.238), ("ZZZ", date(2026, 4, 30), 1.0, 1.238)])
    told = check(database=database, clock=SessionClock())
    assert not told.passed and told.severity == dg.AssetCheckSeverity.WARN
    (line,) = told.metadata["watchlist"].value
    assert line.startswith("DELL 2026-04-30: the ratio is no split's")
    assert told.metadata["not_applied"].value == 2
    load(splits=[("NVDA", date(2026, 4, 30), 1.0, 10.0)])
    database.execute("DELETE FROM splits WHERE NOT is_applied")
    assert check(database=database, clock=SessionClock()).passed


def test_the_markets_nights_are_judged_by_the_splits_on_record(database: Database, load: Load) -> None:
    before = session_offset(SESSION, -1)
    store_bars(database, "HALF", {before: 100.0, SESSION: 50.0})
    store_bars(database, "CALM", {before: 100.0, SESSION: 101.0})
    store_bars(database, "DONE", {before: 100.0, SESSION: 50.0})
    load(splits=[("DONE", SESSION, 1.0, 2.0), ("CALM", SESSION, 1.0, 3.0)])
    found = inputs.market_findings(database, SESSION)
    assert found.select("symbol", "kind").rows() == [
        ("CALM", "split_without_jump"),
        ("HALF", "jump_without_split"),
    ]


def test_the_recorded_spin_offs_of_large_names_are_stored_and_not_applied(
    database: Database, load: Load, shared_data: Path
) -> None:
    recorded = pl.read_csv(shared_data / "reference" / "splits_sp500_raw_2014_2021.csv", try_parse_dates=True)
    rows = recorded.select("symbol", "ex_date", pl.lit(1.0), "split_coefficient").rows()
    facts = load(splits=rows, session=date(2021, 4, 21))
    assert (facts["rows"], facts["not_applied"], facts["rejected_rows"]) == (
        28,
        12,
        0,
    )  # of the four years before
    assert set(split_rows(database)) >= {("AAPL", date(2020, 8, 31), 1.0, 4.0, True, None)}
