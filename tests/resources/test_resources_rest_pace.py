"""One limiter and one pool of connections for a client: pace, retries and their pauses, threads, closing."""

from __future__ import annotations

import gc
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import Any

import pytest
import stamina
from hypothesis import given
from hypothesis import strategies as st

from kapman_resources.market_data import VendorUnreachable
from kapman_resources.market_data import rest_transport as transport
from kapman_resources.market_data.rest import RestClient

SESSION = date(2026, 5, 5)
Make = Callable[..., Any]


@pytest.fixture
def good(reply: Make, wire: Any) -> Any:
    return reply(wire.page(wire.contract()))


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The pauses between tries, noted and not made."""
    noted: list[float] = []

    async def note(seconds: float) -> None:
        noted.append(seconds)

    monkeypatch.setattr("stamina._core._smart_sleep", note)
    with stamina.set_testing(False):
        yield noted


# --- pauses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", ["17", "90", "120"])
def test_the_vendor_s_own_wait_is_kept_as_it_asks(
    asked: str, loopback: Any, reply: Make, rest_client: Make, good: Any, wire: Any, waits: list[float]
) -> None:
    loopback.replies(reply(wire.ERROR_429, 429, {"Retry-After": asked}), good)
    rest_client(loopback.url).chains(["AAPL"])
    assert waits == [float(asked)]


def test_a_wait_until_a_date_is_kept(
    loopback: Any, reply: Make, rest_client: Make, good: Any, wire: Any, waits: list[float]
) -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    loopback.replies(reply(wire.ERROR_429, 503, {"Retry-After": until}), good)
    rest_client(loopback.url).chains(["AAPL"])
    assert len(waits) == 1 and 35 < waits[0] <= 40


def test_without_a_wait_the_pauses_grow_from_one_second(
    loopback: Any, reply: Make, rest_client: Make, good: Any, waits: list[float]
) -> None:
    loopback.replies(*[reply(b"", 500)] * 4, good)
    rest_client(loopback.url).chains(["AAPL"])
    for wait, least in zip(waits, (1, 2, 4, 8), strict=True):
        assert least <= wait <= least + 0.5


def test_at_five_requests_a_minute_the_pauses_begin_with_a_whole_turn(
    loopback: Any, reply: Make, rest_client: Make, good: Any, wire: Any, waits: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    async def at_once(pace: Any) -> None:
        assert pace._gap == pytest.approx(12)

    monkeypatch.setattr(transport._Pace, "turn", at_once)
    loopback.replies(*[reply(wire.ERROR_429, 429)] * 4, good)
    rest_client(loopback.url, requests_per_second=5 / 60).chains(["AAPL"])
    for wait, least in zip(waits, (12, 24, 48, 60), strict=True):
        assert least <= wait <= least + 6


@pytest.mark.parametrize("status", [429, 503, 200])
def test_a_wait_longer_than_patience_is_told_and_not_made(
    status: int, loopback: Any, reply: Make, rest_client: Make, wire: Any, waits: list[float]
) -> None:
    loopback.replies(reply(wire.ERROR_429, status, {"Retry-After": "3600"}))
    with pytest.raises(VendorUnreachable, match="asks to wait 3600 s"):
        rest_client(loopback.url).chains(["AAPL"])
    assert waits == [] and len(loopback.seen) == 1


@given(st.text(max_size=40) | st.sampled_from(["-5", "nan", "inf", "1e9", "0", "٣", "1,5"]))
def test_whatever_stands_in_retry_after_is_a_wait_or_none(text: str) -> None:
    wait = transport._asked_wait(text)
    assert wait is None or wait >= 0


# --- connections --------------------------------------------------------------------------------------------


@contextmanager
def speaking(answers: list[bytes], linger: bool = False) -> Iterator[tuple[str, list[int]]]:
    """A server of raw bytes: each request gets the next answer; yields its address and requests by connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    requests: list[int] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            number = len(requests)
            requests.append(0)
            threading.Thread(target=talk, args=(connection, number), daemon=True).start()

    def talk(connection: socket.socket, number: int) -> None:
        with connection:
            while connection.recv(65536):
                requests[number] += 1
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                connection.sendall(answer)
                if linger and not answer.endswith(b"}"):  # closing now sends a reset instead of an end
                    time.sleep(0.02)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", requests
    finally:
        listener.close()


def framed(body: bytes, length: int | None = None) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (length or len(body)) + body


def test_a_reset_in_mid_body_is_asked_again_and_a_lasting_one_is_told(rest_client: Make, wire: Any) -> None:
    body = wire.page(wire.contract())
    reset = framed(body[:-30], len(body))
    with speaking([reset, reset, framed(body)], linger=True) as (url, _):
        assert rest_client(url).chains(["AAPL"]).rows.height == 1
    with speaking([reset], linger=True) as (url, _), pytest.raises(VendorUnreachable, match="after 5 tries"):
        rest_client(url).chains(["AAPL"])


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"]
)
def test_an_answer_that_is_no_http_is_a_vendor_out_of_reach(
    answer: bytes, rest_client: Make, wire: Any
) -> None:
    with speaking([answer + b"\n"], linger=True) as (url, _), pytest.raises(VendorUnreachable) as told:
        rest_client(url).chains(["AAPL"])
    assert wire.KEY not in str(told.value)


def test_connections_are_kept_over_questions_of_every_kind(rest_client: Make, wire: Any) -> None:
    with speaking([framed(wire.page(wire.contract()))]) as (url, requests):
        rest = rest_client(url)
        for _ in range(5):
            rest.chains(["AAPL"])
            rest.splits(SESSION, SESSION)
            assert rest.check() == "ok"
        assert requests == [15]


