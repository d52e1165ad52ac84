"""The fault seam: each fault does what its plan says, and only as long as it says."""

from __future__ import annotations

import gzip
import time
from datetime import date

import httpx2 as httpx
import pytest
from simulator_wire import plan

from kapman_simulator.day_files import day_key

CHAIN = "/v3/snapshot/options/AAPL"
FILE = "/flatfiles/" + day_key(date(2026, 6, 12))


def test_without_a_plan_nothing_is_wrong(client: httpx.Client) -> None:
    healthy = client.get("/simulator/faults").json()
    assert not any(healthy.values())
    assert client.get(CHAIN).status_code == 200


def test_a_status_answers_the_next_requests_under_its_prefix_and_then_heals(client: httpx.Client) -> None:
    plan(
        client,
        statuses=[{"prefix": "/v3/snapshot", "status": 429, "times": 2, "headers": {"Retry-After": "3"}}],
    )
    assert client.get("/v1/marketstatus/now").status_code == 200
    first, second, third = (client.get(CHAIN) for _ in range(3))
    assert (first.status_code, second.status_code, third.status_code) == (429, 429, 200)
    assert first.headers["retry-after"] == "3" and "exceeded" in first.json()["error"]


def test_a_body_of_one_s_own_can_be_sent_even_with_status_200(client: httpx.Client) -> None:
    plan(client, statuses=[{"prefix": "/v3", "status": 200, "body": '{"status":"ERROR","error":"busy"}'}])
    assert client.get(CHAIN).json() == {"status": "ERROR", "error": "busy"}
    plan(client, statuses=[{"prefix": "/v3", "status": 502}])
    assert client.get(CHAIN).headers["content-type"].startswith("text/html")


def test_s3_faults_speak_xml(client: httpx.Client, signed: httpx.Client) -> None:
    plan(client, statuses=[{"prefix": "/flatfiles/us_stocks", "status": 503}])
    answer = signed.get(FILE)
    assert answer.status_code == 503 and "<Code>SlowDown</Code>" in answer.text
    assert signed.get(FILE).status_code == 200


def test_latency_delays_every_answer(client: httpx.Client) -> None:
    plan(client, latency_ms=120)
    start = time.perf_counter()
    client.get("/v1/marketstatus/now")
    assert time.perf_counter() - start > 0.11


def test_a_dropped_symbol_vanishes_everywhere(client: httpx.Client, signed: httpx.Client) -> None:
    whole = signed.head(FILE)
    plan(client, drop_symbols=["AAPL"])
    assert client.get(CHAIN).json()["results"] == []
    grouped = client.get("/v2/aggs/grouped/locale/us/market/stocks/2026-06-12").json()["results"]
    assert "AAPL" not in {row["T"] for row in grouped}
    assert b"\nAAPL," not in gzip.decompress(signed.get(FILE).content)
    assert signed.head(FILE).headers["etag"] != whole.headers["etag"]
    plan(client)
    assert signed.head(FILE).headers["etag"] == whole.headers["etag"]
    assert client.get(CHAIN).json()["results"]


def test_a_truncated_file_is_honest_about_its_length_and_has_no_gzip_end(
    client: httpx.Client, signed: httpx.Client
) -> None:
    plan(client, truncate={"2026-06-12": 700})
    body = signed.get(FILE).content
    assert len(body) == 700 == int(signed.head(FILE).headers["content-length"])
    with pytest.raises(EOFError):
        gzip.decompress(body)


def test_a_cut_connection_ends_before_the_promised_length(client: httpx.Client, signed: httpx.Client) -> None:
    plan(client, cut={"2026-06-12": 700})
    with pytest.raises(httpx.RemoteProtocolError):
        signed.get(FILE)
    plan(client)
    assert signed.get(FILE).status_code == 200


def test_an_unpublished_session_is_neither_listed_nor_readable(
    client: httpx.Client, signed: httpx.Client
) -> None:
    plan(client, unpublished=["2026-06-12"])
    assert signed.get(FILE).status_code == 403
    listing = signed.get(
        "/flatfiles", params={"list-type": 2, "prefix": "us_stocks_sip/day_aggs_v1/2026/06/"}
    )
    assert "2026-06-11.csv.gz" in listing.text and "2026-06-12.csv.gz" not in listing.text


def test_a_plan_nobody_understands_is_refused_and_changes_nothing(client: httpx.Client) -> None:
    plan(client, latency_ms=1)
    answer = client.post("/simulator/faults", json={"latncy": 5})
    assert answer.status_code == 400 and "latncy" in answer.json()["error"]
    assert client.get("/simulator/faults").json()["latency_ms"] == 1
