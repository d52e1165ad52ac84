"""Every row of the wire document's tables of errors, limits and paging (its sections 3.1 to 3.3): which error, told how,
what of the rest survives, and that the key goes nowhere else.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest

from kapman_resources.market_data import (
    BadCredentials,
    NotEntitled,
    NotYetPublished,
    VendorAnswerError,
    VendorError,
    VendorUnreachable,
)
from kapman_resources.market_data import rest_transport as transport
from kapman_resources.market_data.protocol import MissingFile
from kapman_resources.market_data.rest import RestClient
from kapman_simulator.server import Serving

SESSION = date(2026, 5, 5)
Make = Callable[..., Any]

NOT_IN_PLAN = b'{"status":"NOT_AUTHORIZED","request_id":"r","message":"You are not entitled to this data. Please upgrade"}'
TOO_FAR_BACK = (
    b'{"status":"NOT_AUTHORIZED","message":"Your plan doesn\'t include this data timeframe. Please upgrade"}'
)
TOO_EARLY = (
    b'{"status":"NOT_AUTHORIZED","message":"Attempted to request today\'s data before end of day. Please"}'
)
THROTTLED = b'{"status":"ERROR","error":"You\'ve exceeded the maximum requests per minute, please wait"}'

REFUSALS = {
    "401 unknown key": (401, b'{"status":"ERROR","error":"Unknown API Key"}', BadCredentials, "Unknown API Key"),
    "401 no key": (401, b'{"status":"ERROR","error":"API Key was not provided"}', BadCredentials, "not provided"),
    "401 bare": (401, b"", BadCredentials, "401"),
    "403 not in plan": (403, NOT_IN_PLAN, NotEntitled, "You are not entitled"),
    "403 too far back": (403, TOO_FAR_BACK, NotEntitled, "this data timeframe"),
    "403 too early": (403, TOO_EARLY, NotYetPublished, "before end of day"),
    "404 NOT_FOUND": (404, b'{"status":"NOT_FOUND","message":"Ticker not found."}', VendorAnswerError, "Ticker not"),
    "404 NotFound": (404, b'{"status":"NotFound","request_id":5}', VendorAnswerError, "404, NotFound"),
    "404 plain text": (404, b"404 page not found", VendorAnswerError, "HTTP 404"),
    "404 list": (404, b"[]", VendorAnswerError, "HTTP 404"),
    "400": (400, b'{"status":"ERROR","error":"limit is too large"}', VendorAnswerError, "400, limit is too large"),
    "302": (302, b"", VendorAnswerError, "HTTP 302"),
}  # fmt: skip
PASSING = {
    "429 with a wait": (429, THROTTLED, {"Retry-After": "1"}, False),
    "429 without": (429, THROTTLED, {}, False),
    "429 with a date that is past": (429, THROTTLED, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, False),
    "429 with a wait that is none": (429, THROTTLED, {"Retry-After": "soon"}, False),
    "500 with HTML": (500, b"<html>upstream</html>", {}, False),
    "502 with HTML": (502, b"<html>bad gateway</html>", {}, False),
    "503 empty": (503, b"", {}, False),
    "504 JSON": (504, b'{"status":"ERROR","error":"timeout"}', {}, False),
    "200 that says ERROR": (200, THROTTLED, {}, False),
    "200 with HTML": (200, b"<html>maintenance</html>", {}, False),
    "200 with a list": (200, b"[]", {}, False),
    "200 empty": (200, b"", {}, False),
    "half a document": (200, b'{"status":"OK","results":[{"deta', {}, False),
    "a body cut off": (200, b'{"status":"OK","results":[{"deta', {}, True),
    "a body that does not unpack": (200, b"not gzip at all", {"Content-Encoding": "gzip"}, False),
}  # fmt: skip


def questions(rest: RestClient) -> dict[str, Callable[[], object]]:
    """Every way to ask, each raising what it meets."""

    def grouped() -> None:
        for answer in rest.grouped([SESSION]):
            if isinstance(answer, MissingFile):
                raise answer.error

    return {
        "chains": lambda: rest.chains(["AAPL"]).failed and pytest.fail("a common error is raised"),
        "grouped": grouped,
        "splits": lambda: rest.splits(SESSION, SESSION),
        "tickers": rest.tickers,
        "history": lambda: rest.option_history(SESSION, ["AAPL"]),
    }


def everything_told(error: BaseException) -> str:
    """All words of an error and of those behind it."""
    seen, told = [error], "".join(traceback.format_exception(error))
    for known in seen:
        told += repr(known) + repr(known.args) + repr(vars(known))
        seen += [e for e in (known.__cause__, known.__context__) if e is not None and e not in seen]
    return told


# --- 3.1: refusals and passing faults -----------------------------------------------------------------------


@pytest.mark.parametrize("asked", ["grouped", "splits", "tickers", "history", "chains"])
@pytest.mark.parametrize("case", REFUSALS)
def test_each_refusal_is_its_own_error_asked_once_and_told_in_the_vendor_s_words(
    case: str, asked: str, loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    status, body, kind, words = REFUSALS[case]
    loopback.replies(reply(body, status, {"Location": "http://127.0.0.1:1/"} if status == 302 else {}))
    rest = rest_client(loopback.url, option_history=True)
    absent = asked == "history" and status == 404
    if asked == "chains" and kind is VendorAnswerError:
        assert words in rest.chains(["AAPL"]).failed["AAPL"]
    else:
        with pytest.raises(NotEntitled if absent else kind) as told:
            questions(rest)[asked]()
        assert absent or (type(told.value) is kind or status == 404)
        assert absent or words in str(told.value)
        assert wire.KEY not in everything_told(told.value)
    fallback = asked == "splits" and status in (403, 404) and kind is not NotYetPublished
    both = asked in ("tickers", "history")  # two questions side by side
    assert len({seen.path for seen in loopback.seen}) == len(loopback.seen) <= (2 if fallback or both else 1)


@pytest.mark.parametrize("case", PASSING)
def test_a_passing_fault_is_survived_and_a_lasting_one_is_told_after_five_tries(
    case: str, loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    status, body, headers, cut = PASSING[case]
    bad = reply(body, status, headers, cut)
    rest = rest_client(loopback.url)
    loopback.replies(bad, bad, reply(wire.page(wire.contract())))
    assert rest.chains(["AAPL"]).rows.height == 1
    assert len(loopback.seen) == 3
    loopback.seen.clear()
    loopback.replies(bad)
    with pytest.raises(VendorUnreachable, match=r"did not answer after 5 tries .*POLYGON_BASE_URL") as told:
        rest.chains(["AAPL"])
    assert len(loopback.seen) == 5
    assert wire.KEY not in everything_told(told.value)


@pytest.mark.parametrize("asked", ["grouped", "splits", "tickers", "history"])
def test_every_question_survives_a_bad_minute_and_says_when_it_lasts(
    asked: str, loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    rest = rest_client(loopback.url, option_history=True)
    bad = reply(THROTTLED, 200)
    loopback.replies(bad, bad, bad, reply(wire.page({"T": "AAPL"})))
    questions(rest)[asked]()
    loopback.replies(bad)
    with pytest.raises(VendorUnreachable, match="exceeded the maximum requests per minute"):
        questions(rest)[asked]()


def test_a_delayed_answer_is_a_good_one(loopback: Any, reply: Make, rest_client: Make, wire: Any) -> None:
    loopback.replies(reply(wire.page(wire.contract(), status="DELAYED")))
    assert rest_client(loopback.url).chains(["AAPL"]).rows.height == 1


@pytest.mark.parametrize(
    "case", [name for name, (*_, kind, _) in REFUSALS.items() if kind is not BadCredentials]
)
def test_one_symbol_that_is_refused_leaves_the_others(
    case: str, loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    status, body, _, words = REFUSALS[case]
    good = reply(wire.page(wire.contract()))
    loopback.answer = lambda path: reply(body, status) if "BAD" in path else good
    capture = rest_client(loopback.url).chains(["AAPL", "BAD", "MSFT"])
    assert capture.rows["symbol"].to_list() == ["AAPL", "MSFT"]
    assert list(capture.failed) == ["BAD"] and words in capture.failed["BAD"]


@pytest.mark.parametrize("case", PASSING)
def test_one_symbol_that_keeps_failing_leaves_the_others(
    case: str, loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    status, body, headers, cut = PASSING[case]
    good = reply(wire.page(wire.contract()))
    loopback.answer = lambda path: reply(body, status, headers, cut) if "BAD" in path else good
    capture = rest_client(loopback.url).chains(["AAPL", "BAD", "MSFT"])
    assert capture.rows["symbol"].to_list() == ["AAPL", "MSFT"]
    assert "did not answer after 5 tries" in capture.failed["BAD"]


def test_a_wrong_key_is_refused_by_the_vendor_and_never_printed(
    small_vendor: Serving, rest_client: Make, wire: Any
) -> None:
    wrong = rest_client(small_vendor.url, option_history=True)
    for ask in questions(wrong).values():
        with pytest.raises(
            BadCredentials, match=r"refused POLYGON_API_KEY \(Unknown API Key\): check"
        ) as refused:
            ask()
        assert wire.KEY not in everything_told(refused.value)
    assert "refused POLYGON_API_KEY" in wrong.check()
    assert wire.KEY not in repr(wrong) + repr(vars(wrong))


def test_the_simulated_vendor_s_bad_minutes_are_survived(small_vendor: Serving, rest_client: Make) -> None:
    chain = "/v3/snapshot/options/"
    small_vendor.simulation.faults.set(
        json.dumps(
            {
                "statuses": [
                    {"prefix": chain + "AAPL", "status": 429, "times": 2, "headers": {"Retry-After": "3"}},
                    {"prefix": chain + "NVDA", "status": 502, "times": 3},
                    {"prefix": chain + "SPY", "status": 404, "times": 1},
                ],
                "resets": [
                    {"prefix": chain + "TSLA", "after_bytes": 5000, "times": 2},
                    {"prefix": chain + "MSFT", "after_bytes": 5000, "times": 99},
                ],
            }
        ).encode()
    )
    rest = rest_client(small_vendor.url, small_vendor.api_key)
    capture = rest.chains(["AAPL", "NVDA", "SPY", "TSLA", "MSFT"])
    assert sorted(capture.rows["symbol"].unique()) == ["AAPL", "NVDA", "TSLA"]
    assert sorted(capture.failed) == ["MSFT", "SPY"]
    assert rest.chains(["SPY"]).failed == {}


# --- 3.3: paging --------------------------------------------------------------------------------------------


FIRST_PAGE = "limit=250&sort=expiration_date&order=asc"


@pytest.mark.parametrize(
    "form",
    [
        "http://{host}/v3/snapshot/options/AAPL?cursor=a%2Bb%3D",
        "http://user:secret@{host}/v3/snapshot/options/AAPL?cursor=a%2Bb%3D",
        "https://vendor.invalid/v3/snapshot/options/AAPL?cursor=a%2Bb%3D",
        "//{host}/v3/snapshot/options/AAPL?cursor=a%2Bb%3D",
        "/v3/snapshot/options/AAPL?cursor=a%2Bb%3D",
    ],
)
def test_the_next_page_is_asked_from_the_configured_host_with_the_key_in_the_header_only(
    form: str, loopback: Any, other_host: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    follow = form.format(host=other_host.url.removeprefix("http://"))
    loopback.replies(
        reply(wire.page(wire.contract(200), next_url=follow)),
        reply(wire.page(wire.contract(210), status="DELAYED")),
    )
    capture = rest_client(loopback.url).chains(["AAPL"])
    assert capture.rows["strike"].to_list() == [200.0, 210.0] and capture.pages == 2
    # the cursor stands alone and as it came, without the first page's parameters
    assert [seen.path for seen in loopback.seen] == [
        f"{wire.CHAIN}AAPL?{FIRST_PAGE}", f"{wire.CHAIN}AAPL?cursor=a%2Bb%3D",
    ]  # fmt: skip
    assert all(seen.headers["Authorization"] == f"Bearer {wire.KEY}" for seen in loopback.seen)
    assert not any(wire.KEY in seen.path for seen in loopback.seen)
    assert other_host.seen == []


@pytest.mark.parametrize(
    "form",
    [
        "//{host}/v3/x?cursor=1", "{url}//{host}/v3/x?cursor=1", "{url}@{host}/x", "@{host}/x", ".{host}/x",
        ":1@{host}/x", "\\\\{host}\\x", "http:{host}/x", "{url}\\@{host}/x", " http://{host}/x", "?cursor=1",
        "{url}/x?a=\r\nHost: {host}", "http://{host}", 7, ["http://{host}/x"], {"a": 1},
    ],
)  # fmt: skip
def test_no_form_of_next_page_sends_the_key_to_another_host(
    form: object, loopback: Any, other_host: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    host = other_host.url.removeprefix("http://")
    follow = form.format(url=loopback.url, host=host) if isinstance(form, str) else form
    loopback.replies(reply(wire.page(wire.contract(), next_url=follow)), reply(wire.page()))
    rest_client(loopback.url).chains(["AAPL"])
    assert other_host.seen == [] and len(loopback.seen) == 2
    assert all("Host: " not in seen.path for seen in loopback.seen)


@pytest.mark.parametrize(
    "symbol", ["../../x", "a/b?c=1", "A B", "A#B", "@127.0.0.1:1", "//127.0.0.1:1/", "Ä"]
)
def test_no_symbol_leads_to_another_address(
    symbol: str, loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    loopback.replies(reply(wire.page(wire.contract())))
    assert rest_client(loopback.url).chains([symbol]).rows["symbol"].to_list() == [symbol]
    (seen,) = loopback.seen
    assert seen.path.startswith(wire.CHAIN) and seen.path.endswith("?" + FIRST_PAGE)
    assert "/" not in seen.path.removeprefix(wire.CHAIN)


def test_an_index_is_asked_with_its_prefix(loopback: Any, reply: Make, rest_client: Make, wire: Any) -> None:
    loopback.replies(reply(wire.page(wire.contract())))
    rest_client(loopback.url + "/proxied/").chains(["I:SPX"])
    assert loopback.seen[0].path == f"/proxied{wire.CHAIN}I:SPX?{FIRST_PAGE}"


def test_a_redirect_is_not_followed(loopback: Any, other_host: Any, reply: Make, rest_client: Make) -> None:
    loopback.replies(reply(b"", 302, {"Location": other_host.url + "/"}))
    assert "HTTP 302" in rest_client(loopback.url).chains(["AAPL"]).failed["AAPL"]
    assert other_host.seen == []


def test_a_proxy_of_the_environment_is_not_used(
    loopback: Any, other_host: Any, reply: Make, rest_client: Make, wire: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, other_host.url)
    loopback.replies(reply(wire.page(wire.contract())))
    assert rest_client(loopback.url).chains(["AAPL"]).rows.height == 1
    assert other_host.seen == []


@pytest.mark.parametrize("key", ["", "two words", f"{'k' * 9}\n", "clé-secrète", "tab\tbed"])
def test_a_key_that_no_header_can_carry_is_refused_before_it_is_sent_and_not_quoted(
    key: str, loopback: Any, rest_client: Make
) -> None:
    with pytest.raises(BadCredentials, match="POLYGON_API_KEY is empty or holds") as told:
        rest_client(loopback.url, key).chains(["AAPL"])
    assert loopback.seen == [] and (not key or key not in everything_told(told.value))


def test_a_server_that_echoes_the_request_does_not_get_the_key_told(
    loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    echo = json.dumps({"status": "ERROR", "error": f"bad header Bearer {wire.KEY} " + "x" * 1000}).encode()
    loopback.replies(reply(echo, 400))
    failed = rest_client(loopback.url).chains(["AAPL"]).failed["AAPL"]
    assert "Bearer [key]" in failed and wire.KEY not in failed and len(failed) < 400


def test_a_cursor_that_was_seen_before_ends_the_paging_with_an_error(
    loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    def answer(path: str) -> Any:
        follow = {FIRST_PAGE: "a", "cursor=a": "b", "cursor=b": "a"}.get(path.split("?")[1])
        bad = wire.page(wire.contract(), next_url=f"https://vendor.invalid{wire.CHAIN}BAD?cursor={follow}")
        return reply(bad if "BAD" in path else wire.page(wire.contract()))

    loopback.answer = answer
    capture = rest_client(loopback.url).chains(["BAD", "AAPL"])
    assert "paging does not end" in capture.failed["BAD"]
    assert capture.rows["symbol"].to_list() == ["AAPL"] and len(loopback.seen) == 4


@pytest.mark.parametrize("fault", ["cursor_loop", "endless_pages"])
def test_the_simulated_vendor_s_paging_without_an_end_fails_its_symbol_only(
    fault: str, small_vendor: Serving, rest_client: Make
) -> None:
    small_vendor.simulation.faults.set(json.dumps({fault: ["NVDA"]}).encode())
    capture = rest_client(small_vendor.url, small_vendor.api_key).chains(["AAPL", "NVDA"])
    assert list(capture.failed) == ["NVDA"] and "paging does not end" in capture.failed["NVDA"]
    assert set(capture.rows["symbol"]) == {"AAPL"}


@pytest.fixture
def endless(loopback: Any, reply: Make, wire: Any) -> Iterator[Any]:
    """A vendor whose every page names another one."""
    loopback.answer = lambda path: reply(
        wire.page(wire.contract(), next_url=f"https://vendor.invalid/x?cursor={len(loopback.seen)}")
    )
    yield loopback


def test_ever_new_cursors_stop_at_the_page_cap(
    endless: Any, rest_client: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "PAGE_CAP", 5)
    rest = rest_client(endless.url)
    assert "paging does not end (page 5)" in rest.chains(["AAPL"]).failed["AAPL"]
    assert len(endless.seen) == 5
    for ask in (rest.tickers, lambda: rest.splits(SESSION, SESSION)):
        with pytest.raises(VendorAnswerError, match="paging does not end"):
            ask()


def test_an_empty_page_with_a_next_one_does_not_end_the_chain(
    loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    loopback.replies(
        reply(wire.page(next_url=f"https://vendor.invalid{wire.CHAIN}AAPL?cursor=x")),
        reply(b'{"status":"OK","next_url":"https://vendor.invalid/x?cursor=y"}'),
        reply(b'{"status":"OK","results":null,"next_url":"https://vendor.invalid/x?cursor=z"}'),
        reply(wire.page(wire.contract(), next_url=None)),
    )
    capture = rest_client(loopback.url).chains(["AAPL"])
    assert capture.rows.height == 1 and capture.empty == [] and capture.pages == 4


def test_a_next_page_that_is_no_address_fails_its_symbol_only(
    loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    loopback.answer = lambda path: reply(
        wire.page(wire.contract(), next_url="http://[x" if "BAD" in path else None)
    )
    capture = rest_client(loopback.url).chains(["BAD", "AAPL"])
    assert list(capture.failed) == ["BAD"] and capture.rows["symbol"].to_list() == ["AAPL"]


def test_a_page_that_breaks_in_the_middle_of_a_chain_never_leaves_half_of_it(
    loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    first = wire.page(wire.contract(), next_url="https://vendor.invalid/x?cursor=2")
    loopback.answer = lambda path: reply(first) if "limit" in path else reply(b'{"results":[{"det', cut=True)
    with pytest.raises(VendorUnreachable) as told:
        rest_client(loopback.url).chains(["AAPL"])
    assert isinstance(told.value, VendorError)
