"""The vendor's historical open interest and analytics: consistent with the snapshots, paged, known in time."""

from __future__ import annotations

from datetime import date

import httpx2 as httpx
import pytest
from simulator_wire import clock_at, new_york, plan, results

from kapman_simulator.server import Serving
from kapman_simulator.source import GeneratedSource

INTEREST, TOTAL = "/options/v1/open-interest", "/options/v1/open-interest/underlying"
ANALYTICS = "/options/v1/analytics"
GREEKS = ("delta", "gamma", "theta", "vega", "rho")


def test_open_interest_of_a_session_is_what_the_next_session_s_snapshot_shows(
    client: httpx.Client, vendor: Serving
) -> None:
    rows = results(client, INTEREST, root="NVDA", date="2026-06-11", limit=1000)
    with clock_at(client, vendor, new_york(2026, 6, 12, 16, 20)):
        chain = results(client, "/v3/snapshot/options/NVDA", limit=250)
    shown = {row["details"]["ticker"]: row["open_interest"] for row in chain if "open_interest" in row}
    assert {row["ticker"]: row["open_interest"] for row in rows} == shown
    assert len(rows) == len(shown) > 400
    assert {(row["date"], row["underlying_ticker"], row["root"]) for row in rows} == {
        ("2026-06-11", "NVDA", "NVDA")
    }
    assert set(rows[0]) == {
        "ticker", "underlying_ticker", "root", "contract_type", "expiration_date", "strike_price", "date",
        "open_interest",
    }  # fmt: skip


def test_pages_filters_and_ranges_of_dates_hold_together(client: httpx.Client) -> None:
    span = {"date.gte": "2026-06-09", "date.lte": "2026-06-11"}
    rows = results(client, INTEREST, root="DELL", limit=333, **span)
    assert rows == results(client, INTEREST, root="DELL", limit=5000, **span)
    assert [row["date"] for row in rows] == sorted(row["date"] for row in rows)
    assert {row["date"] for row in rows} == {"2026-06-09", "2026-06-10", "2026-06-11"}
    assert len({(row["ticker"], row["date"]) for row in rows}) == len(rows)
    some = [rows[5]["ticker"], rows[40]["ticker"]]
    chosen = results(client, INTEREST, **{"ticker.any_of": ",".join(some)}, **span, sort="date.desc")
    assert {row["ticker"] for row in chosen} == set(some) and len(chosen) >= 4
    assert [row["date"] for row in chosen] == sorted((row["date"] for row in chosen), reverse=True)
    puts = results(
        client, INTEREST, underlying_ticker="DELL", contract_type="put", date="2026-06-11",
        **{"strike_price.gte": 100},
    )  # fmt: skip
    assert puts and {row["contract_type"] for row in puts} == {"put"}
    assert min(row["strike_price"] for row in puts) >= 100
    assert results(client, INTEREST, root="BRKB", date="2026-06-11", limit=5000)[0]["underlying_ticker"] == (
        "BRK.B"
    )


def test_a_figure_is_known_at_half_past_six_of_the_morning_after(
    client: httpx.Client, vendor: Serving
) -> None:
    def newest(**params: object) -> set[str]:
        return {row["date"] for row in results(client, INTEREST, root="DELL", limit=5000, **params)}

    # Saturday morning: Friday's figures come on Monday, where the market may have to grow for them
    assert newest(date="2026-06-12") == set() and newest() == {"2026-06-11"}
    with clock_at(client, vendor, new_york(2026, 6, 15, 6, 29)):
        assert newest(date="2026-06-12") == set()
    with clock_at(client, vendor, new_york(2026, 6, 15, 6, 30)):
        assert newest() == newest(date="2026-06-12") == {"2026-06-12"}
        monday = {r["ticker"]: r["open_interest"] for r in results(client, INTEREST, root="DELL", limit=5000)}
    with clock_at(client, vendor, new_york(2026, 6, 15, 17)):
        chain = results(client, "/v3/snapshot/options/DELL", limit=250)
    shown = {row["details"]["ticker"]: row["open_interest"] for row in chain if "open_interest" in row}
    assert monday == shown


