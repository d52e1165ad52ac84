"""The REST client: complete answers of the simulated vendor, and every bad one that a vendor has given."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
import stamina

from kapman_resources import calendar
from kapman_resources.market_data import (
    BadCredentials,
    NotEntitled,
    VendorAnswerError,
    VendorError,
    VendorUnreachable,
)
from kapman_resources.market_data import rest as module
from kapman_resources.market_data.polygon import Polygon
from kapman_resources.market_data.protocol import RAW_CHAIN_SCHEMA, SPLIT_SCHEMA, TICKER_SCHEMA
from kapman_resources.market_data.rest import RestClient
from kapman_resources.settings import SettingsError, load_settings
from kapman_simulator.server import Serving

KEY = "secret-key-of-the-test"
SESSION = date(2026, 5, 5)
CHAIN = "/v3/snapshot/options/"

NewReply = Callable[..., Any]


def client(url: str, key: str = KEY) -> RestClient:
    return RestClient(base_url=url, api_key=key, requests_per_second=10_000)


def of(vendor: Serving) -> RestClient:
    return client(vendor.url, vendor.api_key)


def contract(strike: float = 200, **fields: Any) -> dict[str, Any]:
    details = {
        "ticker": f"O:AAPL260619C{int(strike * 1000):08}", "contract_type": "call",
        "exercise_style": "american",
        "expiration_date": "2026-06-19", "strike_price": strike, "shares_per_contract": 100,
    }  # fmt: skip
    return {"details": details} | fields


def page(*results: Any, status: str = "OK", **more: Any) -> bytes:
    return json.dumps({"status": status, "request_id": "r", "results": list(results)} | more).encode()


PARTS = ("day", "greeks", "last_quote", "last_trade", "underlying_asset")
ERROR_401 = b'{"status":"ERROR","request_id":"r","error":"Unknown API Key"}'
ERROR_403 = b'{"status":"NOT_AUTHORIZED","message":"You are not entitled to this data."}'
ERROR_429 = b'{"status":"ERROR","error":"You\'ve exceeded the maximum requests per minute"}'


# --- complete answers ---------------------------------------------------------------------------------------


def test_chains_are_complete_over_all_pages_and_symbols(small_vendor: Serving) -> None:
    symbols = ["AAPL", "BRK.B", "NVDA", "SPY", "TSLA"]
    capture = of(small_vendor).chains(symbols)
    assert capture.label == "SIMULATED" and capture.failed == {} and capture.empty == []
    assert dict(capture.rows.schema) == RAW_CHAIN_SCHEMA
    pages = 0
    for symbol in symbols:
        truth = small_vendor.simulation.chain_of(symbol)
        assert truth is not None
        ours = capture.rows.filter(pl.col("symbol") == symbol)
        assert ours["contract"].sort().to_list() == truth["contract"].sort().to_list()
        assert ours["open_interest"].sum() == truth["open_interest"].sum()
        assert ours["delta"].null_count() == truth["delta"].null_count() > 0
        pages += -(-truth.height // 250)
    assert capture.pages == pages > len(symbols)
    assert capture.rows["bid"].null_count() == capture.rows.height  # the plan has no quotes


def test_a_symbol_without_options_is_empty_and_not_an_error(small_vendor: Serving) -> None:
    capture = of(small_vendor).chains(["AAPL", "NOSUCH"])
    assert capture.empty == ["NOSUCH"] and capture.failed == {}
    assert capture.rows["symbol"].unique().to_list() == ["AAPL"]


def test_no_symbols_give_an_empty_capture() -> None:
    capture = client("http://127.0.0.1:1").chains([])
    assert capture.rows.height == capture.pages == 0 and dict(capture.rows.schema) == RAW_CHAIN_SCHEMA


def test_a_capture_is_stamped_by_the_clock_that_kapman_now_replaces(
    small_vendor: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAPMAN_NOW", "2026-05-05T22:57:00-04:00")
    assert of(small_vendor).chains(["AAPL"]).captured_at == datetime(2026, 5, 6, 2, 57, tzinfo=UTC)


def test_grouped_vwap_of_several_sessions_is_the_unadjusted_one(
    small_vendor: Serving, vendor_session: date
) -> None:
    split = small_vendor.simulation.source.splits.sort("execution_date").row(0, named=True)
    before = calendar.session_offset(split["execution_date"], -1)
    asked = [before, split["execution_date"], date(2026, 6, 13), vendor_session]  # the third is a Saturday
    got = of(small_vendor).grouped_vwap(asked)
    assert got.columns == ["symbol", "session", "vwap"]
    assert sorted(got["session"].unique()) == sorted({before, split["execution_date"], vendor_session})
    for session in got["session"].unique():
        truth = small_vendor.simulation.bars_of(session).select("symbol", "vwap").drop_nulls()
        ours = got.filter(pl.col("session") == session).select("symbol", "vwap")
        assert ours.sort("symbol").equals(truth.sort("symbol")), session


def test_splits_of_a_span_are_exact_ratios(small_vendor: Serving) -> None:
    since, until = date(2023, 1, 1), date(2026, 6, 12)
    got = of(small_vendor).splits(since, until)
    truth = small_vendor.simulation.splits().filter(pl.col("execution_date").is_between(since, until))
    assert dict(got.schema) == SPLIT_SCHEMA
    key = ["symbol", "execution_date", "split_from", "split_to"]
    assert got.select(key).sort(key).equals(truth.select(key).sort(key)) and got.height > 2
    assert set(got["adjustment_type"]) <= {"forward_split", "reverse_split"}
    day = truth["execution_date"][0]
    assert of(small_vendor).splits(day, day)["execution_date"].unique().to_list() == [day]


def test_the_reference_list_is_complete_over_its_pages(small_vendor: Serving) -> None:
    got = of(small_vendor).tickers()
    assert dict(got.schema) == TICKER_SCHEMA
    assert sorted(got["symbol"]) == sorted(small_vendor.simulation.tickers()["symbol"])
    assert got["symbol"].is_unique().all() and got["is_active"].any()


def test_the_vendor_s_two_services_answer_behind_one_protocol(
    small_vendor: Serving, vendor_session: date, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match="POLYGON_API_KEY is not set"):
        Polygon.from_settings(load_settings())
    for name, value in {
        "POLYGON_BASE_URL": small_vendor.url + "/", "POLYGON_S3_ENDPOINT": small_vendor.url,
        "POLYGON_API_KEY": small_vendor.api_key, "AWS_ACCESS_KEY_ID": small_vendor.s3_key_id,
        "AWS_SECRET_ACCESS_KEY": small_vendor.s3_secret,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    polygon = Polygon.from_settings(load_settings())
    assert polygon.check() == {"REST key": "ok", "flat-file keys": "ok"}
    (file,) = polygon.bars([vendor_session], {})
    assert set(polygon.vwap([vendor_session])["symbol"]) <= set(file.rows["symbol"])
    assert polygon.chains(["AAPL"]).rows.height > 250
    assert polygon.splits(vendor_session, vendor_session).height == 0
    assert polygon.tickers().height > 50
    polygon.close()


# --- paging -------------------------------------------------------------------------------------------------


def test_the_next_page_is_asked_from_the_configured_host_with_the_key_in_the_header_only(
    loopback: Any, other_host: Any, reply: NewReply
) -> None:
    follow = f"{other_host.url}{CHAIN}AAPL?cursor=abc"
    loopback.replies(
        reply(page(contract(200), next_url=follow)), reply(page(contract(210), status="DELAYED"))
    )
    capture = client(loopback.url).chains(["AAPL"])
    assert capture.rows["strike"].to_list() == [200.0, 210.0] and capture.pages == 2
    assert [seen.path for seen in loopback.seen] == [f"{CHAIN}AAPL?limit=250", f"{CHAIN}AAPL?cursor=abc"]
    assert all(seen.headers["Authorization"] == f"Bearer {KEY}" for seen in loopback.seen)
    assert not any(KEY in seen.path for seen in loopback.seen)
    assert other_host.seen == []


@pytest.mark.parametrize("form", ["//{host}/v3/x?cursor=1", "{url}//{host}/v3/x?cursor=1", "{url}@{host}/x"])
def test_no_form_of_next_page_sends_the_key_to_another_host(
    form: str, loopback: Any, other_host: Any, reply: NewReply
) -> None:
    host = other_host.url.removeprefix("http://")
    follow = form.format(url=loopback.url, host=host)
    loopback.replies(reply(page(contract(), next_url=follow)), reply(page()))
    client(loopback.url).chains(["AAPL"])
    assert other_host.seen == [] and len(loopback.seen) == 2


def test_a_redirect_is_not_followed(loopback: Any, other_host: Any, reply: NewReply) -> None:
    loopback.replies(reply(b"", 302, {"Location": other_host.url + "/"}))
    assert "HTTP 302" in client(loopback.url).chains(["AAPL"]).failed["AAPL"]
    assert other_host.seen == []


def test_a_cursor_that_was_seen_before_ends_the_paging_with_an_error(loopback: Any, reply: NewReply) -> None:
    def answer(path: str) -> Any:
        follow = {"limit=250": "a", "cursor=a": "b", "cursor=b": "a"}[path.split("?")[1]]
        return reply(page(contract(), next_url=f"https://vendor.invalid{CHAIN}AAPL?cursor={follow}"))

    loopback.answer = answer
    capture = client(loopback.url).chains(["AAPL"])
    assert "paging does not end" in capture.failed["AAPL"]
    assert capture.rows.height == 0 and len(loopback.seen) == 3


def test_ever_new_cursors_stop_at_the_page_cap(
    loopback: Any, reply: NewReply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_CAP", 5)
    loopback.answer = lambda path: reply(
        page(contract(), next_url=f"https://vendor.invalid{CHAIN}AAPL?cursor={len(loopback.seen)}")
    )
    assert "paging does not end (page 5)" in client(loopback.url).chains(["AAPL"]).failed["AAPL"]
    assert len(loopback.seen) == 5


def test_an_empty_page_with_a_next_one_does_not_end_the_chain(loopback: Any, reply: NewReply) -> None:
    follow = f"https://vendor.invalid{CHAIN}AAPL?cursor=x"
    loopback.replies(reply(page(next_url=follow)), reply(page(contract())))
    capture = client(loopback.url).chains(["AAPL"])
    assert capture.rows.height == 1 and capture.empty == []


def test_a_next_page_that_is_no_address_fails_its_symbol_only(loopback: Any, reply: NewReply) -> None:
    loopback.answer = lambda path: reply(page(contract(), next_url="http://[x" if "BAD" in path else None))
    capture = client(loopback.url).chains(["BAD", "AAPL"])
    assert list(capture.failed) == ["BAD"] and capture.rows["symbol"].to_list() == ["AAPL"]


# --- refusals -----------------------------------------------------------------------------------------------


def test_a_wrong_key_is_refused_at_once_and_never_printed(small_vendor: Serving) -> None:
    wrong = client(small_vendor.url)
    for ask in (
        lambda: wrong.chains(["AAPL", "MSFT"]),
        lambda: wrong.splits(SESSION, SESSION),
        lambda: wrong.grouped_vwap([SESSION]),
        wrong.tickers,
    ):
        with pytest.raises(
            BadCredentials, match=r"refused POLYGON_API_KEY \(Unknown API Key\): check"
        ) as refused:
            ask()
        assert KEY not in str(refused.value)
    assert "refused POLYGON_API_KEY" in wrong.check()


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [(401, ERROR_401, BadCredentials), (403, ERROR_403, NotEntitled)],
)
def test_a_refusal_is_not_asked_again(
    status: int, body: bytes, error: type[VendorError], loopback: Any, reply: NewReply
) -> None:
    loopback.replies(reply(body, status))
    with pytest.raises(error):
        client(loopback.url).chains(["AAPL"])
    assert len(loopback.seen) == 1


def test_a_plan_without_options_is_told_with_the_vendor_s_words(loopback: Any, reply: NewReply) -> None:
    loopback.replies(reply(ERROR_403, 403))
    with pytest.raises(NotEntitled, match=r"the plan does not include this data \(You are not"):
        client(loopback.url).chains(["AAPL", "MSFT"])


@pytest.mark.parametrize(
    "body",
    [b'{"status":"NOT_FOUND","message":"unknown"}', b"404 page not found", b"", b"[]"],
)
def test_one_symbol_that_fails_does_not_lose_the_others(body: bytes, loopback: Any, reply: NewReply) -> None:
    loopback.answer = lambda path: reply(body, 404) if "BAD" in path else reply(page(contract()))
    capture = client(loopback.url).chains(["AAPL", "BAD", "MSFT"])
    assert capture.rows["symbol"].to_list() == ["AAPL", "MSFT"]
    assert list(capture.failed) == ["BAD"] and "HTTP 404" in capture.failed["BAD"]


def test_a_lost_entitlement_of_one_symbol_is_its_own_failure(loopback: Any, reply: NewReply) -> None:
    loopback.answer = lambda path: reply(ERROR_403, 403) if "SPX" in path else reply(page(contract()))
    assert "the plan does not include" in client(loopback.url).chains(["AAPL", "SPX"]).failed["SPX"]


# --- retries ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "headers", "cut"),
    [
        (ERROR_429, 429, {"Retry-After": "1"}, False),
        (ERROR_429, 429, {}, False),
        (ERROR_429, 429, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, False),
        (b"<html>upstream</html>", 500, {}, False),
        (b"", 503, {}, False),
        (ERROR_429, 200, {}, False),
        (b"<html>maintenance</html>", 200, {}, False),
        (page(contract())[:-9], 200, {}, False),
        (page(contract())[:40], 200, {}, True),
        (b"not gzip at all", 200, {"Content-Encoding": "gzip"}, False),
    ],
    ids=[
        "429 with a wait", "429 without", "429 with a date", "500", "503", "200 that says ERROR",
        "200 with HTML",
        "200 with half a document", "a body cut off", "a body that does not unpack",
    ],
)  # fmt: skip
def test_a_passing_fault_is_retried_and_a_lasting_one_is_told_after_four_tries(
    body: bytes, status: int, headers: dict[str, str], cut: bool, loopback: Any, reply: NewReply
) -> None:
    bad = reply(body, status, headers, cut)
    loopback.replies(bad, bad, reply(page(contract())))
    assert client(loopback.url).chains(["AAPL"]).rows.height == 1
    assert len(loopback.seen) == 3
    loopback.seen.clear()
    loopback.replies(bad)
    with pytest.raises(VendorUnreachable, match=r"did not answer after 4 tries .*POLYGON_BASE_URL"):
        client(loopback.url).chains(["AAPL"])
    assert len(loopback.seen) == 4


def test_the_simulated_vendor_s_bad_minutes_are_survived(small_vendor: Serving) -> None:
    small_vendor.simulation.faults.set(
        json.dumps(
            {
                "statuses": [
                    {"prefix": CHAIN + "AAPL", "status": 429, "times": 2, "headers": {"Retry-After": "3"}},
                    {"prefix": CHAIN + "NVDA", "status": 502, "times": 3},
                    {"prefix": CHAIN + "SPY", "status": 404, "times": 1},
                ]
            }
        ).encode()
    )
    capture = of(small_vendor).chains(["AAPL", "NVDA", "SPY", "TSLA"])
    assert sorted(capture.rows["symbol"].unique()) == ["AAPL", "NVDA", "TSLA"]
    assert list(capture.failed) == ["SPY"]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between tries, noted and not made."""
    noted: list[float] = []

    async def note(seconds: float) -> None:
        noted.append(seconds)

    monkeypatch.setattr("stamina._core._smart_sleep", note)
    return noted


