"""The REST client: complete answers of the simulated vendor, and everything that a page of a chain may hold."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kapman_resources import calendar
from kapman_resources.market_data.polygon import Polygon
from kapman_resources.market_data.protocol import RAW_CHAIN_SCHEMA, SPLIT_SCHEMA, TICKER_SCHEMA, BarFile
from kapman_resources.market_data.rest import RestClient
from kapman_resources.market_data.rest_wire import chain_frame, chain_page, chain_rows
from kapman_resources.settings import SettingsError, load_settings
from kapman_simulator.server import Serving

SESSION = date(2026, 5, 5)

Make = Callable[..., Any]
PARTS = ("day", "greeks", "last_quote", "last_trade", "underlying_asset")


@pytest.fixture
def vendor_client(small_vendor: Serving, rest_client: Make) -> RestClient:
    return rest_client(small_vendor.url, small_vendor.api_key)


# --- complete answers ---------------------------------------------------------------------------------------


def test_chains_are_complete_over_all_pages_and_symbols(
    small_vendor: Serving, vendor_client: RestClient
) -> None:
    symbols = ["AAPL", "BRK.B", "NVDA", "SPY", "TSLA"]
    capture = vendor_client.chains(symbols)
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


def test_a_symbol_without_options_is_empty_and_not_an_error(vendor_client: RestClient) -> None:
    capture = vendor_client.chains(["AAPL", "NOSUCH", "AAPL"])
    assert capture.empty == ["NOSUCH"] and capture.failed == {}
    assert (
        capture.rows["symbol"].unique().to_list() == ["AAPL"] and capture.rows["contract"].is_unique().all()
    )


def test_no_symbols_give_an_empty_capture(rest_client: Make) -> None:
    capture = rest_client("http://127.0.0.1:1").chains([])
    assert capture.rows.height == capture.pages == 0 and dict(capture.rows.schema) == RAW_CHAIN_SCHEMA


def test_a_capture_is_stamped_by_the_clock_that_kapman_now_replaces(
    vendor_client: RestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAPMAN_NOW", "2026-05-05T22:57:00-04:00")
    assert vendor_client.chains(["AAPL"]).captured_at == datetime(2026, 5, 6, 2, 57, tzinfo=UTC)


def test_splits_of_a_span_are_exact_ratios(small_vendor: Serving, vendor_client: RestClient) -> None:
    since, until = date(2023, 1, 1), date(2026, 6, 12)
    got = vendor_client.splits(since, until)
    truth = small_vendor.simulation.splits().filter(pl.col("execution_date").is_between(since, until))
    assert dict(got.schema) == SPLIT_SCHEMA
    key = ["symbol", "execution_date", "split_from", "split_to"]
    assert got.select(key).sort(key).equals(truth.select(key).sort(key)) and got.height > 2
    assert set(got["adjustment_type"]) <= {"forward_split", "reverse_split"}
    day = truth["execution_date"][0]
    assert vendor_client.splits(day, day)["execution_date"].unique().to_list() == [day]


def test_the_reference_list_is_complete_over_its_pages(
    small_vendor: Serving, vendor_client: RestClient
) -> None:
    got = vendor_client.tickers()
    assert dict(got.schema) == TICKER_SCHEMA
    assert sorted(got["symbol"]) == sorted(small_vendor.simulation.tickers()["symbol"])
    assert got["is_active"].any()


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
    (grouped,) = polygon.grouped([vendor_session])
    assert isinstance(file, BarFile) and isinstance(grouped, BarFile)
    assert set(grouped.rows["symbol"]) == set(file.rows["symbol"])
    assert polygon.chains(["AAPL"]).rows.height > 250
    assert polygon.splits(vendor_session, vendor_session).height == 0
    assert polygon.tickers().height > 50
    polygon.close()


# --- what a page may hold -----------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b'{"status":"OK","results":null}', b'{"status":"OK"}', b"{}"])
def test_results_that_are_null_or_absent_mean_none(
    body: bytes, loopback: Any, reply: Make, rest_client: Make
) -> None:
    loopback.replies(reply(body))
    rest = rest_client(loopback.url)
    capture = rest.chains(["AAPL"])
    assert capture.empty == ["AAPL"] and capture.rows.height == 0
    assert rest.splits(SESSION, SESSION).height == 0 and rest.tickers().height == 0


@pytest.mark.parametrize("results", [b'{"a":1}', b'"none"', b"7"])
def test_results_that_are_no_list_are_refused_by_name(
    results: bytes, loopback: Any, reply: Make, rest_client: Make
) -> None:
    loopback.replies(reply(b'{"status":"OK","results":' + results + b"}"))
    assert "page 1 has another shape" in rest_client(loopback.url).chains(["AAPL"]).failed["AAPL"]


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
            "underlying_asset": {"price": None, "ticker": "AAPL"},
        },
        {"greeks": "none", "day": [], "last_quote": 0, "open_interest": "1500", "implied_volatility": True},
        {"day": {"close": "5.1", "last_updated": -1}, "greeks": {"delta": [0.5]}, "underlying_asset": 7},
        {"day": {"last_updated": 10**30}, "open_interest": 10**400},
    ],
    ids=[
        "all absent", "all empty", "all null", "all fields null", "other types", "other types inside",
        "numbers that nothing can hold",
    ],
)  # fmt: skip
def test_every_optional_part_of_a_contract_may_be_missing_or_odd(
    optional: dict[str, Any], loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    loopback.replies(reply(wire.page(wire.contract(212.5, **optional), wire.contract(215, open_interest=3))))
    capture = rest_client(loopback.url).chains(["AAPL"])
    row, next_row = capture.rows.iter_rows(named=True)
    given_fields = {
        "symbol": "AAPL", "contract": "O:AAPL260619C00212500", "expiration": date(2026, 6, 19), "strike": 212.5,
        "option_type": "call", "shares_per_contract": 100.0,
    }  # fmt: skip
    assert row == dict.fromkeys(RAW_CHAIN_SCHEMA) | given_fields
    assert next_row["open_interest"] == 3.0


@pytest.mark.parametrize(
    ("details", "lost"),
    [
        (None, {"contract", "expiration", "strike", "option_type"}),
        ("gone", {"contract", "expiration", "strike", "option_type"}),
        ({"ticker": 5}, {"contract"}),
        ({"strike_price": "200"}, {"strike"}),
        ({"expiration_date": "soon"}, {"expiration"}),
        ({"expiration_date": 20260619, "contract_type": None}, {"expiration", "option_type"}),
        ({"shares_per_contract": "100"}, {"shares_per_contract"}),
    ],
)
def test_a_contract_without_a_usable_identity_stays_as_a_row_for_cleaning_to_count(
    details: Any, lost: set[str], loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    odd = wire.contract(200, open_interest=9)
    odd["details"] = (odd["details"] | details) if isinstance(details, dict) else details
    loopback.replies(reply(wire.page(wire.contract(195), odd, wire.contract(205))))
    rows = rest_client(loopback.url).chains(["AAPL"]).rows
    assert rows["strike"][0] == 195.0 and rows["strike"][2] == 205.0
    row = rows.row(1, named=True)
    identity = {"contract", "expiration", "strike", "option_type", "shares_per_contract"}
    assert {name for name in identity if row[name] is None} == lost
    assert row["symbol"] == "AAPL" and row["open_interest"] == 9.0


@pytest.mark.parametrize(
    "item", [b"1", b"null", b'"text"', b"[]", b"1e999", b'{"details":{"ticker":"O:\xff"}}']
)
def test_an_item_that_is_no_contract_at_all_is_a_row_without_identity(
    item: bytes, loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    good = json.dumps(wire.contract(200)).encode()
    loopback.replies(reply(b'{"results":[' + good + b"," + item + b'],"status":"OK"}'))
    rows = rest_client(loopback.url).chains(["AAPL"]).rows
    assert rows["contract"].to_list() == ["O:AAPL260619C00200000", None]
    assert rows["symbol"].to_list() == ["AAPL", "AAPL"]


def test_every_field_arrives_where_it_belongs_and_unknown_ones_are_ignored(
    loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    full = wire.contract(
        200,
        break_even_price=205, implied_volatility=0.3, open_interest=1500, fmv=1, new_field={"a": []},
        day={"high": 6, "low": 4, "close": 5, "volume": 12.5, "last_updated": 1777953600000000000},
        greeks={"delta": 0.5, "gamma": 0.02, "theta": -0.1, "vega": 0.2, "rho": 1},
        last_quote={"bid": 4.9, "ask": 5.1, "midpoint": 5, "timeframe": "DELAYED"},
        last_trade={"price": 5.05, "size": 1, "decimal_size": "1.0"},
    )  # fmt: skip
    loopback.replies(reply(gzip.compress(wire.page(full, count=1)), headers={"Content-Encoding": "gzip"}))
    assert rest_client(loopback.url).chains(["AAPL"]).rows.row(0, named=True) == {
        "symbol": "AAPL", "contract": "O:AAPL260619C00200000", "expiration": date(2026, 6, 19),
        "strike": 200.0,
        "option_type": "call", "bid": 4.9, "ask": 5.1, "last": 5.05, "day_close": 5.0, "day_volume": 12.5,
        "day_session": SESSION, "open_interest": 1500.0, "implied_volatility": 0.3, "delta": 0.5,
        "gamma": 0.02,
        "theta": -0.1, "vega": 0.2, "shares_per_contract": 100.0,
    }  # fmt: skip


@pytest.mark.parametrize("session", [date(2026, 3, 6), date(2026, 3, 9), date(2025, 11, 3), SESSION])
def test_a_day_bar_s_session_is_read_from_new_york_and_from_utc_midnight(
    session: date, loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    stamps = [calendar.session_time(session), datetime(session.year, session.month, session.day, tzinfo=UTC)]
    stamps.append(calendar.close_of(session))
    contracts = [
        wire.contract(200 + i, day={"close": 1, "last_updated": int(at.timestamp()) * 1_000_000_000})
        for i, at in enumerate(stamps)
    ]
    loopback.replies(reply(wire.page(*contracts)))
    assert rest_client(loopback.url).chains(["AAPL"]).rows["day_session"].to_list() == [session] * 3


def test_duplicates_and_odd_contracts_are_passed_on_as_they_came(
    loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    odd = wire.contract(5)
    odd["details"] |= {"contract_type": "other", "shares_per_contract": 150, "expiration_date": "not a date"}
    odd["details"]["ticker"] = "O:AAPL\0"
    loopback.replies(
        reply(wire.page(wire.contract(), next_url=f"https://vendor.invalid{wire.CHAIN}AAPL?cursor=x")),
        reply(wire.page(wire.contract(open_interest=7), odd)),
    )
    rows = rest_client(loopback.url).chains(["AAPL"]).rows
    assert rows["contract"].to_list() == [*["O:AAPL260619C00200000"] * 2, "O:AAPL\ufffd"]
    assert rows["open_interest"].to_list() == [None, 7.0, None]
    assert rows.row(2, named=True)["option_type"] == "other"
    assert rows["shares_per_contract"][2] == 150.0 and rows["expiration"][2] is None


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = ("day", "details", "greeks", "implied_volatility", "last_quote", "last_trade", "open_interest")
_INSIDE = ("ticker", "strike_price", "close", "last_updated", "delta", "bid", "price", "expiration_date")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        _json
        | st.dictionaries(st.sampled_from(_FIELDS), _json | st.dictionaries(st.sampled_from(_INSIDE), _json)),
        max_size=4,
    )
)
def test_whatever_json_stands_in_a_page_no_item_of_it_is_lost(wire: Any, items: list[Any]) -> None:
    good = wire.contract(200, open_interest=5, greeks={"delta": 0.5})
    body = json.dumps({"results": [good, *items, good]}, ensure_ascii=False).encode()
    page = chain_page(body)
    frame = chain_frame([chain_rows("AAPL", page.rows)])
    assert frame.height == len(items) + 2 and dict(frame.schema) == RAW_CHAIN_SCHEMA
    for row in (frame.row(0, named=True), frame.row(-1, named=True)):
        assert (row["strike"], row["open_interest"], row["delta"]) == (200.0, 5.0, 0.5)