def test_the_sum_of_an_underlying_covers_all_roots_and_splits_calls_from_puts(client: httpx.Client) -> None:
    total = results(client, TOTAL, date="2026-06-11")
    assert len(total) > 40 and len({row["underlying_ticker"] for row in total}) == len(total)
    for row in total:
        assert row["open_interest"] == row["call_open_interest"] + row["put_open_interest"]
    adjusted = 0
    for row in total[:12]:
        parts = results(
            client, INTEREST, underlying_ticker=row["underlying_ticker"], date="2026-06-11", limit=5000
        )
        assert sum(part["open_interest"] for part in parts) == row["open_interest"]
        adjusted += any(part["root"][-1].isdigit() for part in parts)
    assert adjusted


def test_analytics_have_a_row_for_every_contract_and_null_where_nothing_could_be_solved(
    client: httpx.Client, vendor: Serving
) -> None:
    rows = {r["ticker"]: r for r in results(client, ANALYTICS, underlying_ticker="NVDA", limit=1000)}
    chain = vendor.simulation.source.chain_of("NVDA", date(2026, 6, 12))
    assert chain is not None and set(rows) == set(chain["contract"])
    close = vendor.simulation.finished_history_of("NVDA")["close"][-1]
    for truth in chain.unique("contract", keep="first").iter_rows(named=True):
        row = rows[truth["contract"]]
        assert row["implied_volatility"] == truth["implied_volatility"]
        assert all(row[name] == truth[name] for name in GREEKS)
        assert (row["underlying_price"], row["dividend_yield"], row["risk_free_rate"]) == (
            close,
            0.006,
            0.042,
        )
        assert row["date"] == "2026-06-12"
    unsolved = [row for row in rows.values() if row["delta"] is None]
    assert 0.05 < len(unsolved) / len(rows) < 0.25
    assert all(row[name] is None for row in unsolved for name in GREEKS)
    solved = [row for row in rows.values() if row["delta"] is not None and abs(row["delta"]) > 0.01]
    assert all((row["rho"] > 0) == (row["ticker"][-9] == "C") for row in solved)


def test_analytics_of_a_running_session_do_not_exist_yet(client: httpx.Client, vendor: Serving) -> None:
    with clock_at(client, vendor, new_york(2026, 6, 12, 15, 59)):
        assert results(client, ANALYTICS, underlying_ticker="DELL", date="2026-06-12") == []
        newest = results(client, ANALYTICS, underlying_ticker="DELL", limit=5000)
    assert {row["date"] for row in newest} == {"2026-06-11"}


@pytest.mark.parametrize("path", [INTEREST, TOTAL, ANALYTICS])
def test_the_history_can_be_outside_the_plan_or_not_exist_at_all(client: httpx.Client, path: str) -> None:
    plan(client, option_history=403)
    refused = client.get(path)
    assert refused.status_code == 403 and refused.json()["status"] == "NOT_AUTHORIZED"
    plan(client, option_history=404)
    assert (client.get(path).status_code, client.get(path).text) == (404, "404 page not found")
    plan(client, history_from="2026-06-01")
    assert "timeframe" in client.get(path, params={"date": "2026-05-29"}).json()["message"]
    plan(client, drop_symbols=["DELL"])
    assert results(client, path, underlying_ticker="DELL", date="2026-06-10") == []
    assert client.get(path, params={"sort": "colour"}).status_code == 400
    assert client.post("/simulator/faults", json={"option_history": 500}).status_code == 400


def test_growing_for_tomorrow_changes_nothing_that_was_served(vendor: Serving) -> None:
    small = GeneratedSource(7, date(2026, 6, 12), symbols=90)
    before = small.chain_of("DELL", date(2026, 6, 12))
    small.reach(date(2026, 6, 15))
    after = small.chain_of("DELL", date(2026, 6, 12))
    assert before is not None and after is not None and before.equals(after)
