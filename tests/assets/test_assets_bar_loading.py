"""Bars from the simulated vendor into ohlcv_daily: whatever goes wrong, the table holds exactly the right rows.

The flat-file and REST clients are the real ones; only Dagster is left out (test_assets_bar_runs has it).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import date
from types import SimpleNamespace
from typing import Any

import httpx2 as httpx
import polars as pl
import psycopg
import pytest
from polars.testing import assert_frame_equal

from kapman_assets.bar_loading import BarLoad, load_bars
from kapman_assets.stages import MixedDataError
from kapman_metrics.bars import TEST_SYMBOLS
from kapman_resources import calendar
from kapman_resources.database import Database
from kapman_resources.market_data import (
    BadCredentials,
    NotEntitled,
    NotYetPublished,
    VendorAnswerError,
    VendorUnreachable,
)
from kapman_resources.market_data.flat_files import STOCK_DAYS, FlatFiles, key_of
from kapman_resources.market_data.polygon import Polygon
from kapman_resources.market_data.rest import RestClient
from kapman_simulator.server import Serving

COLUMNS = ["symbol", "open", "high", "low", "close", "volume", "vwap"]
TYPES = {"symbol": pl.String} | dict.fromkeys(COLUMNS[1:], pl.Float64)


@pytest.fixture(autouse=True)
def boto_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda seconds: None))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(autouse=True)
def rest_does_not_wait() -> Iterator[None]:
    import stamina

    with stamina.set_testing(True, attempts=10, cap=True):
        yield


@pytest.fixture
def vendor(small_vendor: Serving) -> Iterator[Polygon]:
    files = FlatFiles(
        endpoint=small_vendor.url,
        bucket="flatfiles",
        access_key=small_vendor.s3_key_id,
        secret_key=small_vendor.s3_secret,
    )
    client = Polygon(files, RestClient(base_url=small_vendor.url, api_key=small_vendor.api_key))
    yield client
    client.close()


@pytest.fixture
def sessions(vendor_session: date) -> list[date]:
    """Five sessions, the last one the newest published."""
    return [calendar.session_offset(vendor_session, -4 + i) for i in range(5)]


def fault(vendor: Serving, **plan: Any) -> None:
    httpx.post(f"{vendor.url}/simulator/faults", json=plan, trust_env=False).raise_for_status()


def load(database: Database, vendor: Polygon, sessions: list[date], *, overdue: bool = False) -> BarLoad:
    return load_bars(database, vendor, sessions, lambda session: overdue)


def stored(database: Database, session: date) -> pl.DataFrame:
    query = f"SELECT {', '.join(COLUMNS)} FROM ohlcv_daily WHERE time = session_time(%(session)s)"
    return database.frame(query, {"session": session}, TYPES).sort("symbol")


def truth(vendor: Serving, session: date) -> pl.DataFrame:
    """The session's bars as they must be stored: all but the exchanges' test symbols."""
    bars = vendor.simulation.bars_of(session).filter(~pl.col("symbol").is_in(TEST_SYMBOLS))
    return bars.select(pl.col(n).cast(t) for n, t in TYPES.items()).sort("symbol")


def exchange_tests(vendor: Serving, session: date) -> int:
    return vendor.simulation.bars_of(session).height - truth(vendor, session).height


def assert_all_stored(database: Database, vendor: Serving, sessions: list[date]) -> None:
    for session in sessions:
        assert_frame_equal(stored(database, session), truth(vendor, session), rel_tol=1e-12)


def manifest(database: Database, session: date, source: str = "flatfile") -> dict[str, Any]:
    query = "SELECT * FROM load_manifest WHERE dataset = 'ohlcv_daily' AND session_date = %s AND source = %s"
    (row,) = database.rows(query, (session, source))
    return row


def versions(database: Database) -> list[dict[str, Any]]:
    """Which transaction wrote each row of bars, manifest and tickers: the same list when nothing was written."""
    parts = [
        f"SELECT '{table}' AS name, {key} AS key, xmin::text AS version FROM {table}"
        for table, key in (
            ("ohlcv_daily", "symbol || time"),
            ("load_manifest", "source || session_date"),
            ("tickers", "symbol"),
        )
    ]
    return database.rows(" UNION ALL ".join(parts) + " ORDER BY 1, 2")


# -- the good case ----------------------------------------------------------------------------------------------------


def test_a_load_holds_every_bar_with_its_vwap_and_says_where_it_came_from(
    database: Database, vendor: Polygon, small_vendor: Serving, sessions: list[date]
) -> None:
    done = load(database, vendor, sessions)
    assert done.written == sessions and not done.missing and not done.notes and not done.reloaded
    assert_all_stored(database, small_vendor, sessions)
    row = manifest(database, sessions[0])
    assert row["row_count"] == truth(small_vendor, sessions[0]).height and row["size_bytes"] > 1000
    assert len(row["etag"]) == 32 and len(row["checksum"]) == 64 and row["loaded_at"] and row["last_modified"]
    assert manifest(database, sessions[0], "grouped")["row_count"] == row["row_count"] + row["rejected_count"]
    assert database.value("SELECT array_agg(DISTINCT source) FROM ohlcv_daily") == ["flatfile"]


def test_bars_create_and_date_the_symbols(
    database: Database, vendor: Polygon, small_vendor: Serving, sessions: list[date]
) -> None:
    load(database, vendor, sessions[2:])
    load(database, vendor, sessions[:2])
    new = database.rows("SELECT * FROM tickers WHERE universe_tier = 'polygon_full' ORDER BY symbol")
    assert len(new) > 20
    symbol = new[0]["symbol"]
    assert (new[0]["first_ohlcv_date"], new[0]["last_ohlcv_date"]) == (sessions[0], sessions[-1]), symbol
    assert database.value("SELECT universe_tier FROM tickers WHERE symbol = 'SPY'") == "etf"


def test_an_unchanged_file_writes_nothing_at_all(
    database: Database, vendor: Polygon, sessions: list[date]
) -> None:
    load(database, vendor, sessions)
    before = versions(database)
    again = load(database, vendor, sessions)
    assert (again.unchanged, again.written) == (5, [])
    assert versions(database) == before


def test_a_range_over_months_makes_one_indexed_partition_each_and_refuses_a_wrong_time(
    database: Database, vendor: Polygon, small_vendor: Serving
) -> None:
    sessions = calendar.sessions_between(date(2026, 2, 25), date(2026, 4, 2))
    load(database, vendor, sessions)
    assert_all_stored(database, small_vendor, sessions[::7])
    partitions = database.rows(
        "SELECT c.relname, c.relpages, (SELECT count(*) FROM pg_index x WHERE x.indrelid = c.oid AND x.indisvalid) "
        "AS indexes FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = 'ohlcv_daily'::regclass ORDER BY 1"
    )
    assert [(p["relname"], p["indexes"]) for p in partitions] == [
        ("ohlcv_daily_2026_02", 2), ("ohlcv_daily_2026_03", 2), ("ohlcv_daily_2026_04", 2),
    ]  # fmt: skip
    for time in ("2026-03-03 00:00:01-05", "2026-03-03 00:00+00", "2026-03-10 00:00-05"):
        with pytest.raises(psycopg.errors.CheckViolation):
            database.execute(
                "INSERT INTO ohlcv_daily VALUES (%s, 'A', 1, 1, 1, 1, 1, NULL, 'flatfile')", (time,)
            )


def test_a_later_load_into_a_month_that_exists_keeps_its_other_sessions(
    database: Database, vendor: Polygon, small_vendor: Serving, sessions: list[date]
) -> None:
    load(database, vendor, [sessions[3]])
    load(database, vendor, [sessions[0]])
    load(database, vendor, sessions)
    assert_all_stored(database, small_vendor, sessions)


# -- replaced, late, forbidden ----------------------------------------------------------------------------------------


def test_a_replaced_file_replaces_its_session_and_the_difference_is_recorded(
    database: Database, vendor: Polygon, small_vendor: Serving, sessions: list[date]
) -> None:
    load(database, vendor, sessions)
    was = truth(small_vendor, sessions[1])
    a, b, c = was["symbol"][0], was["symbol"][1], was["symbol"][2]
    high = 1.25 * was["high"][0]
    corrections = [{"symbol": a, "high": high}, {"symbol": b, "volume": 1}, {"symbol": c, "removed": True}]
    fault(small_vendor, replace={str(sessions[1]): corrections})
    done = load(database, vendor, sessions)
    assert done.written == [sessions[1]] and done.unchanged == 4
    now = stored(database, sessions[1])
    expected = was.filter(pl.col("symbol") != c).with_columns(
        high=pl.when(pl.col("symbol") == a).then(high).otherwise("high"),
        volume=pl.when(pl.col("symbol") == b).then(1.0).otherwise("volume"),
    )
    assert_frame_equal(now, expected, rel_tol=1e-12)  # the vwap of the first load included
    (row,) = database.rows("SELECT * FROM load_revisions")
    assert (row["rows_added"], row["rows_removed"], row["rows_changed"]) == (0, 1, 2)
    assert row["largest_change"] == pytest.approx(0.25) and (
        row["largest_symbol"],
        row["largest_column"],
    ) == (a, "high")
    assert row["old_etag"] != row["new_etag"] == manifest(database, sessions[1])["etag"]
    assert (row["rows_before"], row["rows_after"]) == (was.height, was.height - 1)


def test_a_file_published_again_with_equal_content_only_moves_its_etag(
    database: Database, vendor: Polygon, small_vendor: Serving, sessions: list[date]
) -> None:
    load(database, vendor, sessions)
    bars = [v for v in versions(database) if v["name"] == "ohlcv_daily"]
    old = manifest(database, sessions[2])["etag"]
    fault(small_vendor, etag_only=[str(sessions[2])])
    done = load(database, vendor, sessions)
    assert done.written == [] and done.unchanged == 5
    assert manifest(database, sessions[2])["etag"] != old
    assert [v for v in versions(database) if v["name"] == "ohlcv_daily"] == bars
    assert database.value("SELECT count(*) FROM load_revisions") == 0


def test_a_file_that_is_not_there_yet_leaves_the_session_out_and_appears_later(
    database: Database, vendor: Polygon, small_vendor: Serving, sessions: list[date]
) -> None:
    fault(small_vendor, unpublished=[str(sessions[-1])])
    done = load(database, vendor, sessions)
    assert done.written == sessions[:-1]
    assert isinstance(done.missing[sessions[-1]], NotYetPublished)
    assert stored(database, sessions[-1]).height == 0
    fault(small_vendor)
    assert load(database, vendor, sessions).written == [sessions[-1]]
    assert_all_stored(database, small_vendor, sessions)


def test_an_overdue_file_is_stood_in_for_by_grouped_daily_until_it_appears(
    database: Database, vendor: Polygon, small_vendor: Serving, sessions: list[date]
) -> None:
    fault(small_vendor, unpublished=[str(sessions[-1])])
    done = load(database, vendor, sessions, overdue=True)
    assert done.written == sessions and done.stand_ins == [sessions[-1]] and not done.missing
    assert "grouped daily stands in" in done.notes[0]
    assert_all_stored(database, small_vendor, sessions)
    sources = "SELECT array_agg(DISTINCT source) FROM ohlcv_daily WHERE time = session_time(%s)"
    assert database.value(sources, (sessions[-1],)) == ["grouped"]
    again = load(database, vendor, sessions, overdue=True)  # the file is still not there
    assert again.written == [] and again.unchanged == 5 and not again.missing
    fault(small_vendor)
    assert load(database, vendor, sessions).written == [sessions[-1]]
    assert database.value(sources, (sessions[-1],)) == ["flatfile"]
    assert_all_stored(database, small_vendor, sessions)
    revision = database.rows("SELECT * FROM load_revisions ORDER BY id")[-1]
    assert (revision["old_source"], revision["new_source"], revision["rows_changed"]) == (
        "grouped",
        "flatfile",
        0,
    )


def test_without_file_and_without_grouped_daily_the_session_stays_missing(
    database: Database, vendor: Polygon, small_vendor: Serving, sessions: list[date]
) -> None:
    late = str(sessions[-1])
    fault(small_vendor, unpublished=[late], grouped_unavailable=[late])
    done = load(database, vendor, sessions, overdue=True)
    assert list(done.missing) == [sessions[-1]] and done.written == sessions[:-1]


def test_a_listed_file_that_may_not_be_read_is_a_lost_plan_and_never_stood_in_for(
    database: Database, vendor: Polygon, small_vendor: Serving, sessions: list[date]
) -> None:
    fault(small_vendor, forbidden=[str(sessions[1])])
    done = load(database, vendor, sessions, overdue=True)
    assert isinstance(done.missing[sessions[1]], NotEntitled)
    assert done.written == [s for s in sessions if s != sessions[1]]


# -- broken files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({"truncate": 700}, "not a whole gzip file"),
        ({"cut": 700}, "broke off while reading"),
        ({"drop_columns": ["close"]}, "column close is missing"),
    ],
)
def test_a_broken_file_stores_nothing_of_its_session_and_all_of_the_others(
    database: Database,
    vendor: Polygon,
    small_vendor: Serving,
    sessions: list[date],
    plan: dict[str, Any],
    words: str,
) -> None:
    fault(small_vendor, **{name: {str(sessions[2]): value} for name, value in plan.items()})
    done = load(database, vendor, sessions)
    assert isinstance(done.missing[sessions[2]], VendorAnswerError) and words in str(
        done.missing[sessions[2]]
    )
    fault(small_vendor)
    good = [s for s in sessions if s != sessions[2]]
    assert_all_stored(database, small_vendor, good)
    assert stored(database, sessions[2]).height == 0
    load(database, vendor, sessions)
    assert_all_stored(database, small_vendor, sessions)


def test_bad_rows_are_kept_apart_with_their_reason_and_the_good_ones_are_all_there(
    database: Database, vendor: Polygon, small_vendor: Serving, sessions: list[date]
) -> None:
    day = sessions[0]
    at = int(calendar.session_time(day).timestamp()) * 1_000_000_000
    good = truth(small_vendor, day)
    twice = good.row(3, named=True)
    rows = {
        f"NULL,100.5,1,2,3,0.5,{at},7": None,
        f"FALSE,100,1,2,3,0.5,{at},7": None,
        f"SPGpJ,100,1,2,3,0.5,{at},7": None,
        f"NEG,100,-1,2,3,0.5,{at},7": "price is not above zero",
        f"ZERO,100,1,0,3,0,{at},7": "price is not above zero",
        f"NANS,100,NaN,2,3,0.5,{at},7": "price is missing or not a number",
        f"EMPTY,100,,2,3,0.5,{at},7": "price is missing or not a number",
        f"INFI,100,1,inf,inf,0.5,{at},7": "price is missing or not a number",
        f"HIGH,100,1,2,1.5,0.5,{at},7": "high is below open or close",
        f"LOW,100,1,2,3,1.5,{at},7": "low is above open or close",
        f"VOL,-1,1,2,3,0.5,{at},7": "volume is negative",
        f"NOVOL,,1,2,3,0.5,{at},7": "volume is missing or not a number",
        f"LATE,100,1,2,3,0.5,{at + 86_400_000_000_000},7": "belongs to another session",
        f"ODD,100,1,2,3,0.5,{at + 1},7": "belongs to another session",
        f"ZVZZT,100,1,2,3,0.5,{at},7": "exchange test symbol",
        f"$BAD,100,1,2,3,0.5,{at},7": "symbol is not a ticker",
        f'"QUOTED,100,1,2,3,0.5,{at},7': "symbol is not a ticker",
        f"CTRL\x01,100,1,2,3,0.5,{at},7": "symbol is not a ticker",
        "SHORT,100,1": "symbol is not a ticker",
        f"LONG,100,1,2,3,0.5,{at},7,8,9": "symbol is not a ticker",
        f"{twice['symbol']},5,1,2,3,0.5,{at},7": None,  # the last of two rows is kept
    }
    fault(small_vendor, append_rows={str(day): list(rows)})
    done = load(database, vendor, [day])
    now = stored(database, day)
    added = [line.split(",")[0] for line, reason in rows.items() if reason is None]
    assert set(now["symbol"]) == set(good["symbol"]) | set(added) and now["symbol"].is_unique().all()
    assert now.filter(pl.col("symbol") == twice["symbol"])["close"].item() == 2.0
    refused = database.rows("SELECT symbol, reason FROM rejected_rows WHERE session_date = %s", (day,))
    own = exchange_tests(small_vendor, day)
    expected = [reason for reason in rows.values() if reason] + own * ["exchange test symbol"]
    assert sorted(r["reason"] for r in refused) == sorted([*expected, "duplicate of a later row"])
    assert done.rejected == len(refused) == manifest(database, day)["rejected_count"]
    # accounted for one by one: every line of the file is a stored or a refused row
    assert now.height + len(refused) == good.height + own + len(rows)
    fault(small_vendor)
    load(database, vendor, [day])
    assert_all_stored(database, small_vendor, [day])
    assert database.value("SELECT count(*) FROM rejected_rows") == own


# -- services in trouble ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 503, 429])
def test_files_that_answer_with_trouble_end_the_load_and_keep_what_came_before(
    database: Database, vendor: Polygon, small_vendor: Serving, sessions: list[date], status: int
) -> None:
    key = key_of(STOCK_DAYS, sessions[3])
    fault(small_vendor, statuses=[{"prefix": f"/flatfiles/{key}", "status": status, "times": 99}])
    with pytest.raises(VendorUnreachable, match=str(status)):
        load(database, vendor, sessions)
    fault(small_vendor)
    assert_all_stored(database, small_vendor, sessions[:3])
    assert load(database, vendor, sessions).written == sessions[3:]
    assert_all_stored(database, small_vendor, sessions)


def test_trouble_that_passes_is_not_even_noticed(
    database: Database, vendor: Polygon, small_vendor: Serving, sessions: list[date]
) -> None:
    key = key_of(STOCK_DAYS, sessions[3])
    fault(small_vendor, statuses=[{"prefix": f"/flatfiles/{key}", "status": 503, "times": 2}])
    assert load(database, vendor, sessions).written == sessions
    assert_all_stored(database, small_vendor, sessions)


def test_wrong_file_keys_are_told_apart_from_everything_else(
    database: Database, small_vendor: Serving, sessions: list[date]
) -> None:
    files = FlatFiles(endpoint=small_vendor.url, bucket="flatfiles", access_key="WRONG", secret_key="x")
    vendor = Polygon(files, RestClient(base_url=small_vendor.url, api_key=small_vendor.api_key))
    with pytest.raises(BadCredentials):
        load(database, vendor, sessions)
    vendor.close()
    assert database.value("SELECT count(*) FROM load_manifest") == 0


def test_bars_without_grouped_daily_lack_only_their_vwap_and_the_next_run_fills_it(
    database: Database, vendor: Polygon, small_vendor: Serving, sessions: list[date]
) -> None:
    fault(small_vendor, statuses=[{"prefix": "/v2/aggs/grouped", "status": 500, "times": 999}])
    done = load(database, vendor, sessions)
    assert done.written == sessions and "no vwap" in done.notes[0]
    assert database.value("SELECT count(vwap) FROM ohlcv_daily") == 0
    fault(small_vendor)
    again = load(database, vendor, sessions)
    assert again.written == [] and again.unchanged == 5
    assert_all_stored(database, small_vendor, sessions)
    before = versions(database)
    load(database, vendor, sessions)
    assert versions(database) == before


def test_garbage_in_grouped_daily_spoils_neither_bars_nor_the_vwap_of_others(
    database: Database, vendor: Polygon, small_vendor: Serving, sessions: list[date]
) -> None:
    garbage = [
        {"T": "\x01\x02", "o": 9e11, "h": 9e11, "l": 9e11, "c": 9e11, "v": 1, "vw": 9e11, "t": 1},
        {"T": "QQQQ", "vw": "x"}, {"T": None}, {},
    ]  # fmt: skip
    fault(small_vendor, grouped_rows={str(s): garbage for s in sessions})
    load(database, vendor, sessions)
    assert_all_stored(database, small_vendor, sessions)


def test_the_data_of_another_origin_is_refused_before_a_row_is_written(
    database: Database, vendor: Polygon, sessions: list[date]
) -> None:
    database.execute(
        "INSERT INTO load_manifest (dataset, session_date, source, row_count) "
        "VALUES ('ohlcv_daily', '2026-05-01', 'flatfile', 1)"
    )
    with pytest.raises(MixedDataError):
        load(database, vendor, sessions)
    assert database.value("SELECT count(*) FROM ohlcv_daily") == 0


def test_two_loads_of_the_same_sessions_at_once_double_nothing(
    database: Database, vendor: Polygon, small_vendor: Serving, sessions: list[date]
) -> None:
    month = calendar.sessions_between(date(2026, 5, 20), sessions[-1])
    failures: list[Exception] = []

    def work() -> None:
        try:
            with Database(database.url) as own:
                load(own, vendor, month)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert_all_stored(database, small_vendor, month)


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch"])
def test_a_key_that_is_refused_while_reading_is_no_lost_plan(
    database: Database, vendor: Polygon, small_vendor: Serving, sessions: list[date], code: str
) -> None:
    fault(small_vendor, statuses=[{"prefix": "/flatfiles", "status": 403, "times": 99, "code": code}])
    with pytest.raises(BadCredentials, match=code):
        load(database, vendor, sessions)


def test_sessions_older_than_the_plan_reaches_are_told_apart_from_missing_ones(
    database: Database, vendor: Polygon, small_vendor: Serving, sessions: list[date]
) -> None:
    fault(small_vendor, history_from=str(sessions[2]))
    done = load(database, vendor, sessions, overdue=True)
    assert done.written == sessions[2:]
    assert all(isinstance(error, NotEntitled) for error in done.missing.values()) and len(done.missing) == 2


def test_a_symbol_twice_in_grouped_daily_gives_its_bar_one_vwap(
    database: Database, vendor: Polygon, small_vendor: Serving, sessions: list[date]
) -> None:
    day = sessions[-1]
    symbol = truth(small_vendor, day)["symbol"][0]
    at = int(calendar.session_time(day).timestamp()) * 1000 + 16 * 3_600_000
    again = {"T": symbol, "o": 1, "h": 2, "l": 1, "c": 2, "v": 5, "vw": 1.5, "t": at}
    fault(small_vendor, grouped_rows={str(day): [again]})
    load(database, vendor, [day])
    now = stored(database, day)
    assert now.height == truth(small_vendor, day).height
    assert now.filter(pl.col("symbol") == symbol)["vwap"].item() == 1.5  # the last of the two


def test_grouped_daily_standing_in_is_judged_like_a_file(
    database: Database, vendor: Polygon, small_vendor: Serving, sessions: list[date]
) -> None:
    day = sessions[-1]
    at = int(calendar.session_time(day).timestamp()) * 1000 + 16 * 3_600_000
    good = {"o": 1, "h": 2, "l": 1, "c": 2, "v": 5, "t": at}
    rows = [
        {"T": "\x01\x02", **good},
        {"T": "BELOW", **good, "h": 1.5},
        {"T": "NEGAT", **good, "l": -1},
        {"T": "WRONG", **good, "t": at - 86_400_000},
        {"T": "NOPRC", "v": 5, "t": at},
        {"T": "FINE", **good},
    ]
    fault(small_vendor, unpublished=[str(day)], grouped_rows={str(day): rows})
    load(database, vendor, [day], overdue=True)
    assert set(stored(database, day)["symbol"]) == {*truth(small_vendor, day)["symbol"], "FINE"}
    refused = database.rows("SELECT reason FROM rejected_rows WHERE reason <> 'exchange test symbol'")
    assert sorted(row["reason"] for row in refused) == [
        "belongs to another session", "high is below open or close", "price is missing or not a number",
        "price is not above zero", "symbol is not a ticker",
    ]  # fmt: skip


def test_refused_rows_of_a_month_s_first_session_are_kept_like_any_other(
    database: Database, vendor: Polygon, small_vendor: Serving
) -> None:
    sessions = calendar.sessions_between(date(2026, 2, 25), date(2026, 4, 2))
    load(database, vendor, sessions)
    load(database, vendor, sessions)
    kept = database.rows("SELECT session_date, count(*) AS n FROM rejected_rows GROUP BY 1 ORDER BY 1")
    assert {row["session_date"]: row["n"] for row in kept} == {
        session: n for session in sessions if (n := exchange_tests(small_vendor, session))
    }
    recorded = database.rows(
        "SELECT session_date, rejected_count AS n FROM load_manifest WHERE source = 'flatfile'"
    )
    assert sum(row["n"] for row in recorded) == sum(row["n"] for row in kept) > 0