def test_no_more_requests_are_in_flight_than_allowed_over_all_threads(
    loopback: Any, rest_client: Make, good: Any
) -> None:
    now, most, guard = 0, 0, threading.Lock()

    def answer(path: str) -> Any:
        nonlocal now, most
        with guard:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with guard:
            now -= 1
        return good

    loopback.answer = answer
    rest = rest_client(loopback.url, in_flight=4)
    with ThreadPoolExecutor(3) as threads:
        captures = list(threads.map(lambda n: rest.chains([f"S{n}{i}" for i in range(8)]), range(3)))
    assert [capture.rows.height for capture in captures] == [8, 8, 8]
    assert most == 4


# --- pace ---------------------------------------------------------------------------------------------------


@pytest.fixture
def clocked(loopback: Any, good: Any) -> list[float]:
    """When each request arrived."""
    arrived: list[float] = []

    def answer(path: str) -> Any:
        arrived.append(time.monotonic())
        return good

    loopback.answer = answer
    return arrived


def test_all_methods_and_threads_share_one_pace(
    loopback: Any, rest_client: Make, clocked: list[float]
) -> None:
    rest = rest_client(loopback.url, requests_per_second=60)
    asks = [rest.check, lambda: rest.splits(SESSION, SESSION), lambda: rest.chains(["A", "B"]), rest.tickers]
    with ThreadPoolExecutor(4) as threads:
        for future in [threads.submit(ask) for ask in asks * 5]:
            future.result()
    assert len(clocked) == 30
    assert max(clocked) - min(clocked) >= 29 / 60 - transport._BURST_SECONDS - 0.02


def test_the_pace_keeps_up_with_its_rate_and_never_passes_a_hundred_a_second(
    loopback: Any, rest_client: Make, good: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, turn = list[float](), transport._Pace.turn

    async def noted(pace: Any) -> None:
        await turn(pace)
        left.append(time.monotonic())

    monkeypatch.setattr(transport._Pace, "turn", noted)
    loopback.replies(good)
    rest_client(loopback.url, requests_per_second=transport.REQUESTS_PER_SECOND).chains(
        [f"S{i}" for i in range(150)]
    )
    spent = left[-1] - left[0]
    assert 149 / 95 - 0.06 <= spent <= 1.3 * 149 / 95
    assert max(sum(1 for at in left if start <= at < start + 1) for start in left) < 100


def test_a_slow_limiter_lets_no_question_expire(
    loopback: Any, rest_client: Make, clocked: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "_REQUEST_SECONDS", 0.3)
    capture = rest_client(loopback.url, requests_per_second=8).chains([f"S{i}" for i in range(8)])
    assert capture.failed == {} and capture.rows.height == 8
    assert all(later - earlier > 0.08 for earlier, later in pairwise(clocked))


def test_an_answer_that_drips_for_ever_is_given_up(
    loopback: Any, rest_client: Make, good: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "_REQUEST_SECONDS", 0.1)

    def answer(path: str) -> Any:
        time.sleep(0.4)
        return good

    loopback.answer = answer
    with pytest.raises(VendorUnreachable, match="TimeoutError"):
        rest_client(loopback.url).chains(["AAPL"])


@pytest.mark.parametrize(("rate", "flight"), [(0, 50), (-1, 50), (float("nan"), 50), (95, 0)])
def test_a_limit_that_would_ask_nothing_is_refused(rate: float, flight: int) -> None:
    with pytest.raises(ValueError, match="must be above zero"):
        RestClient("http://127.0.0.1:1", "key", rate, flight)


# --- life ---------------------------------------------------------------------------------------------------


def running() -> int:
    return sum(thread.name == "rest client" for thread in threading.enumerate())


def test_the_thread_starts_with_the_first_question_ends_with_close_and_starts_again(
    loopback: Any, rest_client: Make, good: Any
) -> None:
    before = running()
    loopback.replies(good)
    rest = rest_client(loopback.url)
    rest.close()
    assert running() == before
    for _ in range(2):
        assert rest.chains(["AAPL"]).rows.height == 1
        assert running() == before + 1
        rest.close()
        rest.close()
        assert running() == before


def test_a_client_that_is_forgotten_ends_its_thread(loopback: Any, good: Any) -> None:
    before = running()
    loopback.replies(good)
    assert RestClient(loopback.url, "key").check() == "ok"
    gc.collect()
    deadline = time.monotonic() + 5
    while running() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert running() == before


def test_the_days_that_nobody_takes_any_more_are_not_asked(
    loopback: Any, reply: Make, rest_client: Make, wire: Any
) -> None:
    loopback.answer = lambda path: reply(wire.page({"T": "AAPL"}))
    days = rest_client(loopback.url).grouped([date(2026, 5, day) for day in range(4, 30)])
    next(days)
    days.close()
    time.sleep(0.05)
    assert len(loopback.seen) <= 5


# --- addresses ----------------------------------------------------------------------------------------------


def test_an_address_where_nobody_listens_says_what_to_check(rest_client: Make) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(VendorUnreachable, match=f"the vendor at {url} did not answer .*POLYGON_BASE_URL"):
            rest_client(url).chains(["AAPL", "MSFT"])
        assert "did not answer after 2 tries" in rest_client(url).check()


@pytest.mark.parametrize(
    "address",
    [
        "api.massive.com",
        "",
        "http://",
        "ftp://127.0.0.1",
        "http://127.0.0.1:99999",
        "http://[x",
        "http://u:pw@127.0.0.1",
    ],
)
def test_an_address_that_is_none_says_what_to_check(address: str, rest_client: Make) -> None:
    with pytest.raises(VendorUnreachable, match="POLYGON_BASE_URL"):
        rest_client(address).chains(["AAPL"])