def test_the_vendor_s_own_wait_is_kept_and_without_one_the_pauses_grow(
    loopback: Any, reply: NewReply, waits: list[float]
) -> None:
    good = reply(page(contract()))
    with stamina.set_testing(False):
        loopback.replies(reply(ERROR_429, 429, {"Retry-After": "17"}), good)
        client(loopback.url).chains(["AAPL"])
        assert waits == [17.0]
        waits.clear()
        loopback.replies(*[reply(b"", 500)] * 3, good)
        client(loopback.url).chains(["AAPL"])
    assert len(waits) == 3 and 0.5 <= waits[0] <= 1 <= waits[1] <= 1.5 < 2 <= waits[2] <= 2.5


def test_a_wait_longer_than_patience_is_told_and_not_made(
    loopback: Any, reply: NewReply, waits: list[float]
) -> None:
    loopback.replies(reply(ERROR_429, 429, {"Retry-After": "3600"}))
    with stamina.set_testing(False), pytest.raises(VendorUnreachable, match="asks to wait 3600 s"):
        client(loopback.url).chains(["AAPL"])
    assert waits == [] and len(loopback.seen) == 1


def test_an_address_where_nobody_listens_says_what_to_check() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(VendorUnreachable, match=f"the vendor at {url} did not answer .*POLYGON_BASE_URL"):
            client(url).chains(["AAPL", "MSFT"])
        assert "did not answer" in client(url).check()


