"""The tables of error answers (wire document, sections 2.5 and 3.1), row by row on the wire."""

from __future__ import annotations

import time

import httpx2 as httpx
import pytest
from simulator_wire import clock_at, new_york, plan

from kapman_simulator.server import Serving

CHAIN = "/v3/snapshot/options/AAPL"
GROUPED = "/v2/aggs/grouped/locale/us/market/stocks/"
BARS = "/v2/aggs/ticker/SPY/range/1/day/"
PRICING = "https://massive.com/pricing"


def told(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, the body's status word and its text, after the request id was checked."""
    body = answer.json()
    assert len(body["request_id"]) == 32 and set(body["request_id"]) <= set("0123456789abcdef")
    assert set(body) in ({"status", "request_id", "error"}, {"status", "request_id", "message"})
    return answer.status_code, body["status"], body.get("error") or body.get("message")


@pytest.mark.parametrize(("status", "word", "field", "text"), [
    (400, "ERROR", "error", "The request was not understood."),
    (401, "ERROR", "error", "Unknown API Key"),
    (403, "NOT_AUTHORIZED", "message",
     f"You are not entitled to this data. Please upgrade your plan at {PRICING}"),
    (404, "NOT_FOUND", "message", "The requested resource was not found."),
    (429, "ERROR", "error", "You've exceeded the maximum requests per minute, please wait or upgrade your "
     f"subscription to continue. {PRICING}"),
])  # fmt: skip
def test_an_injected_status_has_the_vendor_s_own_document(
    client: httpx.Client, status: int, word: str, field: str, text: str
) -> None:
    plan(client, statuses=[{"prefix": "/v3", "status": status}])
    answer = client.get(CHAIN)
    assert told(answer) == (status, word, text) and field in answer.json()
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_broken_server_may_answer_in_html(client: httpx.Client, status: int) -> None:
    plan(client, statuses=[{"prefix": "/v3", "status": status}])
    answer = client.get(CHAIN)
    assert answer.status_code == status and answer.headers["content-type"].startswith("text/html")


def test_the_free_plan_has_no_snapshot_no_files_no_history_of_options_and_no_running_day(
    client: httpx.Client, signed: httpx.Client, vendor: Serving
) -> None:
    plan(client, basic_plan=True)
    for path in (CHAIN, "/options/v1/analytics"):
        status, word, text = told(client.get(path))
        assert (status, word) == (403, "NOT_AUTHORIZED") and "not entitled" in text
    key = "/flatfiles/us_stocks_sip/day_aggs_v1/2026/06/2026-06-11.csv.gz"
    assert signed.get(key).status_code == 403
    assert client.get(GROUPED + "2026-06-12").json()["resultsCount"] > 50
    with clock_at(client, vendor, new_york(2026, 6, 12, 11)):
        for path in (GROUPED + "2026-06-12", BARS + "2026-06-01/2026-06-12"):
            status, word, text = told(client.get(path))
            assert (status, word) == (403, "NOT_AUTHORIZED")
            assert text.startswith("Attempted to request today's data before end of day.")
        assert client.get(GROUPED + "2026-06-11").status_code == 200
    plan(client)
    with clock_at(client, vendor, new_york(2026, 6, 12, 11)):
        assert client.get(GROUPED + "2026-06-12").json()["resultsCount"] == 0


def test_bars_below_the_plan_s_history_are_refused_in_its_own_words(client: httpx.Client) -> None:
    plan(client, history_from="2024-06-13")
    for path in (GROUPED + "2024-06-12", BARS + "2024-01-02/2026-06-12"):
        status, word, text = told(client.get(path))
        assert (status, word) == (403, "NOT_AUTHORIZED")
        assert text.startswith("Your plan doesn't include this data timeframe.")
    assert client.get(GROUPED + "2024-06-13").status_code == 200


def test_a_rate_limit_counts_requests_of_real_time(client: httpx.Client, signed: httpx.Client) -> None:
    plan(client, rate_limit={"requests": 3, "seconds": 0.4, "retry_after": "1"})
    codes = [client.get("/v1/marketstatus/now").status_code for _ in range(5)]
    assert codes == [200, 200, 200, 429, 429]
    assert client.get(CHAIN).headers["retry-after"] == "1"
    assert signed.get("/flatfiles", params={"list-type": 2, "prefix": "none"}).status_code == 200
    time.sleep(0.45)
    assert client.get(CHAIN).status_code == 200


def test_one_path_can_be_slow(client: httpx.Client) -> None:
    plan(client, slow={"/v3/snapshot": 150})
    start = time.perf_counter()
    client.get("/v1/marketstatus/now")
    between = time.perf_counter()
    client.get(CHAIN)
    assert time.perf_counter() - between > 0.14 > between - start


def test_grouped_daily_can_hold_garbage_and_can_be_empty(client: httpx.Client) -> None:
    healthy = client.get(GROUPED + "2026-06-12", params={"adjusted": "false"}).json()
    garbage = [
        {"T": "AB\u0001\u001f", "v": 1, "o": 9e11, "c": 9e11, "h": 9e11, "l": 9e11, "t": 0},
        healthy["results"][0], {"T": "NOPRICE"}, {"T": 5, "c": "x"},
    ]  # fmt: skip
    plan(client, grouped_rows={"2026-06-12": garbage})
    answer = client.get(GROUPED + "2026-06-12", params={"adjusted": "false"}).json()
    assert answer["results"] == healthy["results"] + garbage
    assert answer["resultsCount"] == answer["count"] == healthy["resultsCount"] + 4
    plan(client, grouped_unavailable=["2026-06-12"])
    empty = client.get(GROUPED + "2026-06-12").json()
    assert (empty["status"], empty["resultsCount"], "results" in empty) == ("OK", 0, False)
    assert client.get(GROUPED + "2026-06-11").json()["resultsCount"] > 50


def test_key_and_parameter_errors_have_the_same_documents(client: httpx.Client, vendor: Serving) -> None:
    bad = client.get(CHAIN, params={"limit": 0})
    assert told(bad)[:2] == (400, "ERROR")
    with httpx.Client(base_url=vendor.url, trust_env=False) as stranger:
        assert told(stranger.get(CHAIN)) == (401, "ERROR", "API Key was not provided")
        assert told(stranger.get(CHAIN, params={"apiKey": "x"})) == (401, "ERROR", "Unknown API Key")
