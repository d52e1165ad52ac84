"""The simulated vendor as a process: ready soon, small, and gone when it is told to or when its parent is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import httpx2 as httpx
import pytest

from kapman_simulator.__main__ import main
from kapman_simulator.server import run, serving
from kapman_simulator.source import GeneratedSource

ROOT = Path(__file__).resolve().parents[2]
NOW = "2026-06-13T04:00:00-04:00"


def start(ready: Path, *extra: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "kapman_simulator", "--ready-file", str(ready), *extra]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def await_file(path: Path, seconds: float = 20) -> dict:
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} did not appear"
        time.sleep(0.02)
    return json.loads(path.read_text())


def test_the_process_announces_itself_serves_and_stops_within_a_second(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    process = start(ready, "--now", NOW, "--symbols", "300")
    try:
        state = await_file(ready)
        assert state == {"port": state["port"], "label": "SIMULATED", "now": NOW}
        url = f"http://127.0.0.1:{state['port']}"
        with httpx.Client(base_url=url, trust_env=False) as client:
            assert client.get("/simulator").json()["last_session"] == "2026-06-12"
            assert (
                client.get("/v3/snapshot/options/SPY", params={"apiKey": "simulated-key"}).status_code == 200
            )
            status = Path(f"/proc/{process.pid}/status")
            if status.exists():
                peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
                assert int(peak.split()[1]) < 200 * 1024
            begin = time.monotonic()
            process.send_signal(signal.SIGTERM)  # with the client's connection still open
            assert process.wait(5) == 0
            assert time.monotonic() - begin < 1.0
        assert process.stdout is not None
        assert process.stdout.read() == f"SIMULATED market data at {url}\n"
    finally:
        process.kill()
        process.communicate()


def test_the_process_ends_with_its_parent(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    parent = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True)
    process = start(
        ready, "--now", "2023-03-01T04:00:00-05:00", "--symbols", "40", "--parent", str(parent.pid)
    )
    try:
        await_file(ready)
        parent.communicate("\n")
        assert process.wait(5) == 0
    finally:
        for child in (parent, process):
            child.kill()
            child.communicate()


def test_arguments_that_cannot_work_say_so_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert main(["--data", str(tmp_path / "absent")]) == 2
    assert "no folder" in capsys.readouterr().err
    assert main(["--symbols", "3", "--now", NOW]) == 2
    assert "fixed cast" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["--now", "2026-06-13T04:00:00"])
    assert "zone" in capsys.readouterr().err


def test_a_taken_port_and_a_foreign_address_are_refused() -> None:
    source = GeneratedSource(7, date(2023, 3, 1), symbols=40)
    with serving(source) as first, pytest.raises(OSError, match=f"port {first.port}"):
        run(source, port=first.port)
    with pytest.raises(ValueError, match="loopback"):
        run(source, host="0.0.0.0")


def test_starting_it_loads_neither_fastapi_nor_any_other_room() -> None:
    code = (
        "import sys, kapman_simulator.__main__\n"
        "names = {name.split('.')[0] for name in sys.modules}\n"
        "print(sorted(names & {'fastapi', 'pandas', 'pydantic', 'boto3', 'dagster', 'scipy'}),"
        " sorted(n for n in sys.modules if n.startswith('kapman_') and 'simulator' not in n))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert answer.stdout.strip() == "[] ['kapman_resources', 'kapman_resources.calendar']"