def test_an_address_without_a_scheme_says_what_to_check() -> None:
    with pytest.raises(VendorUnreachable, match="POLYGON_BASE_URL"):
        client("api.massive.com").chains(["AAPL"])


# --- what a page may hold -----------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b'{"status":"OK","results":null}', b'{"status":"OK"}', b"{}"])
def test_results_that_are_null_or_absent_mean_none(body: bytes, loopback: Any, reply: NewReply) -> None:
    loopback.replies(reply(body))
    rest = client(loopback.url)
    capture = rest.chains(["AAPL"])
    assert capture.empty == ["AAPL"] and capture.rows.height == 0
    assert rest.grouped_vwap([SESSION]).height == 0
    assert rest.splits(SESSION, SESSION).height == 0 and rest.tickers().height == 0


@pytest.mark.parametrize("results", [b'{"a":1}', b'"none"', b"[1,2]", b'[{"day":{}}]'])
def test_results_of_another_shape_are_refused_by_name(results: bytes, loopback: Any, reply: NewReply) -> None:
    loopback.replies(reply(b'{"status":"OK","results":' + results + b"}"))
    assert "page 1 has another shape" in client(loopback.url).chains(["AAPL"]).failed["AAPL"]
    if results != b'[{"day":{}}]':
        with pytest.raises(VendorAnswerError, match="page 1 has another shape"):
            client(loopback.url).grouped_vwap([SESSION])


