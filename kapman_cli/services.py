"""The long-running services as child processes: Dagster's code server, web server and daemon, and the dashboard."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kapman_assets.launch import prepare_instance
from kapman_cli.console import CliError, say
from kapman_resources.settings import Settings

HOST = "127.0.0.1"
_START_SECONDS = 90


@dataclass
class Service:
    name: str
    process: subprocess.Popen[bytes]
    log: Path


def require_free_ports(dashboard: int, dagster: int) -> None:
    """Raises CliError naming the first port that another program holds."""
    if dashboard == dagster:
        raise CliError(
            f"dashboard and Dagster cannot both use port {dagster}: choose another with --dagster-port"
        )
    for port, option in ((dashboard, "--dashboard-port"), (dagster, "--dagster-port")):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                raise CliError(
                    f"port {port} is in use ({error.strerror}): stop the program that holds it or choose another with "
                    f"{option} {port + 10}"
                ) from error


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def serve(
    settings: Settings,
    dashboard_port: int,
    dagster_port: int,
    *,
    label: str | None = None,
    tick: Callable[[], None] | None = None,
) -> None:
    """Starts everything, prints the addresses and waits for Ctrl-C or for a service to end, which is an error."""
    require_free_ports(dashboard_port, dagster_port)
    # a shell starts background jobs with SIGINT ignored, and children would inherit that
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.default_int_handler)
    home = prepare_instance(settings)
    code_port = free_port()
    workspace = home / "workspace.yaml"
    workspace.write_text(
        f"load_from:\n  - grpc_server: {{host: {HOST}, port: {code_port}, location_name: kapman}}\n"
    )
    dagster = [sys.executable, "-m", "dagster"]
    commands = {
        "code server": [
            *dagster,
            "api",
            "grpc",
            "-m",
            "kapman_assets.definitions",
            "-h",
            HOST,
            "-p",
            str(code_port),
        ],
        "dagster": [
            sys.executable,
            "-m",
            "dagster_webserver",
            "-h",
            HOST,
            "-p",
            str(dagster_port),
            "-w",
            str(workspace),
        ],
        "daemon": [sys.executable, "-m", "dagster._daemon", "run", "-w", str(workspace)],
        "dashboard": [sys.executable, "-m", "kapman_dashboard", "--port", str(dashboard_port)],
    }
    pages = {"dashboard": f"http://{HOST}:{dashboard_port}", "dagster": f"http://{HOST}:{dagster_port}"}
    started: list[Service] = []
    try:
        for name, command in commands.items():
            started.append(_start(name, command, settings.home / "logs"))
            if name == "code server":
                _wait_for(started, lambda: _listens(code_port))
        _wait_for(
            started,
            lambda: all(map(_answers, (pages["dashboard"] + "/healthz", pages["dagster"] + "/server_info"))),
        )
        suffix = f"   ({label} data)" if label else ""
        say(f"dashboard  {pages['dashboard']}{suffix}")
        say(f"Dagster    {pages['dagster']}")
        say("Ctrl-C stops everything")
        _watch(started, tick)
    except KeyboardInterrupt:
        say("stopping")
    finally:
        _stop(started)


def _start(name: str, command: list[str], logs: Path) -> Service:
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{name.replace(' ', '-')}.log"
    # a session of its own: Ctrl-C reaches this process, which then stops the others in order
    with log.open("ab") as sink:
        process = subprocess.Popen(
            command,
            stdout=sink,
            stderr=sink,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env=os.environ.copy(),
        )
    return Service(name, process, log)


def _watch(started: list[Service], tick: Callable[[], None] | None) -> None:
    next_tick = time.monotonic()
    while True:
        _require_alive(started)
        if tick is not None and time.monotonic() >= next_tick:
            tick()
            next_tick = time.monotonic() + 30
        time.sleep(0.5)


def _require_alive(started: list[Service]) -> None:
    for service in started:
        if service.process.poll() is not None:
            tail = service.log.read_text(errors="replace").strip().splitlines()[-1:]
            raise CliError(f"{service.name} ended by itself ({' '.join(tail)}); its log is {service.log}")


def _wait_for(started: list[Service], ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not ready():
        _require_alive(started)
        if time.monotonic() > deadline:
            raise CliError(f"not ready after {_START_SECONDS} s; the logs are in {started[-1].log.parent}")
        time.sleep(0.2)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def _stop(started: list[Service]) -> None:
    for service in reversed(started):
        if service.process.poll() is None:
            os.killpg(service.process.pid, signal.SIGINT)
    deadline = time.monotonic() + 15
    for service in reversed(started):
        try:
            service.process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            os.killpg(service.process.pid, signal.SIGKILL)
            service.process.wait()
