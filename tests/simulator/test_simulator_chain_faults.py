"""Faults of the chain snapshot as they look on the wire, and its filters and pages without any."""

from __future__ import annotations

from itertools import islice

import httpx2 as httpx
import pytest
from simulator_wire import pages, plan, results

CHAIN = "/v3/snapshot/options/NVDA"


def tickers(rows: list[dict]) -> list[str]:
    return [row["details"]["ticker"] for row in rows]


def contract(client: httpx.Client, ticker: str) -> dict:
    return next(row for row in results(client, CHAIN, limit=250) if row["details"]["ticker"] == ticker)


# --- healthy ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_expiry_ranges_cut_a_chain_into_parts_without_gap_or_overlap(
    client: httpx.Client, order: str
) -> None:
    everything = results(client, CHAIN, limit=250, sort="expiration_date", order=order)
    days = [row["details"]["expiration_date"] for row in everything]
    assert days == sorted(days, reverse=order == "desc") and len(set(days)) > 8
    first, second = sorted(set(days))[2], sorted(set(days))[6]
    ranges = [
        {"expiration_date.lt": first},
        {"expiration_date.gte": first, "expiration_date.lte": second},
        {"expiration_date.gt": second},
    ]
    parts = [
        results(client, CHAIN, limit=70, sort="expiration_date", order=order, **bounds) for bounds in ranges
    ]
    assert all(parts)
    joined = [row for part in (parts if order == "asc" else parts[::-1]) for row in part]
    assert tickers(joined) == tickers(everything)
    exact = results(client, CHAIN, limit=250, **{"expiration_date": first})
    assert {row["details"]["expiration_date"] for row in exact} == {first}


def test_answers_are_compressed_for_those_who_ask(client: httpx.Client) -> None:
    asked = client.get(CHAIN, params={"limit": 250}, headers={"Accept-Encoding": "gzip"})
    plain = client.get(CHAIN, params={"limit": 250}, headers={"Accept-Encoding": "identity"})
    assert asked.headers["content-encoding"] == "gzip" and "content-encoding" not in plain.headers
    assert asked.json() == plain.json()
    assert int(asked.headers["content-length"]) < 0.35 * int(plain.headers["content-length"])
    tiny = client.get("/v3/snapshot/options/XXXX", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in tiny.headers and tiny.json()["results"] == []


# --- faults -----------------------------------------------------------------------------------------------


def test_a_cursor_loop_leads_from_the_last_page_to_the_second(client: httpx.Client) -> None:
    whole = [tickers(body["results"]) for body in pages(client, CHAIN, limit=250)]
    plan(client, cursor_loop=["NVDA"])
    bodies = list(islice(pages(client, CHAIN, limit=250), len(whole) + 2))
    assert [tickers(body["results"]) for body in bodies] == [*whole, *whole[1:3]]
    assert bodies[len(whole) - 1]["next_url"] == bodies[0]["next_url"]
    narrow = {"expiration_date.lte": "2026-06-18", "limit": 250}
    single = list(islice(pages(client, CHAIN, **narrow), 3))
    assert single[0]["results"] == single[1]["results"] == single[2]["results"]
    assert single[0]["next_url"] == single[1]["next_url"]


def test_pages_without_end_bring_ever_new_cursors_and_no_rows(client: httpx.Client) -> None:
    whole = len(list(pages(client, CHAIN, limit=250)))
    plan(client, endless_pages=["NVDA"])
    bodies = list(islice(pages(client, CHAIN, limit=250), whole + 5))
    assert all(body["results"] == [] for body in bodies[whole:])
    assert len({body["next_url"] for body in bodies}) == whole + 5
    assert len(results(client, "/v3/snapshot/options/AAPL", limit=250)) > 250


def test_contracts_come_twice_with_their_greeks_on_either_page(client: httpx.Client) -> None:
    healthy = {row["details"]["ticker"]: row for row in results(client, CHAIN, limit=250)}
    plan(client, duplicate_contracts=["NVDA"])
    first, second, *_ = list(pages(client, CHAIN, limit=250))
    again = second["results"][:4]
    early = {row["details"]["ticker"]: row for row in first["results"]}
    for place, late in enumerate(again):
        name = late["details"]["ticker"]
        pair = (early[name], late) if place < 2 else (late, early[name])
        assert "greeks" not in pair[0] and pair[1] == healthy[name]
    rows = tickers(results(client, CHAIN, limit=250))
    assert set(rows) == set(healthy) and len(rows) >= len(healthy) + 4


def test_one_contract_can_be_changed_in_any_way(client: httpx.Client) -> None:
    rows = [row for row in results(client, CHAIN, limit=250) if row["day"] and "greeks" in row]
    chosen = rows[3]["details"]["ticker"]
    plan(client, contract_overrides=[
        {"symbol": "NVDA", "ticker": chosen, "patch": {
            "day": {}, "greeks": None, "details": {"shares_per_contract": 10, "strike_price": "x"},
            "open_interest": -3, "novelty": {"a": [1]},
        }},
        {"symbol": "AAPL", "ticker": chosen, "patch": {"open_interest": 1}},
    ])  # fmt: skip
    changed = contract(client, chosen)
    assert changed["day"] == {} and changed["greeks"] is None and changed["open_interest"] == -3
    assert changed["details"] == rows[3]["details"] | {"shares_per_contract": 10, "strike_price": "x"}
    assert changed["novelty"] == {"a": [1]}
    other = contract(client, rows[4]["details"]["ticker"])
    assert other == rows[4]
    plan(client)
    assert contract(client, chosen) == rows[3]


def test_all_contracts_of_an_underlying_can_lose_a_field(client: httpx.Client) -> None:
    plan(client, contract_overrides=[
        {"symbol": "NVDA", "patch": {"underlying_asset": {"price": None}}, "remove": ["day.close", "greeks"]},
        {"symbol": "NVDA", "index": 0, "patch": {"underlying_asset": {"price": 5}}},
    ])  # fmt: skip
    rows = results(client, CHAIN, limit=250)
    assert [row["underlying_asset"]["price"] for row in rows] == [5] + [None] * (len(rows) - 1)
    assert not any("greeks" in row or "close" in row["day"] for row in rows)
    assert any("greeks" in row for row in results(client, "/v3/snapshot/options/AAPL", limit=250))


def test_a_reset_breaks_a_page_in_mid_body_as_often_as_asked(client: httpx.Client) -> None:
    plan(client, resets=[{"prefix": CHAIN, "after_bytes": 2000, "times": 2}])
    for _ in range(2):
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(CHAIN, params={"limit": 250})
    assert client.get(CHAIN).status_code == 200
    plan(client, resets=[{"prefix": "/v1", "after_bytes": 10**9}])
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/v1/marketstatus/now")


def test_a_delayed_plan_says_so_in_every_success(client: httpx.Client) -> None:
    plan(client, delayed=True)
    for path in (CHAIN, "/v3/reference/tickers", "/stocks/v1/splits", "/v2/aggs/ticker/SPY/range/1/day/0/1"):
        assert client.get(path).json()["status"] == "DELAYED", path