@pytest.mark.parametrize(
    "optional",
    [
        {},
        {part: {} for part in PARTS},
        dict.fromkeys([*PARTS, "implied_volatility", "open_interest"]),
        {
            "day": dict.fromkeys(["close", "volume", "last_updated"]),
            "greeks": dict.fromkeys(["delta", "gamma", "theta", "vega"]),
            "last_quote": {"bid": None, "ask": None}, "last_trade": {"price": None},
        },
    ],
    ids=["all absent", "all empty", "all null", "all fields null"],
)  # fmt: skip
def test_every_optional_part_of_a_contract_may_be_missing(
    optional: dict[str, Any], loopback: Any, reply: NewReply
) -> None:
    loopback.replies(reply(page(contract(212.5, **optional))))
    capture = client(loopback.url).chains(["AAPL"])
    row = capture.rows.row(0, named=True)
    given = {
        "symbol": "AAPL", "contract": "O:AAPL260619C00212500", "expiration": date(2026, 6, 19),
        "strike": 212.5,
        "option_type": "call", "shares_per_contract": 100.0,
    }  # fmt: skip
    assert row == dict.fromkeys(RAW_CHAIN_SCHEMA) | given


def test_every_field_arrives_where_it_belongs_and_unknown_ones_are_ignored(
    loopback: Any, reply: NewReply
) -> None:
    full = contract(
        200,
        break_even_price=205, implied_volatility=0.3, open_interest=1500, fmv=1, new_field={"a": []},
        day={"high": 6, "low": 4, "close": 5, "volume": 12.5, "last_updated": 1777953600000000000},
        greeks={"delta": 0.5, "gamma": 0.02, "theta": -0.1, "vega": 0.2, "rho": 1},
        last_quote={"bid": 4.9, "ask": 5.1, "midpoint": 5, "timeframe": "DELAYED"},
        last_trade={"price": 5.05, "size": 1},
    )  # fmt: skip
    loopback.replies(reply(gzip.compress(page(full, count=1)), headers={"Content-Encoding": "gzip"}))
    assert client(loopback.url).chains(["AAPL"]).rows.row(0, named=True) == {
        "symbol": "AAPL", "contract": "O:AAPL260619C00200000", "expiration": date(2026, 6, 19),
        "strike": 200.0,
        "option_type": "call", "bid": 4.9, "ask": 5.1, "last": 5.05, "day_close": 5.0, "day_volume": 12.5,
        "day_session": SESSION, "open_interest": 1500.0, "implied_volatility": 0.3, "delta": 0.5,
        "gamma": 0.02,
        "theta": -0.1, "vega": 0.2, "shares_per_contract": 100.0,
    }  # fmt: skip


