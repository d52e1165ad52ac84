"""Reference data over HTTP: splits with their oddities, the ticker list, a re-used ticker, details."""

from __future__ import annotations

from datetime import timedelta

import httpx2 as httpx
import polars as pl
import pytest
from simulator_wire import clock_at, new_york, plan, results

from kapman_simulator.server import Serving
from kapman_simulator.universe import REUSED

TICKERS = "/v3/reference/tickers"
NEW, OLD = "/stocks/v1/splits", "/v3/reference/splits"


def test_both_splits_endpoints_tell_the_same_story(client: httpx.Client, vendor: Serving) -> None:
    new = results(client, "/stocks/v1/splits", limit=3)
    old = results(client, "/v3/reference/splits", limit=3)
    assert len(new) == vendor.simulation.splits().height > 3
    for a, b in zip(new, old, strict=True):
        assert b == {k: a[k] for k in ("id", "ticker", "execution_date", "split_from", "split_to")}
        assert a["adjustment_type"] == (
            "forward_split" if a["split_to"] > a["split_from"] else "reverse_split"
        )
    dates = [row["execution_date"] for row in new]
    assert dates == sorted(dates, reverse=True)
    one = new[0]["ticker"]
    chosen = results(client, "/stocks/v1/splits", ticker=one)
    assert {row["ticker"] for row in chosen} == {one}
    late = results(client, "/stocks/v1/splits", **{"execution_date.gte": "2025-06-01"})
    assert late == [row for row in new if row["execution_date"] >= "2025-06-01"]


def test_a_split_s_factor_is_the_product_of_all_later_ratios(client: httpx.Client) -> None:
    rows = results(client, "/stocks/v1/splits", limit=100)
    repeated = [row["ticker"] for row in rows]
    symbol = max(set(repeated), key=repeated.count)
    cumulative = 1.0
    for row in [row for row in rows if row["ticker"] == symbol]:
        cumulative *= row["split_from"] / row["split_to"]
        assert row["historical_adjustment_factor"] == round(cumulative, 6)


def test_tickers_are_paged_and_the_delisted_are_listed_apart(client: httpx.Client, vendor: Serving) -> None:
    path = "/v3/reference/tickers"
    active, gone = (results(client, path, limit=17, active=flag) for flag in ("true", "false"))
    symbols = [row["ticker"] for row in active]
    assert symbols == sorted(symbols) and {"NA", "TRUE", "BACpL", "BACPL", "SPY"} <= set(symbols)
    assert len(active) + len(gone) == vendor.simulation.tickers().height
    assert all(row["active"] and "delisted_utc" not in row for row in active)
    assert all(not row["active"] and row["delisted_utc"] for row in gone)
    kinds = results(client, path, type="ETF")
    assert {"SPY", "SMH"} <= {row["ticker"] for row in kinds} and {row["type"] for row in kinds} == {"ETF"}


def test_a_delisting_is_not_known_before_it_happens(client: httpx.Client, vendor: Serving) -> None:
    symbol, day = vendor.simulation.tickers().filter(~pl.col("active")).select("symbol", "delisted").row(0)

    def active() -> set[str]:
        return {row["ticker"] for row in results(client, "/v3/reference/tickers", limit=1000)}

    assert symbol not in active()
    with clock_at(client, vendor, new_york(day.year, day.month, day.day, 4) - timedelta(days=1)):
        assert symbol in active()


# --- a re-used ticker and details ---------------------------------------------------------------------------


def test_both_companies_of_a_reused_ticker_are_listed_each_in_its_own_list(client: httpx.Client) -> None:
    (new,), (old,) = (results(client, TICKERS, ticker=REUSED, active=flag) for flag in ("true", "false"))
    assert new["ticker"] == old["ticker"] == REUSED and new["name"] != old["name"]
    assert new["composite_figi"] != old["composite_figi"]
    assert old["delisted_utc"] == "2025-03-28T00:00:00Z" and "delisted_utc" not in new
    then = results(client, TICKERS, ticker=REUSED, date="2024-05-01")
    assert [row["name"] for row in then] == [old["name"]]
    assert results(client, TICKERS, ticker=REUSED, date="2025-06-02") == []


def test_some_securities_have_no_figi(client: httpx.Client) -> None:
    rows = results(client, TICKERS, limit=1000)
    without = [row for row in rows if "composite_figi" not in row]
    assert {"ZVZZT", "ACHR.WS", "CCV.U"} <= {row["ticker"] for row in without} and len(without) < len(
        rows
    ) / 3


