"""The REST dialect over real HTTP: keys, pages, bars, splits, tickers, market status, a still clock."""

from __future__ import annotations

from datetime import UTC, date, datetime

import httpx2 as httpx
import polars as pl
import pytest
from simulator_wire import clock_at, new_york, pages, results

from kapman_simulator.server import Serving

CHAIN = "/v3/snapshot/options/NVDA"
GROUPED = "/v2/aggs/grouped/locale/us/market/stocks/"


# --- keys and errors --------------------------------------------------------------------------------------


def test_a_key_is_needed_and_its_errors_are_the_vendor_s(vendor: Serving) -> None:
    with httpx.Client(base_url=vendor.url, trust_env=False) as stranger:
        missing = stranger.get(CHAIN)
        wrong = stranger.get(CHAIN, headers={"Authorization": "Bearer nope"})
        in_query = stranger.get(CHAIN, params={"apiKey": vendor.api_key})
    assert missing.status_code == wrong.status_code == 401
    assert missing.json()["error"] == "API Key was not provided"
    assert wrong.json()["error"] == "Unknown API Key" and wrong.json()["status"] == "ERROR"
    assert in_query.status_code == 200


def test_the_key_is_asked_for_again_behind_a_next_url_which_does_not_hold_it(
    client: httpx.Client, vendor: Serving
) -> None:
    following = client.get(CHAIN, params={"apiKey": vendor.api_key}).json()["next_url"]
    address = httpx.URL(following)
    assert vendor.api_key not in following and set(address.params) == {"cursor"}
    assert address.host not in ("127.0.0.1", "localhost")
    assert httpx.get(vendor.url + address.raw_path.decode(), trust_env=False).status_code == 401


def test_bad_parameters_are_400_and_unknown_paths_plain_404(client: httpx.Client) -> None:
    for params in ({"limit": 251}, {"limit": 0}, {"limit": "x"}, {"cursor": "abc"}, {"sort": "volume"},
                   {"strike_price.gte": "high"}, {"expiration_date": "2026-13-01"}):  # fmt: skip
        answer = client.get(CHAIN, params=params)
        assert answer.status_code == 400 and answer.json()["status"] == "ERROR", params
    assert client.get(GROUPED + "yesterday").status_code == 400
    lost = client.get("/v9/nothing")
    assert (lost.status_code, lost.text) == (404, "404 page not found")


def test_every_answer_carries_the_data_label(client: httpx.Client) -> None:
    for path in (CHAIN, "/flatfiles", "/v9/nothing", "/simulator", "/v1/marketstatus/now"):
        assert client.get(path).headers["x-kapman-data-label"] == "SIMULATED", path


# --- the chain snapshot -----------------------------------------------------------------------------------


def test_pages_hold_the_whole_chain_once_in_the_asked_size(client: httpx.Client, vendor: Serving) -> None:
    assert len(client.get(CHAIN).json()["results"]) == 10
    bodies = list(pages(client, CHAIN, limit=250))
    assert [len(body["results"]) for body in bodies[:-1]] == [250] * (len(bodies) - 1) and len(bodies) > 1
    tickers = [row["details"]["ticker"] for body in bodies for row in body["results"]]
    chain = vendor.simulation.chain_of("NVDA")
    assert chain is not None and tickers == chain["contract"].to_list()
    assert len(results(client, CHAIN, limit=97)) == len(tickers)