@pytest.mark.parametrize("session", [date(2026, 3, 6), date(2026, 3, 9), date(2025, 11, 3), SESSION])
def test_a_day_bar_s_session_is_read_from_new_york_and_from_utc_midnight(
    session: date, loopback: Any, reply: NewReply
) -> None:
    stamps = [calendar.session_time(session), datetime(session.year, session.month, session.day, tzinfo=UTC)]
    stamps.append(calendar.close_of(session))
    contracts = [
        contract(200 + i, day={"close": 1, "last_updated": int(at.timestamp()) * 1_000_000_000})
        for i, at in enumerate(stamps)
    ]
    loopback.replies(reply(page(*contracts)))
    assert client(loopback.url).chains(["AAPL"]).rows["day_session"].to_list() == [session] * 3


def test_duplicates_and_odd_contracts_are_passed_on_as_they_came(loopback: Any, reply: NewReply) -> None:
    odd = contract(5)
    odd["details"] |= {"contract_type": "other", "shares_per_contract": 150, "expiration_date": "not a date"}
    loopback.replies(
        reply(page(contract(), next_url=f"https://vendor.invalid{CHAIN}AAPL?cursor=x")),
        reply(page(contract(open_interest=7), odd)),
    )
    rows = client(loopback.url).chains(["AAPL"]).rows
    assert rows["contract"].to_list()[:2] == ["O:AAPL260619C00200000"] * 2
    assert rows["open_interest"].to_list() == [None, 7.0, None]
    assert rows.row(2, named=True)["option_type"] == "other"
    assert rows["shares_per_contract"][2] == 150.0 and rows["expiration"][2] is None


