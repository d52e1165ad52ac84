"""The services a user starts: `up` on loopback with the daemon at work, and the demo as a whole, side by side with another."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import psutil
import pytest

from kapman_cli.demo import night_after
from kapman_cli.services import free_port
from kapman_simulator.server import serving
from kapman_simulator.source import GeneratedSource

SESSION = date(2026, 6, 12)


@pytest.fixture
def homes() -> Iterator[Callable[[], str]]:
    made: list[str] = []

    def fresh() -> str:
        made.append(tempfile.mkdtemp(prefix="kapman-"))
        return made[-1]

    yield fresh
    for home in made:
        shutil.rmtree(home, ignore_errors=True)


def start(repository: Path, environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "kapman_cli", *arguments],
        cwd=repository,
        env=os.environ | {"PYTHONPATH": str(repository)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def fetch(address: str, body: dict | None = None) -> str:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read().decode()


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.5)


LAUNCH = """
mutation ($tables: [AssetKeyInput!]) {
  launchPartitionBackfill(backfillParams: {assetSelection: $tables, partitionNames: ["2026-06-12"]}) { __typename }
}
"""
RUNS = "{ runsOrError(limit: 5) { ... on Runs { results { status } } } }"


@pytest.mark.long
def test_up_serves_both_pages_runs_what_dagster_is_asked_for_and_stops_clean(
    repository: Path, homes: Callable[[], str]
) -> None:
    dashboard, dagster = free_port(), free_port()
    with serving(GeneratedSource(7, SESSION, symbols=60), now=night_after(SESSION)) as vendor:
        environment = {
            "KAPMAN_HOME": homes(), "KAPMAN_NOW": night_after(SESSION).isoformat(), "POLYGON_BASE_URL": vendor.url,
            "POLYGON_S3_ENDPOINT": vendor.url, "POLYGON_API_KEY": vendor.api_key,
            "AWS_ACCESS_KEY_ID": vendor.s3_key_id, "AWS_SECRET_ACCESS_KEY": vendor.s3_secret,
        }  # fmt: skip
        ports = ("--dashboard-port", str(dashboard), "--dagster-port", str(dagster))
        up = start(repository, environment, "up", *ports)
        try:
            assert up.stdout is not None
            lines = [up.stdout.readline() for _ in range(3)]
            assert f"http://127.0.0.1:{dashboard}" in lines[0], lines
            assert f"http://127.0.0.1:{dagster}" in lines[1], lines
            family = psutil.Process(up.pid).children(recursive=True)

            tables = [
                "ohlcv_daily",
                "options_chains",
                "options_daily_summary",
                "daily_snapshots",
                "recommendations",
                "outcomes",
            ]
            wanted = {"tables": [{"path": [table]} for table in tables]}
            answer = fetch(f"http://127.0.0.1:{dagster}/graphql", {"query": LAUNCH, "variables": wanted})
            assert "LaunchBackfillSuccess" in answer
            page = f"http://127.0.0.1:{dashboard}/"
            until(lambda: "NVDA" in fetch(page), 150, "the run that Dagster was asked for")
            assert "SIMULATED" in fetch(page)
            assert "FAILURE" not in fetch(f"http://127.0.0.1:{dagster}/graphql", {"query": RUNS})
        finally:
            up.send_signal(signal.SIGINT)
            said, _ = up.communicate(timeout=60)
        assert "stopping" in said
        assert up.returncode == 0
        _, alive = psutil.wait_procs(family, timeout=20)
        assert not alive, alive


@pytest.mark.long
def test_two_demos_side_by_side_give_the_same_market_twice(
    repository: Path, homes: Callable[[], str]
) -> None:
    now = {"KAPMAN_NOW": "2026-06-13T06:00:00-04:00"}
    environments = [{"KAPMAN_HOME": homes()} | now for _ in range(2)]
    demos = [start(repository, environment, "demo", "--headless") for environment in environments]
    outputs = [demo.communicate(timeout=280)[0] for demo in demos]
    assert [demo.returncode for demo in demos] == [0, 0], outputs
    digest = "select md5(string_agg(t::text, '|' order by symbol, time)) from daily_snapshots t"
    answers = set()
    for environment in environments:
        asked = start(repository, environment, "sql", digest, "--csv")
        answers.add(asked.communicate(timeout=60)[0])
    assert len(answers) == 1


@pytest.mark.slow
def test_simulate_serves_the_vendors_dialect_until_it_is_told_to_stop(
    repository: Path, homes: Callable[[], str]
) -> None:
    now = night_after(SESSION).isoformat()
    served = start(repository, {"KAPMAN_HOME": homes()}, "simulate", "--now", now, "--port", "0")
    try:
        assert served.stdout is not None
        address = served.stdout.readline().split()[-1]
        state = json.loads(fetch(f"{address}/simulator"))
        assert (state["label"], state["session"]) == ("SIMULATED", str(SESSION))
    finally:
        served.terminate()
        served.communicate(timeout=10)
    assert served.returncode == 0


@pytest.mark.slow
def test_dagsters_own_command_validates_the_code_location(repository: Path, homes: Callable[[], str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml"],
        cwd=repository,
        env=os.environ | {"KAPMAN_HOME": homes(), "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "All code locations passed validation" in done.stdout + done.stderr
