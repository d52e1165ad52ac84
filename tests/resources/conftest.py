"""Tests of the room see no configuration of this machine, wait for no retry and talk to loopback only."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import stamina

from kapman_resources.market_data.rest import RestClient
from kapman_resources.settings import Settings

_CONFIGURATION = (
    "KAPMAN_", "AWS_", "POLYGON_", "MASSIVE_", "SMTP_", "CLAUDE_", "ANTHROPIC_", "OPENAI_", "DAILY_",
    "DATABASE_URL", "DB_PASSWORD", "S3_BUCKET", "AI_PROVIDER", "MARKET_DATA_PROVIDER", "NOTIFICATION_EMAIL",
    "TIMEZONE", "METRICS_PROVIDER",
)  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No variable and no .env but the one a test writes; returns where it would be."""
    for name in list(os.environ):
        if name.upper().startswith(_CONFIGURATION) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    env_file = tmp_path / ".env"
    monkeypatch.setitem(Settings.model_config, "env_file", (env_file,))
    return env_file


@pytest.fixture(autouse=True)
def retries_do_not_wait() -> Iterator[None]:
    with stamina.set_testing(True, attempts=10, cap=True):
        yield


@dataclass
class Reply:
    """One canned answer. `cut` sends fewer bytes than Content-Length promises."""

    body: bytes = b"{}"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


@dataclass
class Seen:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]


Answer = Callable[[str], Reply]


@dataclass
class Loopback:
    """A hand-made vendor: `answer` maps a path with query to a reply; `seen` keeps what was asked."""

    url: str
    seen: list[Seen] = field(default_factory=list)
    answer: Answer = lambda path: Reply(status=404)

    def replies(self, *replies: Reply) -> None:
        """Answers in order, the last one for ever."""
        left = list(replies)
        self.answer = lambda path: left.pop(0) if len(left) > 1 else left[0]


@contextmanager
def _listening() -> Iterator[Loopback]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # head and body are two small packets: 40 ms each answer otherwise

        def do_GET(self) -> None:
            loopback.seen.append(Seen(self.path, dict(self.headers)))
            reply = loopback.answer(self.path)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body) + (100 if reply.cut else 0)))
            self.end_headers()
            self.wfile.write(reply.body)
            self.close_connection = reply.cut

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Silent: a client that has what it needs may hang up."""

    server = Server(("127.0.0.1", 0), Handler)
    loopback = Loopback(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield loopback
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    with _listening() as running:
        yield running


@pytest.fixture
def other_host() -> Iterator[Loopback]:
    """A second server: whatever arrives here went to a host that was not configured."""
    with _listening() as running:
        yield running


@pytest.fixture
def reply() -> type[Reply]:
    return Reply


class RestWire:
    """Bodies of the vendor's REST interface, and the key that no answer may ever show."""

    KEY = "secret-key-of-the-test"
    CHAIN = "/v3/snapshot/options/"
    ERROR_401 = b'{"status":"ERROR","request_id":"r","error":"Unknown API Key"}'
    ERROR_403 = b'{"status":"NOT_AUTHORIZED","message":"You are not entitled to this data."}'
    ERROR_429 = b'{"status":"ERROR","error":"You\'ve exceeded the maximum requests per minute"}'

    @staticmethod
    def contract(strike: float = 200, expires: str = "2026-06-19", **fields: Any) -> dict[str, Any]:
        details = {
            "ticker": f"O:AAPL{expires[2:].replace('-', '')}C{int(strike * 1000):08}", "contract_type": "call",
            "exercise_style": "american", "expiration_date": expires, "strike_price": strike,
            "shares_per_contract": 100,
        }  # fmt: skip
        return {"details": details} | fields

    @staticmethod
    def page(*results: Any, status: str = "OK", **more: Any) -> bytes:
        return json.dumps({"status": status, "request_id": "r", "results": list(results)} | more).encode()


@pytest.fixture
def wire() -> type[RestWire]:
    return RestWire


@pytest.fixture
def rest_client() -> Iterator[Callable[..., RestClient]]:
    """Makes clients of an address that hardly wait for their turn, and closes them."""
    made: list[RestClient] = []

    def make(url: str, key: str = RestWire.KEY, **options: Any) -> RestClient:
        made.append(RestClient(url, key, **({"requests_per_second": 10_000} | options)))
        return made[-1]

    yield make
    for client in made:
        client.close()
