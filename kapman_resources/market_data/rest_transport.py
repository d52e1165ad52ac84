"""How the vendor's REST interface is asked: one pool of connections, one pace, retries, judgement of answers, paging.

The key travels in the Authorization header only, and only to the configured host: of `next_url` just path and query are
used, redirects are not followed, and proxy variables of the environment are not read. Does not belong here: what is
asked, what rows mean.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import httpx2
import stamina

from kapman_resources.market_data.protocol import (
    BadCredentials,
    NotEntitled,
    NotYetPublished,
    VendorAnswerError,
    VendorError,
    VendorUnreachable,
)
from kapman_resources.market_data.rest_wire import Malformed, Page, WrongShape, envelope

T = TypeVar("T")

LABEL_HEADER = "x-kapman-data-label"  # how the bundled simulator says that its data is not the vendor's
REQUESTS_PER_SECOND = 95  # the vendor asks for fewer than 100
IN_FLIGHT = 50
PAGE_CAP = 400  # SPX, the largest chain, has about 120 pages
ATTEMPTS = 5
_BURST_SECONDS = 0.04  # what a late wake-up may catch up: four requests at 95 a second, none at five a minute
_REQUEST_SECONDS = 120  # one answer from first to last byte, however slowly it drips
_PATIENCE = 120  # the longest wait that the vendor may ask for

# every failed try is in the final error; a log line for each would drown it
stamina.instrumentation.set_on_retry_hooks([])


class NotThere(VendorAnswerError):
    """HTTP 404: an unknown symbol, contract or endpoint."""


class _RetryLater(VendorError):
    """Throttled, a server error or a broken connection; `after` is the vendor's own wait in seconds."""

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


def _retry_hint(error: Exception) -> bool | float:
    if isinstance(error, _RetryLater):
        return error.after if error.after is not None else True
    return False


def target(path: str, params: Mapping[str, str]) -> str:
    return f"{path}?{urlencode(params)}"