def test_a_vwap_that_is_missing_gives_no_row_and_of_a_symbol_sent_twice_the_last(
    loopback: Any, reply: NewReply
) -> None:
    rows = [
        {"T": "NA", "vw": 10}, {"T": "AAPL", "c": 1}, {"T": "MSFT", "vw": None}, {"vw": 3},
        {"T": "BAUG", "vw": 1.5},
        {"T": "BAUG", "vw": 2.5}, {"T": "TEXT", "vw": "5"},
    ]  # fmt: skip
    loopback.replies(reply(page(*rows)))
    got = client(loopback.url).grouped_vwap([SESSION])
    assert got.rows() == [("NA", SESSION, 10.0), ("BAUG", SESSION, 2.5)]
    assert loopback.seen[0].path == "/v2/aggs/grouped/locale/us/market/stocks/2026-05-05?adjusted=false"


# --- reference ----------------------------------------------------------------------------------------------


def test_splits_come_from_the_deprecated_endpoint_where_the_new_one_is_absent(
    loopback: Any, reply: NewReply
) -> None:
    split = {"ticker": "AAPL", "execution_date": "2020-08-31", "split_from": 1, "split_to": 4}
    half = [split | {"split_to": None}, split | {"ticker": ""}, {"ticker": "X"}]

    def answer(path: str) -> Any:
        return reply(page(split, *half)) if path.startswith("/v3/reference/splits?") else reply(b"", 404)

    loopback.answer = answer
    got = client(loopback.url).splits(date(2020, 1, 1), date(2020, 12, 31))
    assert got.rows() == [("AAPL", date(2020, 8, 31), 1.0, 4.0, None)]
    asked = "execution_date.gte=2020-01-01&execution_date.lte=2020-12-31"
    assert [seen.path for seen in loopback.seen] == [
        f"/stocks/v1/splits?{asked}&limit=5000", f"/v3/reference/splits?{asked}&limit=1000",
    ]  # fmt: skip


def test_a_missing_entitlement_does_not_hide_behind_the_deprecated_endpoint(
    loopback: Any, reply: NewReply
) -> None:
    loopback.replies(reply(ERROR_403, 403))
    with pytest.raises(NotEntitled):
        client(loopback.url).splits(SESSION, SESSION)
    assert len(loopback.seen) == 1


def test_the_reference_list_holds_active_and_delisted_names_whatever_their_rows_leave_out(
    loopback: Any, reply: NewReply
) -> None:
    active = [
        {"ticker": "NA", "name": "Nano Labs", "type": "ADRC", "primary_exchange": "XNAS", "active": True},
        {"ticker": "BACpL"},
        {"name": "no ticker"},
    ]
    gone = [
        {"ticker": "TWTR", "active": False, "delisted_utc": "2022-11-08T00:00:00Z"},
        {"ticker": "OLD"},
        {"ticker": "NA", "active": False},  # a reused name is the living one
    ]
    loopback.answer = lambda path: reply(page(*(active if "active=true" in path else gone)))
    got = client(loopback.url).tickers()
    assert got.rows() == [
        ("NA", "Nano Labs", "ADRC", "XNAS", True, None),
        ("BACpL", None, None, None, True, None),
        ("TWTR", None, None, None, False, date(2022, 11, 8)),
        ("OLD", None, None, None, False, None),
    ]
    assert all("limit=1000" in seen.path and "market=stocks" in seen.path for seen in loopback.seen)
