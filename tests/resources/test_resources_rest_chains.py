"""Long chains in ranges of expiry: exactly the right contracts, whatever the server makes of the ranges."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kapman_resources.market_data import VendorUnreachable
from kapman_resources.market_data import rest_transport as transport
from kapman_resources.market_data.protocol import ChainCapture

Make = Callable[..., Any]
FIRST = date(2026, 5, 6)
RANGE = "expiration_date.gte"
OFFSETS = (0, 2, 5, 7, 9, 16, 23, 30, 37, 44, 72, 107, 163, 198, 254, 317, 408, 590, 772, 954)
LONG = [(days, 130) for days in OFFSETS]
DENSE = [(days, 300) for days in OFFSETS]


class Exchange:
    """A chain as the vendor serves it, with everything that a server may do to ranges, sort and pages.

    `wrong` names what it does; `calls` keeps the queries.
    """

    def __init__(self, expiries: list[tuple[int, int]], wire: Any, reply: Make, wrong: str = "") -> None:
        self.wire, self.reply, self.wrong = wire, reply, wrong
        self.contracts = [
            wire.contract(10 + n, str(FIRST + timedelta(days)), open_interest=n)
            for days, count in expiries
            for n in range(count)
        ]
        self.calls: list[dict[str, str]] = []

    def __call__(self, path: str) -> Any:
        query = dict(parse_qsl(urlsplit(path).query))
        self.calls.append(query)
        if "cursor" in query:
            state = json.loads(query["cursor"])
            query, start = state["query"], state["start"]
        else:
            start = 0
        if self.wrong == "ranges refused" and RANGE in query:
            return self.reply(b'{"status":"ERROR","error":"unknown parameter"}', 400)
        if self.wrong == "ranges not found" and RANGE in query:
            return self.reply(b"404 page not found", 404)
        if self.wrong == "one range fails" and query.get(RANGE, "") > str(FIRST + timedelta(300)):
            return self.reply(b"", 500)
        rows = self.selected(query)
        size = 100 if self.wrong == "pages of 100" else 250
        more: dict[str, Any] = {}
        if start + size < len(rows):
            cursor = json.dumps({"query": query, "start": start + size}, separators=(",", ":"))
            more["next_url"] = f"https://vendor.invalid{self.wire.CHAIN}AAPL?cursor={cursor}"
        return self.reply(self.wire.page(*rows[start : start + size], **more))

    def selected(self, query: dict[str, str]) -> list[Any]:
        rows = [row for row in self.contracts if self.within(row["details"]["expiration_date"], query)]
        if self.wrong == "sort ignored":
            return sorted(rows, key=lambda row: row["details"]["strike_price"])
        if self.wrong == "newest first":
            return rows[::-1]
        if self.wrong == "unsorted after page 1":
            return rows[:250] + rows[250:][::-1]
        return rows

    def within(self, day: str, query: dict[str, str]) -> bool:
        since, until = query.get(RANGE), query.get("expiration_date.lt")
        if self.wrong == "ranges ignored" or since is None:
            return True
        if self.wrong == "ranges empty":
            return False
        if self.wrong == "only the lower bound":
            until = None
        if self.wrong == "only the upper bound":
            since = ""
        return since <= day and (until is None or day < until)

    def truth(self) -> Counter[str]:
        return Counter(row["details"]["ticker"] for row in self.contracts)


def received(capture: ChainCapture) -> Counter[str]:
    return Counter(capture.rows["contract"])


@pytest.fixture
def exchange(loopback: Any, reply: Make, wire: Any) -> Callable[..., Exchange]:
    def make(expiries: list[tuple[int, int]], wrong: str = "") -> Exchange:
        loopback.answer = Exchange(expiries, wire, reply, wrong)
        return loopback.answer

    return make


WRONGS = [
    "", "ranges ignored", "only the lower bound", "only the upper bound", "ranges empty", "ranges refused",
    "ranges not found", "sort ignored", "newest first", "unsorted after page 1", "pages of 100",
]  # fmt: skip


@pytest.mark.parametrize("expiries", [DENSE, LONG], ids=["one expiry a page", "two expiries a page"])
@pytest.mark.parametrize("wrong", WRONGS)
def test_whatever_a_server_makes_of_ranges_every_contract_comes_exactly_once(
    wrong: str, expiries: list[tuple[int, int]], exchange: Any, loopback: Any, rest_client: Make
) -> None:
    vendor = exchange(expiries, wrong)
    capture = rest_client(loopback.url).chains(["AAPL"])
    assert capture.failed == {} and received(capture) == vendor.truth()
    assert capture.rows["open_interest"].sum() == sum(row["open_interest"] for row in vendor.contracts)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 400)), max_size=14, unique_by=lambda x: x[0]),
    st.sampled_from(WRONGS),
    st.integers(0, 3),
)
def test_any_chain_comes_back_as_it_is_listed_doubled_contracts_included(
    exchange: Any, loopback: Any, rest_client: Make, expiries: list[tuple[int, int]], wrong: str, doubled: int
) -> None:
    vendor = exchange(sorted(expiries), wrong)
    vendor.contracts[5:5] = vendor.contracts[5 : 5 + doubled]
    capture = rest_client(loopback.url).chains(["AAPL"])
    assert capture.failed == {} and received(capture) == vendor.truth()


def test_a_long_chain_is_asked_side_by_side_and_hardly_more_often(
    exchange: Any, loopback: Any, rest_client: Make
) -> None:
    vendor = exchange(DENSE)
    capture = rest_client(loopback.url).chains(["AAPL"])
    least = -(-len(vendor.contracts) // 250)
    ranges = [query for query in vendor.calls if RANGE in query]
    asked = sorted((one[RANGE], one.get("expiration_date.lt")) for one in ranges)
    assert len(asked) == 7 and asked[-1][1] is None
    assert [end for _, end in asked[:-1]] == [start for start, _ in asked[1:]]
    assert {(one["limit"], one["sort"], one["order"]) for one in ranges} == {
        ("250", "expiration_date", "asc")
    }
    assert capture.pages == len(vendor.calls) <= least + 7


def test_a_long_chain_takes_the_time_of_its_longest_range(
    exchange: Any, loopback: Any, rest_client: Make
) -> None:
    vendor = exchange(DENSE)

    def late(path: str) -> Any:
        time.sleep(0.1)
        return vendor(path)

    loopback.answer = late
    began = time.monotonic()
    capture = rest_client(loopback.url).chains(["AAPL"])
    spent = time.monotonic() - began
    assert received(capture) == vendor.truth()
    assert spent < 0.75 * 0.1 * capture.pages  # 24 pages one after the other take 2.4 s


@pytest.mark.parametrize(
    "expiries",
    [
        [(0, 100), (7, 100)],
        [(0, 250)],
        [(days, 60) for days in OFFSETS],
        [(days, 100) for days in OFFSETS],
    ],
    ids=["less than a page", "exactly a page", "five expiries a page", "three expiries a page"],
)
def test_a_chain_that_is_not_dense_costs_no_extra_request(
    expiries: list[tuple[int, int]], exchange: Any, loopback: Any, rest_client: Make
) -> None:
    vendor = exchange(expiries)
    capture = rest_client(loopback.url).chains(["AAPL"])
    assert len(vendor.calls) == capture.pages == -(-len(vendor.contracts) // 250)
    assert received(capture) == vendor.truth()


def test_a_dense_chain_that_ends_soon_is_still_whole(exchange: Any, loopback: Any, rest_client: Make) -> None:
    vendor = exchange([(0, 700)])
    capture = rest_client(loopback.url).chains(["AAPL"])
    assert received(capture) == vendor.truth() and capture.rows.height == 700


def test_a_range_that_keeps_failing_fails_the_symbol_as_a_whole(
    exchange: Any, loopback: Any, rest_client: Make, reply: Make, wire: Any
) -> None:
    vendor = exchange(DENSE, "one range fails")
    loopback.answer = lambda path: reply(wire.page(wire.contract())) if "MSFT" in path else vendor(path)
    capture = rest_client(loopback.url).chains(["AAPL", "MSFT"])
    assert "did not answer" in capture.failed["AAPL"]
    assert capture.rows["symbol"].to_list() == ["MSFT"]
    with pytest.raises(VendorUnreachable):
        rest_client(loopback.url).chains(["AAPL"])


def test_the_page_cap_counts_all_ranges_of_a_symbol_together(
    exchange: Any, loopback: Any, rest_client: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "PAGE_CAP", 12)
    vendor = exchange(DENSE)
    capture = rest_client(loopback.url).chains(["AAPL"])
    assert "paging does not end" in capture.failed["AAPL"] and capture.rows.height == 0
    assert len(vendor.calls) <= 12 + 8


def test_an_expiry_that_no_calendar_knows_is_no_reason_to_lose_a_chain(
    exchange: Any, loopback: Any, rest_client: Make
) -> None:
    vendor = exchange([(0, 700)])
    for row in vendor.contracts:
        row["details"]["expiration_date"] = "9999-13-45"
    capture = rest_client(loopback.url).chains(["AAPL"])
    assert received(capture) == vendor.truth() and capture.pages == 3


@pytest.mark.slow
def test_recorded_chains_come_whole_in_few_round_trips(
    shared_data: Path, exchange: Any, loopback: Any, rest_client: Make
) -> None:
    recorded = pl.read_parquet(shared_data / "options" / "cboe_chains_2026.parquet")
    for (name, _), chain in recorded.group_by(["underlying", recorded.columns[1]], maintain_order=True):
        counts = chain["expiration"].str.to_date().value_counts(sort=False).sort("expiration")
        vendor = exchange([((day - FIRST).days, count) for day, count in counts.rows()])
        capture = rest_client(loopback.url).chains(["AAPL"])
        least = -(-chain.height // 250)
        assert received(capture) == vendor.truth(), name
        assert least <= capture.pages <= least + 7, name
