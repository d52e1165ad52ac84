"""How a benchmark reports, and how the memory of a tree of processes is counted."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Measure:
    """`value` against `must` (a limit in words); `peer` names what it was measured against."""

    name: str
    value: float
    unit: str
    peer: str
    must: str
    ok: bool


@dataclass(frozen=True)
class Observed:
    """`peak_bytes`: proportional set size of the command and everything it started, shared pages counted once."""

    seconds: float
    peak_bytes: int
    exit_code: int
    output: str


def observe(command: Sequence[str], environment: Mapping[str, str]) -> Observed:
    """Runs the command and samples the memory of its whole process tree, detached servers included."""
    started = time.monotonic()
    process = subprocess.Popen(
        command, cwd=ROOT, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    peak = 0
    done = threading.Event()

    def sample() -> None:
        nonlocal peak
        while not done.wait(0.25):
            peak = max(peak, _tree_bytes(process.pid, environment["KAPMAN_HOME"]))

    sampler = threading.Thread(target=sample)
    sampler.start()
    output, _ = process.communicate()
    seconds = time.monotonic() - started
    done.set()
    sampler.join()
    return Observed(seconds, peak, process.returncode, output)


def _tree_bytes(root: int, home: str) -> int:
    """PSS of the tree, and of the PostgreSQL of `home`, which is a daemon outside of it."""
    import psutil

    try:
        family = [psutil.Process(root), *psutil.Process(root).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    pid_file = Path(home) / "postgres" / "postmaster.pid"
    if pid_file.exists():
        try:
            postmaster = psutil.Process(int(pid_file.read_text().split("\n", 1)[0]))
            family += [postmaster, *postmaster.children()]
        except (psutil.NoSuchProcess, ValueError, OSError):
            pass  # it is just starting or stopping: the next sample sees it
    total = 0
    for member in set(family):
        try:
            total += member.memory_full_info().pss
        except psutil.Error:
            continue  # it ended between the listing and the reading
    return total
