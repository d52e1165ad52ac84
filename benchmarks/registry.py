"""The benchmarks by name, for `kapman bench`. Modules are imported only when one is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from benchmarks.measure import Measure

_KNOWN = {
    "demo": "`kapman demo --headless` from an empty folder: seconds, and memory of all processes",
    "load": "ingestion: backfill, a day, an unchanged file, contracts, pages, memory, each against a floor or a peer",
    "metrics": "indicators against ta and TA-Lib, dealer metrics against loops, screens, writing a universe day",
    "daily": "one warm session with a watchlist of 100 symbols, from the command to the summary",
}


def describe() -> dict[str, str]:
    """Name -> what it measures."""
    return dict(_KNOWN)


def measure(name: str) -> Iterator[Measure]:
    """Runs one benchmark; raises KeyError for an unknown name."""
    yield from import_module(f"benchmarks.{name}_bench").run() if name in _KNOWN else _unknown(name)


def _unknown(name: str) -> Iterator[Measure]:
    raise KeyError(name)
