"""Volume indicators as formulas over panels; each returns its outputs in the order of the surface.

Running totals start at a fixed anchor: a symbol's first bar of the calendar year before the bar's own year.
Levels of successive sessions are therefore comparable and do not move when older bars are loaded.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kapman_metrics.indicators.panel import Array, Panel, shared
from kapman_metrics.indicators.primitives import (
    diff,
    rolling_mean,
    rolling_sum,
    running,
    total,
)
from kapman_metrics.indicators.series import change, money_flow, simple_return, typical
from kapman_metrics.indicators.smoothing import ema

NVI_BASE = 1000.0


@shared
def _years(p: Panel) -> list[tuple[int, Array, Array]]:
    """For each calendar year whose bars are wanted: the year, which bars count for it (its own and those of
    the year before), each symbol's first row among them (the number of rows where it has none).
    """
    wanted = np.unique(p.year[-1] if p.latest else p.year)
    years = []
    for year in wanted[wanted > 0]:
        inside = (p.year == year) | (p.year == year - 1)
        first = np.count_nonzero(p.year < year - 1, axis=0)
        years.append((int(year), inside, first))
    return years


def anchored(p: Panel, since: Callable[[Array, Array], Array]) -> Array:
    """`since(inside, first)` for each calendar year of the panel, kept for the bars of that year.

    `inside`: bars of that year and the year before; `first`: row of each symbol's first bar among them.
    """
    out = np.full_like(p.recent(p.close), np.nan)
    for year, inside, first in _years(p):
        np.copyto(out, since(inside, first), where=p.recent(p.year) == year)
    return out


def _from_first(x: Array, inside: Array, first: Array, start: Array | float, elsewhere: float) -> Array:
    """`x` inside, `start` on the first row, `elsewhere` outside."""
    out = np.where(inside, x, elsewhere)
    column = np.flatnonzero(first < len(x))
    out[first[column], column] = start if isinstance(start, float) else start[first[column], column]
    return out


def _accumulated(p: Panel, x: Array, join: np.ufunc) -> Array:
    return total(x, join) if p.latest else running(x, join)


def adi(p: Panel) -> tuple[Array]:
    """Accumulation / distribution: running total of volume times the close's place in its bar."""
    flow = money_flow(p)
    return (anchored(p, lambda inside, first: _accumulated(p, np.where(inside, flow, 0.0), np.add)),)


def cmf(p: Panel, window: int) -> tuple[Array]:
    """Chaikin money flow: the same flow over `window` bars, relative to their volume."""
    return (rolling_sum(money_flow(p), window) / rolling_sum(p.volume, window),)


def eom(p: Panel, window: int) -> tuple[Array, Array]:
    """Ease of movement x 10^8, and its mean; null where nothing traded."""
    moved = (diff(p.high) + diff(p.low)) * (p.high - p.low) / (2 * p.volume) * 100000000
    ease = np.where(np.isfinite(moved), moved, np.nan)
    return ease, rolling_mean(ease, window)


def fi(p: Panel, window: int) -> tuple[Array]:
    """Force index: exponential mean of change times volume."""
    return (ema(change(p) * p.volume, window, p.rows()),)


def mfi(p: Panel, window: int) -> tuple[Array]:
    """Money flow index, 0-100: an RSI of typical price times volume."""
    moved = diff(typical(p))
    flow = typical(p) * p.volume
    # the first bar has no direction and counts on neither side
    inflow = p.put_first(np.where(moved > 0, flow, 0.0 * moved), 0.0)
    outflow = p.put_first(np.where(moved < 0, flow, 0.0 * moved), 0.0)
    return (100 - 100 / (1 + rolling_sum(inflow, window) / rolling_sum(outflow, window)),)


def nvi(p: Panel) -> tuple[Array]:
    """Negative volume index: compounded return of the bars whose volume fell; 1000 at the anchor."""
    factor = 1.0 + simple_return(p) * (diff(p.volume) < 0)

    def since(inside: Array, first: Array) -> Array:
        return _accumulated(p, _from_first(factor, inside, first, NVI_BASE, elsewhere=1.0), np.multiply)

    return (anchored(p, since),)


def obv(p: Panel) -> tuple[Array]:
    """On-balance volume: running total, minus where the close fell, plus elsewhere (an unchanged close
    included).
    """
    signed = np.copysign(p.volume, change(p))

    def since(inside: Array, first: Array) -> Array:
        return _accumulated(p, _from_first(signed, inside, first, p.volume, elsewhere=0.0), np.add)

    return (anchored(p, since),)


def vpt(p: Panel) -> tuple[Array]:
    """Volume price trend: running total of volume times relative change; null at the anchor itself."""
    moved = simple_return(p) * p.volume

    def since(inside: Array, first: Array) -> Array:
        totals = _accumulated(p, _from_first(moved, inside, first, 0.0, elsewhere=0.0), np.add)
        return np.where(p.recent(np.arange(len(moved)))[:, None] == first, np.nan, totals)

    return (anchored(p, since),)


def vwap(p: Panel, window: int) -> tuple[Array]:
    """Volume-weighted typical price of `window` bars."""
    return (rolling_sum(typical(p) * p.volume, window) / rolling_sum(p.volume, window),)
