"""Tests of the room see no configuration of this machine, wait for no retry and talk to loopback only."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import stamina

from kapman_resources.settings import Settings

_CONFIGURATION = (
    "KAPMAN_", "AWS_", "POLYGON_", "MASSIVE_", "SMTP_", "CLAUDE_", "ANTHROPIC_", "OPENAI_", "DAILY_",
    "DATABASE_URL", "DB_PASSWORD", "S3_BUCKET", "AI_PROVIDER", "MARKET_DATA_PROVIDER", "NOTIFICATION_EMAIL",
    "TIMEZONE",
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

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
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
