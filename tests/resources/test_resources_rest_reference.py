"""Splits, tickers and the history of open interest and greeks: every listed entry, none invented."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date
from typing import Any

import polars as pl
import pytest

from kapman_resources.market_data import NotEntitled, VendorAnswerError
from kapman_resources.market_data.protocol import OPTION_HISTORY_SCHEMA, TICKER_SCHEMA
from kapman_simulator.server import Serving

SESSION = date(2026, 5, 5)
Make = Callable[..., Any]
SPLIT = {"ticker": "AAPL", "execution_date": "2020-08-31", "split_from": 1, "split_to": 4}


# --- splits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 403])
def test_splits_come_from_the_deprecated_endpoint_where_the_new_one_is_absent_or_not_in_the_plan(
    status: int, loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    def answer(path: str) -> Any:
        old = path.startswith("/v3/reference/splits?")
        return reply(wire.page(SPLIT)) if old else reply(wire.ERROR_403 if status == 403 else b"", status)

    loopback.answer = answer
    got = rest_client(loopback.url).splits(date(2020, 1, 1), date(2020, 12, 31))
    assert got.rows() == [("AAPL", date(2020, 8, 31), 1.0, 4.0, None)]
    asked = "execution_date.gte=2020-01-01&execution_date.lte=2020-12-31"
    assert [seen.path for seen in loopback.seen] == [
        f"/stocks/v1/splits?{asked}&limit=5000", f"/v3/reference/splits?{asked}&limit=1000",
    ]  # fmt: skip


@pytest.mark.parametrize(("status", "kind"), [(403, NotEntitled), (404, VendorAnswerError)])
def test_a_refusal_by_both_endpoints_is_told(
    status: int, kind: type[Exception], loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    loopback.replies(reply(wire.ERROR_403, status))
    with pytest.raises(kind, match="/v3/reference/splits"):
        rest_client(loopback.url).splits(SESSION, SESSION)
    assert len(loopback.seen) == 2


def test_a_bad_question_is_not_hidden_behind_the_deprecated_endpoint(
    loopback: Any, reply: Make, rest_client: Make
) -> None:
    loopback.replies(reply(b'{"status":"ERROR","error":"bad date"}', 400))
    with pytest.raises(VendorAnswerError, match="bad date"):
        rest_client(loopback.url).splits(SESSION, SESSION)
    assert len(loopback.seen) == 1


def test_every_whole_entry_is_returned_as_listed_and_the_others_are_counted(
    loopback: Any, reply: Make, rest_client: Make, wire: Any, caplog: pytest.LogCaptureFixture
) -> None:
    whole = [
        SPLIT | {"adjustment_type": "forward_split"},
        SPLIT | {"split_to": 5},  # contradicts the first: both are listed
        SPLIT,
        SPLIT | {"ticker": "X", "split_from": 1.125, "split_to": 1, "adjustment_type": "stock_dividend"},
    ]
    broken = [
        SPLIT | {"split_to": None}, SPLIT | {"split_to": 0}, SPLIT | {"split_from": -1}, SPLIT | {"split_to": "4"},
        SPLIT | {"ticker": ""}, SPLIT | {"ticker": None}, SPLIT | {"execution_date": "soon"}, {"ticker": "X"},
        SPLIT | {"execution_date": 20200831}, SPLIT | {"split_from": True}, 7, None,
    ]  # fmt: skip
    other = SPLIT | {"execution_date": "2019-08-31"}  # a server that ignores the span
    loopback.replies(
        reply(wire.page(*whole, other, next_url="https://vendor.invalid/stocks/v1/splits?cursor=2")),
        reply(wire.page(*broken)),
    )
    with caplog.at_level(logging.WARNING):
        got = rest_client(loopback.url).splits(date(2020, 8, 31), date(2020, 12, 31))
    day = date(2020, 8, 31)
    assert got.rows() == [
        ("AAPL", day, 1.0, 4.0, "forward_split"), ("AAPL", day, 1.0, 5.0, None), ("AAPL", day, 1.0, 4.0, None),
        ("X", day, 1.125, 1.0, "stock_dividend"),
    ]  # fmt: skip
    assert f"{len(broken)} of {len(broken) + 5} split entries" in caplog.text


def test_the_simulated_vendor_s_splits_survive_the_loss_of_the_new_endpoint(
    small_vendor: Serving, rest_client: Make
) -> None:
    rest = rest_client(small_vendor.url, small_vendor.api_key)
    span = date(2023, 1, 1), date(2026, 6, 12)
    new = rest.splits(*span).drop("adjustment_type")
    small_vendor.simulation.faults.set(b'{"no_new_splits_endpoint":true}')
    old = rest.splits(*span).drop("adjustment_type")
    order = ["symbol", "execution_date"]
    assert old.sort(order).equals(new.sort(order)) and old.height > 2


# --- tickers ------------------------------------------------------------------------------------------------


def test_the_reference_list_holds_all_listings_of_a_name_whatever_their_rows_leave_out(
    loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    active = [
        {"ticker": "NA", "name": "Nano Labs", "type": "ADRC", "primary_exchange": "XNAS", "active": True,
         "composite_figi": "BBG1"},
        {"ticker": "BACpL"},
        {"name": "no ticker"}, {"ticker": ""}, {"ticker": 5}, 7, None,
        {"ticker": "FB", "composite_figi": "BBG2", "name": 7, "delisted_utc": "soon"},
    ]  # fmt: skip
    gone = [
        {"ticker": "TWTR", "active": False, "delisted_utc": "2022-11-08T00:00:00Z"},
        {"ticker": "OLD"},
        {"ticker": "FB", "active": False, "composite_figi": "BBG3", "delisted_utc": "2022-06-09"},
        {"ticker": "FB", "active": False, "name": "x\0y"},
    ]
    loopback.answer = lambda path: reply(wire.page(*(active if "active=true" in path else gone)))
    got = rest_client(loopback.url).tickers()
    assert dict(got.schema) == TICKER_SCHEMA
    assert got.rows() == [
        ("NA", "Nano Labs", "ADRC", "XNAS", True, None, "BBG1"),
        ("BACpL", None, None, None, True, None, None),
        ("FB", None, None, None, True, None, "BBG2"),
        ("TWTR", None, None, None, False, date(2022, 11, 8), None),
        ("OLD", None, None, None, False, None, None),
        ("FB", None, None, None, False, date(2022, 6, 9), "BBG3"),
        ("FB", "x\ufffdy", None, None, False, None, None),
    ]
    assert all("limit=1000" in seen.path and "market=stocks" in seen.path for seen in loopback.seen)


# --- history of open interest and greeks --------------------------------------------------------------------


INTEREST, ANALYTICS = "/options/v1/open-interest", "/options/v1/analytics"
CALL, PUT = "O:AAPL260619C00200000", "O:AAPL260619P00200000"


def history_of(loopback: Any, reply: Make, wire: Any, interest: list[Any], analytics: list[Any]) -> None:
    loopback.answer = lambda path: reply(wire.page(*(interest if path.startswith(INTEREST) else analytics)))


def test_history_is_off_unless_it_is_switched_on(loopback: Any, rest_client: Make) -> None:
    with pytest.raises(NotEntitled, match="POLYGON_OPTION_HISTORY=on"):
        rest_client(loopback.url).option_history(SESSION, ["AAPL"])
    assert loopback.seen == []


@pytest.mark.parametrize("refused", [INTEREST, ANALYTICS])
@pytest.mark.parametrize("status", [403, 404])
def test_an_endpoint_that_is_absent_or_not_in_the_plan_is_a_missing_entitlement(
    refused: str, status: int, loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    body = wire.ERROR_403 if status == 403 else b"404 page not found"
    loopback.answer = lambda path: reply(body, status) if path.startswith(refused) else reply(wire.page())
    with pytest.raises(NotEntitled, match=refused):
        rest_client(loopback.url, option_history=True).option_history(SESSION, ["AAPL", "MSFT"])


def test_a_root_that_the_vendor_does_not_know_leaves_the_others(
    loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    good = reply(wire.page({"ticker": CALL, "open_interest": 5, "iv": 0.2}))
    loopback.answer = lambda path: good if "root=AAPL" in path else reply(b"", 404)
    got = rest_client(loopback.url, option_history=True).option_history(SESSION, ["AAPL", "GONE"])
    assert got.select("contract", "open_interest", "implied_volatility").rows() == [(CALL, 5.0, 0.2)]


@pytest.mark.parametrize(
    ("interest", "analytics"),
    [
        (
            {"ticker": CALL, "date": "2026-05-05", "open_interest": 1500},
            {"ticker": CALL, "implied_volatility": 0.3, "delta": 0.5, "gamma": 0.02, "theta": -0.1, "vega": 0.2},
        ),
        (
            {"contract": CALL, "oi": 1500.0},
            {"contract": CALL, "iv": 0.3,
             "greeks": {"delta": 0.5, "gamma": 0.02, "theta": -0.1, "vega": 0.2, "rho": 1}},
        ),
        (
            {"options_ticker": CALL, "value": 1500, "session": "2026-05-05"},
            {"options_ticker": CALL, "implied_volatility": 0.3, "greeks": None, "delta": 0.5, "gamma": 0.02,
             "theta": -0.1, "vega": 0.2},
        ),
    ],
    ids=["flat", "nested", "other names"],
)  # fmt: skip
def test_each_plausible_form_of_an_answer_is_understood(
    interest: Any, analytics: Any, loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    history_of(loopback, reply, wire, [interest], [analytics])
    got = rest_client(loopback.url, option_history=True).option_history(SESSION, ["AAPL"])
    assert dict(got.schema) == OPTION_HISTORY_SCHEMA
    assert got.rows() == [(CALL, 1500.0, 0.3, 0.5, 0.02, -0.1, 0.2)]
    asked = "root=AAPL&date=2026-05-05&limit=250"
    assert {seen.path for seen in loopback.seen} == {f"{INTEREST}?{asked}", f"{ANALYTICS}?{asked}"}


def test_what_only_one_endpoint_knows_stays_and_null_stays_null(
    loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    other = "O:AAPL260619C00210000"
    history_of(
        loopback, reply, wire,
        [{"ticker": PUT, "open_interest": 0}, {"ticker": CALL, "open_interest": 4},
         {"ticker": CALL, "open_interest": 5}, {"open_interest": 9}, 7],
        [{"ticker": CALL, "implied_volatility": None, "delta": None, "greeks": {"gamma": None}},
         {"ticker": other, "iv": "0.3", "delta": 0.4}],
    )  # fmt: skip
    got = rest_client(loopback.url, option_history=True).option_history(SESSION, ["AAPL"])
    none = (None, None, None)
    assert got.rows() == [
        (CALL, 5.0, None, None, *none), (other, None, None, 0.4, *none), (PUT, 0.0, None, None, *none),
    ]  # fmt: skip


@pytest.mark.parametrize("named", ["date", "session"])
def test_an_answer_for_another_date_is_not_taken_for_this_one(
    named: str, loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    history_of(loopback, reply, wire, [{"ticker": CALL, "open_interest": 5, named: "2026-06-12"}], [])
    with pytest.raises(
        VendorAnswerError, match=r"asked for 2026-05-05 of AAPL, the answer is for 2026-06-12"
    ):
        rest_client(loopback.url, option_history=True).option_history(SESSION, ["AAPL"])


def test_no_underlyings_have_no_history(loopback: Any, rest_client: Make) -> None:
    got = rest_client(loopback.url, option_history=True).option_history(SESSION, [])
    assert got.is_empty() and dict(got.schema) == OPTION_HISTORY_SCHEMA and loopback.seen == []


def test_the_simulated_vendor_s_history_is_complete(
    small_vendor: Serving, vendor_session: date, rest_client: Make
) -> None:
    rest = rest_client(small_vendor.url, small_vendor.api_key, option_history=True)
    got = rest.option_history(vendor_session, ["AAPL", "BRK.B"])
    chain = small_vendor.simulation.finished_chain_of("AAPL", vendor_session)
    assert chain is not None
    ours = got.filter(pl.col("contract").str.starts_with("O:AAPL"))
    # contracts that a corporate action has changed have a root of their own, which nobody can guess
    standard = chain.unique("contract").filter(pl.col("contract").str.contains(r"^O:AAPL\d{6}[CP]"))
    truth = standard.select("contract", "implied_volatility", "delta", "vega").sort("contract")
    assert ours.select(truth.columns).equals(truth) and truth["delta"].null_count() > 0
    assert got["contract"].is_unique().all()
    assert got.filter(pl.col("contract").str.starts_with("O:BRKB")).height > 100
    for status in (403, 404):
        small_vendor.simulation.faults.set(f'{{"option_history":{status}}}'.encode())
        with pytest.raises(NotEntitled):
            rest.option_history(vendor_session, ["AAPL"])