def test_details_add_what_the_list_does_not_have(client: httpx.Client, vendor: Serving) -> None:
    body = client.get(f"{TICKERS}/AAPL").json()
    listed = results(client, TICKERS, ticker="AAPL")[0]
    close = vendor.simulation.finished_history_of("AAPL")["close"][-1]
    found = body["results"]
    assert body["status"] == "OK" and found.items() >= listed.items()
    assert found["sic_code"] == "7372" and found["sic_description"] and found["round_lot"] == 100
    assert found["market_cap"] == pytest.approx(found["share_class_shares_outstanding"] * close, abs=0.01)
    assert not {"sic_code", "market_cap", "list_date"} & set(listed)
    assert "sic_code" not in client.get(f"{TICKERS}/SPY").json()["results"]
    share = client.get(f"{TICKERS}/BRK.B").json()["results"]
    assert (share["ticker_root"], share["ticker_suffix"]) == ("BRK", "B")


def test_shares_outstanding_follow_a_split(client: httpx.Client, vendor: Serving) -> None:
    symbol, executed, old, new = vendor.simulation.splits().filter(pl.col("symbol") == "NVDA").row(-1)
    before, after = (
        client.get(f"{TICKERS}/{symbol}", params={"date": str(day)}).json()["results"]
        for day in (executed - timedelta(days=1), executed)
    )
    shares = "share_class_shares_outstanding"
    assert after[shares] == pytest.approx(before[shares] * new / old, rel=1e-6)


def test_details_know_active_tickers_only_at_their_point_in_time(client: httpx.Client) -> None:
    path = f"{TICKERS}/{REUSED}"
    assert "Robotics" in client.get(path).json()["results"]["name"]
    assert client.get(path).json()["results"]["list_date"] == "2025-10-03"
    assert "Mining" in client.get(path, params={"date": "2024-05-01"}).json()["results"]["name"]
    for absent in (client.get(path, params={"date": "2025-06-02"}), client.get(f"{TICKERS}/nothing")):
        body = absent.json()
        assert absent.status_code == 404 and body["status"] == "NOT_FOUND"
        assert body["message"] == "Ticker not found." and len(body["request_id"]) == 32


# --- oddities of the splits endpoints -----------------------------------------------------------------------


def test_split_entries_of_a_plan_stand_in_both_endpoints_and_move_no_price(client: httpx.Client) -> None:
    healthy, bars = results(client, NEW), client.get("/v2/aggs/ticker/AAPL/range/1/day/0/1").json()
    real = healthy[0]
    entries = [
        {k: real[k] for k in ("ticker", "execution_date", "split_from", "split_to")},
        {"ticker": real["ticker"], "execution_date": real["execution_date"], "split_from": 1, "split_to": 7},
        {"ticker": "AAPL", "execution_date": "2027-01-04", "split_from": 1, "split_to": 4},
        {"ticker": "MSFT", "execution_date": "2026-03-02", "split_from": 1, "split_to": 1.238,
         "adjustment_type": "stock_dividend"},
        {"ticker": "SPY", "execution_date": "2026-04-01", "split_from": 2, "split_to": 1,
         "historical_adjustment_factor": 2.0},
    ]  # fmt: skip
    plan(client, split_entries=entries)
    for path in (NEW, OLD):
        shown = results(client, path, limit=2)
        assert len(shown) == len(healthy) + 5
        doubled = [row for row in shown if (row["ticker"], row["execution_date"]) ==
                   (real["ticker"], real["execution_date"])]  # fmt: skip
        assert sorted(row["split_to"] for row in doubled) == sorted([real["split_to"], real["split_to"], 7])
        assert len({row["id"] for row in shown}) == len(shown)
    shown = {row["ticker"]: row for row in results(client, NEW, **{"execution_date.gte": "2026-03-02"})}
    assert shown["AAPL"]["execution_date"] == "2027-01-04"
    assert "historical_adjustment_factor" not in shown["AAPL"]
    assert (shown["MSFT"]["split_to"], shown["MSFT"]["adjustment_type"]) == (1.238, "stock_dividend")
    assert shown["SPY"]["adjustment_type"] == "reverse_split"
    assert shown["SPY"]["historical_adjustment_factor"] == 2.0
    assert client.get("/v2/aggs/ticker/AAPL/range/1/day/0/1").json() == bars


def test_splits_can_be_hidden_and_the_new_endpoint_be_absent(client: httpx.Client) -> None:
    symbol = results(client, NEW)[0]["ticker"]
    plan(client, hidden_splits=[symbol])
    assert symbol not in {row["ticker"] for path in (NEW, OLD) for row in results(client, path)}
    plan(client, no_new_splits_endpoint=True)
    absent = client.get(NEW)
    assert (absent.status_code, absent.text) == (404, "404 page not found")
    assert results(client, OLD)
