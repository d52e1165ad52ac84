"""Grouped daily bars over REST: the unadjusted day, its session, and rows that no market has printed."""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
from collections.abc import Callable
from datetime import date, datetime, time
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kapman_resources import calendar
from kapman_resources.market_data import (
    BadCredentials,
    NotEntitled,
    NotYetPublished,
    VendorAnswerError,
    VendorError,
    VendorUnreachable,
)
from kapman_resources.market_data.protocol import RAW_BAR_SCHEMA, BarFile, MissingFile
from kapman_resources.market_data.rest_wire import bar_page
from kapman_simulator.server import Serving

SESSION = date(2026, 5, 5)
Make = Callable[..., Any]


def end_of(session: date, at: time = time(16)) -> int:
    return int(datetime.combine(session, at, calendar.NEW_YORK).timestamp()) * 1000


def bar(symbol: str, **fields: Any) -> dict[str, Any]:
    whole = {
        "T": symbol,
        "o": 1,
        "h": 2.5,
        "l": 0.5,
        "c": 2,
        "v": 1000.5,
        "vw": 1.7,
        "n": 9,
        "t": end_of(SESSION),
    }
    return whole | fields


def the(answers: Any) -> BarFile:
    (found,) = answers
    assert isinstance(found, BarFile), found
    return found


def test_grouped_bars_are_the_unadjusted_ones_in_order_with_vwap(
    small_vendor: Serving, vendor_session: date, rest_client: Make
) -> None:
    split = small_vendor.simulation.source.splits.sort("execution_date").row(0, named=True)
    before = calendar.session_offset(split["execution_date"], -1)
    asked = [before, split["execution_date"], date(2026, 6, 13), vendor_session]  # the third is a Saturday
    answers = list(rest_client(small_vendor.url, small_vendor.api_key).grouped(asked))
    assert [answer.session for answer in answers] == asked
    assert isinstance(answers[2], MissingFile) and isinstance(answers[2].error, NotYetPublished)
    for file in (answers[0], answers[1], answers[3]):
        assert isinstance(file, BarFile) and (file.source, file.label) == ("grouped", "SIMULATED")
        assert file.etag is None and not file.unchanged and dict(file.rows.schema) == RAW_BAR_SCHEMA
        names = ["symbol", "open", "high", "low", "close", "volume", "vwap"]
        truth = small_vendor.simulation.bars_of(file.session).select(names)
        assert file.rows.select(names).sort("symbol").equals(truth.sort("symbol")), file.session
        assert file.rows["session"].unique().to_list() == [file.session]
        assert file.rows["vwap"].null_count() == 0


def test_the_file_is_described_as_it_came(loopback: Any, reply: Make, rest_client: Make) -> None:
    results = json.dumps([bar("NA"), bar("TRUE")])
    packed = [
        gzip.compress(f'{{"status":"DELAYED","request_id":"{n}","results":{results}}}'.encode()) for n in "12"
    ]
    headers = {"Content-Encoding": "gzip", "x-kapman-data-label": "RECORDED"}
    loopback.replies(*(reply(body, headers=headers) for body in packed))
    rest = rest_client(loopback.url)
    first, second = the(rest.grouped([SESSION])), the(rest.grouped([SESSION]))
    assert first.rows["symbol"].to_list() == ["NA", "TRUE"] and first.label == "RECORDED"
    assert first.size_bytes == len(packed[0])
    # the same bars have the same checksum, whatever id the answer carries
    assert first.checksum == second.checksum == hashlib.sha256(results.encode()).hexdigest()
    assert loopback.seen[0].path == "/v2/aggs/grouped/locale/us/market/stocks/2026-05-05?adjusted=false"


