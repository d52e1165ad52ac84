"""`kapman demo --headless` after installation, from an empty KAPMAN_HOME: wall seconds and memory of all processes."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator

from benchmarks.measure import ROOT, Measure, observe

MUST_SECONDS, MUST_GB = 60, 1.5


def run() -> Iterator[Measure]:
    """Two measures; raises RuntimeError with the demo's own words when it fails."""
    with tempfile.TemporaryDirectory(prefix="kapman-bench-") as home:
        environment = os.environ | {"KAPMAN_HOME": home, "PYTHONPATH": str(ROOT)}
        seen = observe([sys.executable, "-m", "kapman_cli", "demo", "--headless"], environment)
    if seen.exit_code:
        raise RuntimeError(f"the demo failed: {seen.output[-2000:]}")
    limit = "limit of the issue"
    seconds, gigabytes = round(seen.seconds, 1), round(seen.peak_bytes / 1e9, 2)
    yield Measure("demo seconds", seconds, "s", limit, f"<= {MUST_SECONDS}", seconds <= MUST_SECONDS)
    yield Measure("demo memory", gigabytes, "GB", limit, f"<= {MUST_GB}", gigabytes <= MUST_GB)
