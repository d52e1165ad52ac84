"""Who may ask: loopback by default, a token elsewhere, no foreign Host or Origin; and the command that serves."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from kapman_mcp.reading import ReadOnlyDatabase
from kapman_mcp.server import create_app, required_token
from kapman_resources.database import Database
from kapman_resources.settings import Settings, SettingsError

TOKEN = "a-token-of-the-test-only"


@pytest.fixture
def server(database: Database, served: Callable[[Any], str]) -> Iterator[Callable[..., str]]:
    """Serves the empty database with options of create_app; gives the endpoint."""
    with ReadOnlyDatabase(database.url) as read_only:
        yield lambda **options: served(create_app(read_only, **options)) + "/mcp"


def status(url: str, **headers: str) -> int:
    sent = {"Accept": "application/json, text/event-stream"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    return httpx2.post(url, json=body, headers=sent, trust_env=False).status_code


@pytest.mark.parametrize(
    ("header", "value", "expected"),
    [
        ("Host", "evil.example", 421),
        ("Host", "evil.example:5001", 421),
        ("Host", "127.0.0.1.evil.example", 421),
        ("Origin", "https://evil.example", 403),
        ("Origin", "null", 403),
        ("Origin", "http://127.0.0.1.evil.example", 403),
    ],
)
def test_a_foreign_page_that_names_itself_loopback_is_refused(
    server: Callable[..., str], header: str, value: str, expected: int
) -> None:
    url = server()
    assert status(url, **{header: value}) == expected
    assert status(url) == 200
    assert status(url, Origin="http://localhost:6274") == 200


def test_a_further_host_name_is_known_only_when_it_is_named(server: Callable[..., str]) -> None:
    assert status(server(), Host="kapman.lan:5001") == 421
    assert status(server(names=("kapman.lan",)), Host="kapman.lan:5001") == 200
    assert status(server(host="::1"), Host="[::1]:5001") == 200


def test_with_a_token_only_those_who_carry_it_are_answered(server: Callable[..., str]) -> None:
    url = server(token=TOKEN)
    assert status(url) == 401
    assert status(url, Authorization="Bearer wrong") == 401
    assert status(url, Authorization=TOKEN) == 401
    assert status(url, Authorization="Bearer " + TOKEN + "x") == 401
    assert status(url, Authorization=f"Bearer {TOKEN}") == 200

    async def tools() -> int:
        http = httpx2.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False)
        async with Client(streamable_http_client(url, http_client=http)) as client:
            return len((await client.list_tools()).tools)

    assert anyio.run(tools) == 8


def test_a_request_larger_than_any_question_is_refused(server: Callable[..., str]) -> None:
    answer = httpx2.post(
        server(), content=b" " * 70_000, headers={"Content-Type": "application/json"}, trust_env=False
    )
    assert answer.status_code == 413


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "kapman.lan"])
def test_other_machines_may_not_ask_without_a_token_that_cannot_be_guessed(host: str) -> None:
    with pytest.raises(SettingsError, match="KAPMAN_MCP_TOKEN is not set, but --host"):
        required_token(Settings(kapman_mcp_token=None), host)
    with pytest.raises(SettingsError, match="at least 16 characters"):
        required_token(Settings(kapman_mcp_token="short"), host)  # type: ignore[arg-type]
    assert required_token(Settings(kapman_mcp_token=TOKEN), host) == TOKEN  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_on_loopback_a_token_is_optional(host: str) -> None:
    assert required_token(Settings(kapman_mcp_token=None), host) is None
    assert required_token(Settings(kapman_mcp_token="short"), host) == "short"  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_command_serves_refuses_in_one_sentence_and_stops_clean(repository: Path) -> None:
    home = tempfile.mkdtemp(prefix="kapman-")
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("KAPMAN_", "POLYGON_", "METRICS_"))
    }
    environment |= {"KAPMAN_HOME": home, "PYTHONPATH": str(repository), "DATABASE_URL": ""}
    command = [sys.executable, "-m", "kapman_cli", "mcp"]
    pipes: dict[str, Any] = {
        "cwd": repository, "env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True,
    }  # fmt: skip
    running = subprocess.Popen([*command, "--port", "0"], **pipes)
    try:
        assert running.stdout is not None
        line = running.stdout.readline()
        assert line.startswith("Kapman's metrics over MCP on http://127.0.0.1:")
        url = line.split()[-1]
        assert status(url) == 200
        taken = subprocess.run([*command, "--port", url.split(":")[2].split("/")[0]], **pipes, timeout=60)
        assert (taken.returncode, taken.stderr.count("\n")) == (1, 1)
        assert "is in use: choose another" in taken.stderr
        open_ = subprocess.run([*command, "--host", "0.0.0.0"], **pipes, timeout=60)
        assert open_.returncode == 1
        assert open_.stderr.startswith("kapman: KAPMAN_MCP_TOKEN is not set, but --host 0.0.0.0")
    finally:
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=30)
        shutil.rmtree(home, ignore_errors=True)
    assert (running.returncode, said) == (0, "")