def test_filters_and_order_stay_in_force_behind_the_cursor(client: httpx.Client) -> None:
    everything = results(client, CHAIN, limit=250)
    spot = sorted(row["details"]["strike_price"] for row in everything)[len(everything) // 2]
    wanted = {
        "contract_type": "put", "strike_price.gte": spot, "expiration_date.lte": "2026-09-30",
        "sort": "strike_price", "order": "desc",
    }  # fmt: skip
    found = [row["details"] for row in results(client, CHAIN, limit=20, **wanted)]
    strikes = [row["strike_price"] for row in found]
    expected = [
        row for row in everything
        if row["details"]["contract_type"] == "put"
        and row["details"]["strike_price"] >= spot
        and row["details"]["expiration_date"] <= "2026-09-30"
    ]  # fmt: skip
    assert len(found) == len(expected) > 20
    assert strikes == sorted(strikes, reverse=True)
    assert {row["contract_type"] for row in found} == {"put"}


def test_a_contract_leaves_out_what_the_plan_or_the_market_does_not_give(client: httpx.Client) -> None:
    rows = results(client, CHAIN, limit=250)
    assert not any("last_quote" in row or "last_trade" in row for row in rows)
    assert {} in [row["day"] for row in rows]
    assert any("greeks" not in row for row in rows) and any("implied_volatility" not in row for row in rows)
    assert all(set(row["greeks"]) == {"delta", "gamma", "theta", "vega"} for row in rows if "greeks" in row)
    assert not any(value is None for row in rows for value in row.values())
    stamps = {row["day"]["last_updated"] for row in rows if row["day"]}
    midnight = int(new_york(2026, 6, 12).timestamp()) * 10**9
    assert max(stamps) == midnight and len(stamps) > 10
    assert all(stamp % 10**9 == 0 for stamp in stamps)


def test_an_unknown_underlying_is_an_empty_success(client: httpx.Client) -> None:
    answer = client.get("/v3/snapshot/options/XXXX")
    assert answer.status_code == 200 and answer.json()["results"] == [] and answer.json()["status"] == "OK"


def test_the_chain_knows_only_now_whatever_date_is_asked_for(client: httpx.Client, vendor: Serving) -> None:
    now = client.get(CHAIN, params={"limit": 250}).json()["results"]
    assert client.get(CHAIN, params={"limit": 250, "as_of": "2025-01-02"}).json()["results"] == now
    assert min(row["details"]["expiration_date"] for row in now) > "2026-06-12"  # Friday's series has expired
    with clock_at(client, vendor, new_york(2026, 6, 12, 16, 20)) as state:
        assert state["session"] == "2026-06-12"
        expiring = client.get(CHAIN).json()["results"][0]
        assert expiring["details"]["expiration_date"] == "2026-06-12"
    with clock_at(client, vendor, new_york(2026, 6, 12, 15, 59)) as state:
        assert state["session"] == state["last_session"] == "2026-06-11"
        bars = [row["day"] for row in client.get(CHAIN, params={"limit": 250}).json()["results"]]
        newest = max(bar["last_updated"] for bar in bars if bar)
        assert newest == int(new_york(2026, 6, 11).timestamp()) * 10**9


# --- bars -------------------------------------------------------------------------------------------------


def test_grouped_daily_holds_the_session_s_bars_stamped_at_the_close(
    client: httpx.Client, vendor: Serving
) -> None:
    body = client.get(GROUPED + "2026-06-12", params={"adjusted": "false"}).json()
    bars = vendor.simulation.bars_of(date(2026, 6, 12))
    assert body["resultsCount"] == len(body["results"]) == bars.height and body["adjusted"] is False
    row = next(row for row in body["results"] if row["T"] == "BRK.B")
    truth = bars.row(by_predicate=pl.col("symbol") == "BRK.B", named=True)
    assert (row["o"], row["h"], row["l"], row["c"]) == tuple(
        truth[k] for k in ("open", "high", "low", "close")
    )
    assert (row["v"], row["vw"], row["n"]) == (truth["volume"], truth["vwap"], truth["transactions"])
    assert row["t"] == int(new_york(2026, 6, 12, 16).timestamp() * 1000)


@pytest.mark.parametrize("day", ["2026-06-13", "2026-05-25", "2026-06-15", "2019-06-12"])
def test_a_day_without_bars_is_an_empty_success(client: httpx.Client, day: str) -> None:
    answer = client.get(GROUPED + day)
    assert answer.status_code == 200 and answer.json()["resultsCount"] == 0
    assert "results" not in answer.json()


def test_bars_are_adjusted_for_the_splits_executed_by_now_unless_told_otherwise(
    client: httpx.Client, vendor: Serving
) -> None:
    splits = vendor.simulation.splits().filter(
        pl.col("symbol").is_in(vendor.simulation.source.market.members)
    )
    symbol, executed, old, new = splits.filter(pl.col("execution_date") > date(2023, 6, 1)).row(0)
    path = f"/v2/aggs/ticker/{symbol}/range/1/day/2023-01-01/2026-12-31"
    later = client.get(path).json()["results"]
    traded = client.get(path, params={"adjusted": "false"}).json()["results"]
    at = int(new_york(executed.year, executed.month, executed.day).timestamp() * 1000)
    last_old = max(i for i, row in enumerate(traded) if row["t"] < at)
    assert later[last_old]["c"] == pytest.approx(traded[last_old]["c"] * old / new)
    assert later[last_old]["v"] == pytest.approx(traded[last_old]["v"] * new / old)
    assert later[-1] == traded[-1]


def test_ticker_bars_start_at_midnight_and_can_be_paged(client: httpx.Client) -> None:
    path = "/v2/aggs/ticker/SPY/range/1/day/2026-03-02/2026-06-12"
    rows = results(client, path)
    assert rows[0]["t"] == int(new_york(2026, 3, 2).timestamp() * 1000)
    assert [row["t"] for row in results(client, path, limit=20)] == [row["t"] for row in rows]
    assert [row["t"] for row in results(client, path, sort="desc")] == [row["t"] for row in rows][::-1]
    nothing = client.get("/v2/aggs/ticker/XXXX/range/1/day/2026-03-02/2026-06-12").json()
    assert nothing["resultsCount"] == 0 and "results" not in nothing


# --- market status --------------------------------------------------------------------------------------------


def test_market_status_follows_the_clock(client: httpx.Client, vendor: Serving) -> None:
    for moment, market in (
        (new_york(2026, 6, 12, 10), "open"),
        (new_york(2026, 6, 12, 17), "extended-hours"),
        (new_york(2026, 6, 12, 5), "extended-hours"),
        (new_york(2026, 6, 12, 21), "closed"),
        (new_york(2026, 6, 13, 12), "closed"),
        (new_york(2025, 11, 28, 13, 30), "extended-hours"),
    ):
        with clock_at(client, vendor, moment):
            status = client.get("/v1/marketstatus/now").json()
            assert status["market"] == market and status["exchanges"]["nyse"] == market
            assert datetime.fromisoformat(status["serverTime"]) == moment


def test_upcoming_closures_are_a_bare_array_of_both_exchanges(client: httpx.Client) -> None:
    entries = client.get("/v1/marketstatus/upcoming").json()
    assert entries[0] == {
        "date": "2026-06-19", "exchange": "NYSE", "name": "Juneteenth", "status": "closed",
    }  # fmt: skip
    assert {entry["exchange"] for entry in entries} == {"NYSE", "NASDAQ"}
    early = next(entry for entry in entries if entry["status"] == "early-close")
    assert early["date"] == "2026-11-27" and early["close"] == "2026-11-27T18:00:00.000Z"
    assert min(entry["date"] for entry in entries) >= "2026-06-13"


# --- control ----------------------------------------------------------------------------------------------


def test_the_control_page_says_what_is_served(client: httpx.Client) -> None:
    state = client.get("/simulator").json()
    assert (state["label"], state["seed"]) == ("SIMULATED", 7)
    assert datetime.fromisoformat(state["now"]) == datetime(2026, 6, 13, 8, tzinfo=UTC)
    assert (state["first_session"], state["last_session"]) == ("2023-01-03", "2026-06-12")
    assert {"NVDA", "SPY", "DELL"} <= set(state["chain_symbols"])


def test_the_clock_moves_both_ways_and_beyond_what_was_generated(
    client: httpx.Client, vendor: Serving
) -> None:
    before = client.get(GROUPED + "2026-06-12").json()["results"]
    with clock_at(client, vendor, new_york(2026, 9, 1, 4)) as state:
        assert state["last_session"] == state["session"] == "2026-08-31"
        assert client.get(GROUPED + "2026-08-31").json()["resultsCount"] > 50
        assert client.get(GROUPED + "2026-09-01").json()["resultsCount"] == 0
    assert client.get(GROUPED + "2026-06-12").json()["results"] == before
    with clock_at(client, vendor, new_york(2024, 2, 1, 4)):
        assert client.get(GROUPED + "2024-02-01").json()["resultsCount"] == 0


def test_a_clock_without_zone_and_a_foreign_host_are_refused(client: httpx.Client) -> None:
    naive = client.post("/simulator/clock", json={"now": "2026-06-13T04:00:00"})
    assert naive.status_code == 400 and "zone" in naive.json()["error"]
    assert client.post("/simulator/clock", json={"when": "now"}).status_code == 400
    assert client.get("/simulator", headers={"Host": "kapman.example"}).status_code == 403