async def all_of(questions: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The answers in order, asked side by side; the first failure ends the others."""
    tasks = [asyncio.create_task(question) for question in questions]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


class Trail:
    """The guards of one question: no cursor twice, and over all its branches not more pages than a chain can have."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._seen: set[str] = set()
        self._pages = [0]

    def branch(self) -> Trail:
        """For another part of the same question: cursors of its own, pages counted together."""
        made = Trail(self.what)
        made._pages = self._pages
        return made

    @property
    def pages(self) -> int:
        return self._pages[0]

    def next(self, page: Page[Any]) -> str | None:
        """The next page's path and query, None after the last. Raises VendorAnswerError for paging without an end."""
        self._pages[0] += 1
        if not page.next_url:
            return None
        try:
            follow = urlsplit(str(page.next_url))
        except ValueError as error:
            raise VendorAnswerError(
                f"{self.what}: page {self.pages} names a next page that is no address"
            ) from error
        following = f"/{follow.path.removeprefix('/')}?{follow.query}"
        if following in self._seen or self.pages >= PAGE_CAP:
            raise VendorAnswerError(
                f"{self.what}: paging does not end (page {self.pages}): the answer cannot be trusted"
            )
        self._seen.add(following)
        return following


class RestTransport:
    """Everything that the calls of one client share, over all threads: connections, pace, and the loop they live on.

    The loop's thread starts with the first question; `close` stops it, and another question starts it again.
    """

    def __init__(self, base_url: str, api_key: str, requests_per_second: float, in_flight: int) -> None:
        if not requests_per_second > 0 or in_flight < 1:
            raise ValueError(
                f"requests_per_second={requests_per_second} and in_flight={in_flight}: both must be above zero"
            )
        self._base = base_url.rstrip("/")
        self._key = api_key
        self._background = _Background(lambda: _Line(requests_per_second, in_flight))
        # at five requests a minute the first pause is a whole turn: a quicker try would only be refused again
        self._first_pause = max(1.0, 1.0 / requests_per_second)
        self.label: str | None = None
        weakref.finalize(self, self._background.stop)

    def run(self, question: Coroutine[Any, Any, T]) -> T:
        """The answer of a coroutine that uses this transport, for a caller in any thread."""
        future = self.submit(question)
        try:
            return future.result()
        finally:
            future.cancel()  # an interrupted caller leaves nothing behind

    def submit(self, question: Coroutine[Any, Any, T]) -> Future[T]:
        return self._background.submit(question)

    def close(self) -> None:
        self._background.stop()

    async def pages(
        self, path: str, params: Mapping[str, str], decode: Callable[[bytes], Page[T]]
    ) -> AsyncIterator[T]:
        """The rows of every page in turn. Raises VendorError subclasses; see `get` and `Trail.next`."""
        trail = Trail(path)
        following: str | None = target(path, params)
        while following:
            page = await self.get(following, decode, trail)
            yield page.rows
            following = trail.next(page)

    async def get(
        self,
        following: str,
        decode: Callable[[bytes], Page[T]],
        trail: Trail,
        attempts: int = ATTEMPTS,
    ) -> Page[T]:
        """One page, after as many tries as it takes.

        Raises BadCredentials, NotEntitled, NotYetPublished, NotThere and VendorAnswerError at once, VendorUnreachable
        after the last try. A question is bounded by tries, by the time of each and by its pauses, not by one deadline:
        waiting for one's turn may take long at five requests a minute and is no fault of the vendor's.
        """
        try:
            async for attempt in stamina.retry_context(
                on=_retry_hint,
                attempts=attempts,
                timeout=None,
                wait_initial=self._first_pause,
                wait_max=max(30.0, 5 * self._first_pause),
                wait_jitter=self._first_pause / 2,
            ):
                with attempt:
                    return self._judge(await self._send(following), decode, trail)
        except _RetryLater as error:
            raise VendorUnreachable(
                f"the vendor at {self._base} did not answer after {attempts} tries ({error}): check the network and "
                "POLYGON_BASE_URL, then run again"
            ) from error
        raise AssertionError("the retry loop returns or raises")

    async def _send(self, following: str) -> httpx2.Response:
        # a key with a line break would be refused by the HTTP library in an error that quotes it
        if not re.fullmatch(r"[!-~]+", self._key):
            raise BadCredentials(
                "POLYGON_API_KEY is empty or holds a space, a line break or a letter outside ASCII: "
                "check the key in .env"
            )
        line = self._background.line()
        try:
            async with line.gate:
                await line.pace.turn()
                async with asyncio.timeout(_REQUEST_SECONDS):
                    answer = await line.client.get(
                        self._address(following), headers={"Authorization": f"Bearer {self._key}"}
                    )
        except (httpx2.RequestError, TimeoutError) as error:
            trouble = f"{type(error).__name__} {error}".strip()
        else:
            self.label = answer.headers.get(LABEL_HEADER, self.label)
            return answer
        # raised here and not above: the library's error holds the request, and with it the key
        raise _RetryLater(f"{urlsplit(following).path}: {trouble}")

    def _address(self, following: str) -> httpx2.URL:
        """The question at the configured host, whatever `following` holds."""
        try:
            base = urlsplit(self._base)
            usable = base.scheme in ("http", "https") and base.hostname and "@" not in base.netloc
            if not usable or base.port == 0:  # reading the port checks it
                raise ValueError("not http(s)://host[:port]")
            raw = base.path + quote(following, safe="!#$%&'()*+,/:;=?@[]~")
            return httpx2.URL(f"{base.scheme}://{base.netloc}").copy_with(raw_path=raw.encode())
        except (ValueError, httpx2.InvalidURL) as error:
            raise VendorUnreachable(
                f"POLYGON_BASE_URL is no address of a vendor ({error}): check it in .env"
            ) from error

    def _judge(self, answer: httpx2.Response, decode: Callable[[bytes], Page[T]], trail: Trail) -> Page[T]:
        """The page of a good answer; raises the VendorError that a bad one means (wire formats, section 3.1)."""
        code, path = answer.status_code, trail.what
        if code != 200:
            raise self._refusal(answer, path)
        try:
            page = decode(answer.content)
        except Malformed as error:
            raise _RetryLater(f"{path}: {error}") from error
        except WrongShape as error:
            raise VendorAnswerError(
                f"{path}: page {trail.pages + 1} has another shape than documented ({error})"
            ) from error
        if page.status not in ("OK", "DELAYED"):
            raise self._retry_later(answer, f"{path}: HTTP 200, {self._words(page, code)}")
        return replace(page, size_bytes=answer.num_bytes_downloaded, label=answer.headers.get(LABEL_HEADER))

    def _refusal(self, answer: httpx2.Response, path: str) -> VendorError:
        code = answer.status_code
        try:
            said = self._words(envelope(answer.content), code)
        except Malformed:
            said = str(code)
        if code == 401:
            return BadCredentials(f"the vendor refused POLYGON_API_KEY ({said}): check the key in .env")
        if code == 403 and "before end of day" in said:
            return NotYetPublished(f"{path}: not there yet ({said}): run again after the session's end")
        if code == 403:
            return NotEntitled(f"{path}: the plan does not include this data ({said})")
        if code == 404:
            return NotThere(f"{path}: HTTP 404, {said}")
        if code == 429 or code >= 500:
            return self._retry_later(answer, f"{path}: HTTP {code}, {said}")
        return VendorAnswerError(f"{path}: HTTP {code}, {said}")

    def _retry_later(self, answer: httpx2.Response, message: str) -> VendorError:
        wait = _asked_wait(answer.headers.get("Retry-After", ""))
        if wait is not None and wait > _PATIENCE:
            return VendorUnreachable(f"{message}; the vendor asks to wait {wait:.0f} s: run again then")
        return _RetryLater(message, wait)

    def _words(self, page: Page[Any], code: int) -> str:
        """What the vendor said, in one line's length; a server that echoes its request does not get the key told."""
        said = page.said or (page.status if page.status != "OK" else str(code))
        return said.replace(self._key, "[key]")[:300]


def _asked_wait(text: str) -> float | None:
    """Seconds of a Retry-After header, a number or an HTTP date; None where it asks for nothing."""
    if text.isdecimal():
        return float(text)
    try:
        wait = parsedate_to_datetime(text).timestamp() - time.time()
    except ValueError:
        return None
    return wait if wait > 0 else None


class _Pace:
    """Spaces request starts evenly below a rate, first come first served."""

    def __init__(self, per_second: float) -> None:
        self._gap = 1.0 / per_second
        self._next = 0.0
        self._queue = asyncio.Lock()

    async def turn(self) -> None:
        async with self._queue:
            await asyncio.sleep(self._next - time.monotonic())
            self._next = max(self._next, time.monotonic() - min(_BURST_SECONDS, 4 * self._gap)) + self._gap


class _Line:
    """What is bound to one running loop."""

    def __init__(self, per_second: float, in_flight: int) -> None:
        self.pace = _Pace(per_second)
        # taken before the turn: who waits for a slot must not hold turns that would then be used all at once
        self.gate = asyncio.Semaphore(in_flight)
        self.client = httpx2.AsyncClient(
            headers={"Accept-Encoding": "gzip"},
            timeout=httpx2.Timeout(30, connect=5),
            limits=httpx2.Limits(max_connections=in_flight, max_keepalive_connections=in_flight),
            follow_redirects=False,  # a redirect could carry the key to a host that was not configured
            trust_env=False,  # and so could a proxy
        )


class _Background:
    """An event loop in a thread of its own, started when needed. Knows no question, only when to start and to stop."""

    def __init__(self, make: Callable[[], _Line]) -> None:
        self._make = make
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None

    def submit(self, question: Coroutine[Any, Any, T]) -> Future[T]:
        with self._guard:
            if self._thread is None or not self._thread.is_alive():
                self._start()
            return asyncio.run_coroutine_threadsafe(question, self._loop)

    def line(self) -> _Line:
        """Only for questions, which run on the loop that `submit` has started."""
        return self._line

    def stop(self) -> None:
        """Ends the loop; questions that still wait are cancelled."""
        with self._guard:
            thread, self._thread = self._thread, None
            if thread is None or not thread.is_alive():
                return
            self._loop.call_soon_threadsafe(self._stopping.set)
        if (
            thread is not threading.current_thread()
        ):  # the last reference may go where the last answer came from
            thread.join()

    def _start(self) -> None:
        self._line, self._stopping, ready = self._make(), asyncio.Event(), threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._live(ready)), name="rest client", daemon=True
        )
        self._thread.start()
        ready.wait()

    async def _live(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        stopping = self._stopping
        ready.set()
        async with self._line.client:
            await stopping.wait()