@pytest.mark.parametrize(
    ("session", "at"),
    [
        (date(2026, 5, 5), time(16)), (date(2025, 11, 28), time(13)), (date(2020, 10, 14), time(16)),
        (date(2026, 3, 6), time(16)), (date(2026, 3, 9), time(16)), (date(2025, 10, 31), time(16)),
        (date(2025, 11, 3), time(16)),
    ],
)  # fmt: skip
def test_the_stamp_is_the_window_s_end_and_its_new_york_date_the_session(
    session: date, at: time, loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    loopback.replies(reply(wire.page(bar("AAPL", t=end_of(session, at)))))
    assert the(rest_client(loopback.url).grouped([session])).rows["session"].to_list() == [session]


def test_the_documented_stamp_is_read_as_documented(
    loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    loopback.replies(reply(wire.page(bar("AAPL", t=1602705600000))))
    assert the(rest_client(loopback.url).grouped([SESSION])).rows["session"].to_list() == [date(2020, 10, 14)]


def test_rows_that_no_market_has_printed_pass_through_to_cleaning(
    loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    rows = [
        bar("AAPL"), bar("\x01\x1b\0X"), bar("HUGE", h=9e11), bar("BACpL", o=-1, v=0), bar("AAPL", c=3),
        bar("TEXT", o="1", vw="1.7", v=[]), bar("LATE", t="now"), bar("FAR", t=10**18), bar("EARLY", t=-1),
        {"T": "BARE"}, {"c": 5}, bar(None), bar(7), 7, None, bar("NULLS", o=None, vw=None, t=None),
        bar("BIG", v=10**400), bar("FLAG", c=True),
    ]  # fmt: skip
    loopback.replies(reply(wire.page(*rows)))
    got = the(rest_client(loopback.url).grouped([SESSION])).rows
    assert got.height == len(rows) and dict(got.schema) == RAW_BAR_SCHEMA
    assert got["symbol"].to_list() == [
        "AAPL", "\x01\x1b\ufffdX", "HUGE", "BACpL", "AAPL", "TEXT", "LATE", "FAR", "EARLY", "BARE",
        None, None, None, None, None, "NULLS", "BIG", "FLAG",
    ]  # fmt: skip
    assert got["high"][2] == 9e11 and got["open"][3] == -1 and got["volume"][3] == 0
    text = got.row(5, named=True)
    assert (text["open"], text["vwap"], text["volume"], text["close"]) == (None, None, None, 2.0)
    assert got["session"].to_list()[6:10] == [None] * 4 and got["close"][10] == 5.0
    assert got["volume"][16] is None and got["close"][17] is None


_values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.floats(allow_nan=False, allow_infinity=False)
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("Tohlcvt") | st.just("vw"), _values), max_size=6))
def test_whatever_json_stands_in_a_grouped_day_no_row_of_it_is_lost(rows: list[dict[str, Any]]) -> None:
    frame, checksum = bar_page(json.dumps({"results": rows}).encode()).rows
    assert frame.height == len(rows) and dict(frame.schema) == RAW_BAR_SCHEMA and len(checksum) == 64
    for row, got in zip(rows, frame.iter_rows(named=True), strict=True):
        close = row.get("c")
        numeric = isinstance(close, int | float) and not isinstance(close, bool)
        assert got["close"] == (pytest.approx(close) if numeric else None)


@pytest.mark.parametrize(
    "body", [b'{"status":"OK","resultsCount":0}', b'{"status":"OK","results":[]}', b'{"results":null}', b"{}"]
)
def test_an_empty_day_is_not_yet_published(
    body: bytes, loopback: Any, reply: Make, rest_client: Make
) -> None:
    loopback.replies(reply(body))
    (missing,) = rest_client(loopback.url).grouped([SESSION])
    assert isinstance(missing, MissingFile) and isinstance(missing.error, NotYetPublished)
    assert "2026-05-05" in str(missing.error) and "again later" in str(missing.error)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (403, b'{"message":"Your plan doesn\'t include this data timeframe."}', NotEntitled),
        (403, b'{"message":"Attempted to request today\'s data before end of day."}', NotYetPublished),
        (404, b"404 page not found", VendorAnswerError),
        (400, b'{"error":"bad date"}', VendorAnswerError),
        (200, b'{"results":{"a":1}}', VendorAnswerError),
    ],
)
def test_what_concerns_one_session_leaves_the_sessions_after_it(
    status: int,
    body: bytes,
    kind: type[VendorError],
    loopback: Any,
    reply: Make,
    rest_client: Make,
    wire: Any,
) -> None:
    days = [date(2026, 5, 4), SESSION, date(2026, 5, 6)]
    good = reply(wire.page(bar("AAPL")))
    loopback.answer = lambda path: reply(body, status) if str(SESSION) in path else good
    answers = list(rest_client(loopback.url).grouped(days))
    assert [answer.session for answer in answers] == days
    assert [isinstance(answer, BarFile) for answer in answers] == [True, False, True]
    assert isinstance(answers[1], MissingFile) and isinstance(answers[1].error, kind)


@pytest.mark.parametrize(("status", "kind"), [(401, BadCredentials), (500, VendorUnreachable)])
def test_what_concerns_all_sessions_is_raised_after_the_good_ones(
    status: int, kind: type[VendorError], loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    good = reply(wire.page(bar("AAPL")))
    loopback.answer = lambda path: good if str(SESSION) in path else reply(b"", status)
    answers = rest_client(loopback.url).grouped([SESSION, date(2026, 5, 6), date(2026, 5, 7)])
    assert isinstance(next(answers), BarFile)
    with pytest.raises(kind):
        next(answers)


def test_few_days_run_ahead_of_a_slow_reader(
    loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    good = reply(wire.page(bar("AAPL")))
    taken, most = threading.Semaphore(0), 0

    def answer(path: str) -> Any:
        taken.release()
        return good

    loopback.answer = answer
    sessions = calendar.sessions_between(date(2026, 1, 2), date(2026, 3, 2))
    for number, file in enumerate(rest_client(loopback.url).grouped(sessions)):
        assert isinstance(file, BarFile) and file.session == sessions[number]
        most = max(most, len(loopback.seen) - number)
    assert most <= 4 and len(loopback.seen) == len(sessions)


def test_a_day_of_twelve_thousand_rows_is_decoded_whole(
    loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    loopback.replies(reply(wire.page(*(bar(f"S{n}", c=n) for n in range(12_000)), bar("ODD", c="x"))))
    rows = the(rest_client(loopback.url).grouped([SESSION])).rows
    assert rows.height == 12_001 and rows["close"].to_list()[:3] == [0.0, 1.0, 2.0]
    assert rows.filter(pl.col("close").is_null())["symbol"].to_list() == ["ODD"]
