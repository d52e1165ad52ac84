"""The numbers: indicators of the market, dealer and volatility metrics, screens and a universe day in the database."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import dealer_bench, indicators_bench, screen_bench
from benchmarks.measure import Measure


def run() -> Iterator[Measure]:
    """The rows of the issue's table, one measure each."""
    yield from indicators_bench.run()
    yield from dealer_bench.run()
    yield from screen_bench.run()
