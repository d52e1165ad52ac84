"""Volume indicators as formulas over panels; each returns its outputs in the order of the surface.

Running totals start at a fixed anchor: a symbol's first bar of the calendar year before the bar's own year.
Levels of successive sessions are therefore comparable and do not move when older bars are loaded.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kapman_metrics.indicators.panel import Array, Panel
from kapman_metrics.indicators.primitives import diff, ema, rolling_mean, rolling_sum, running, shift

NVI_BASE = 1000.0


def anchored(p: Panel, total: Callable[[Array, Array], Array]) -> Array:
    """`total(inside, first)` for each calendar year of the panel, kept for the bars of that year.

    `inside`: bars of that year and the year before; `first`: each symbol's first bar among them.
    """
    out = np.full_like(p.close, np.nan)
    height = np.arange(len(p.close))[:, None]
    for year in np.unique(p.year[p.year > 0]):
        inside = (p.year == year) | (p.year == year - 1)
        first = inside & (height == inside.argmax(axis=0))
        here = p.year == year
        out[here] = total(inside, first)[here]
    return out


def _close_location(p: Panel) -> Array:
    """Place of the close in its bar, -1 to 1; 0 for a bar without range."""
    place = ((p.close - p.low) - (p.high - p.close)) / (p.high - p.low)
    return np.where(np.isnan(place) & ~np.isnan(p.close), 0.0, place)


def adi(p: Panel) -> tuple[Array]:
    """Accumulation / distribution: running total of volume times the close's place in its bar."""
    flow = _close_location(p) * p.volume
    return (anchored(p, lambda inside, first: running(np.where(inside, flow, 0.0), np.add)),)


def cmf(p: Panel, window: int) -> tuple[Array]:
    """Chaikin money flow: the same flow over `window` bars, relative to their volume."""
    flow = _close_location(p) * p.volume
    return (rolling_sum(flow, window) / rolling_sum(p.volume, window),)


def eom(p: Panel, window: int) -> tuple[Array, Array]:
    """Ease of movement x 10^8, and its mean; null where nothing traded."""
    moved = (diff(p.high) + diff(p.low)) * (p.high - p.low) / (2 * p.volume) * 100000000
    ease = np.where(np.isfinite(moved), moved, np.nan)
    return ease, rolling_mean(ease, window)


def fi(p: Panel, window: int) -> tuple[Array]:
    """Force index: exponential mean of change times volume."""
    return (ema(diff(p.close) * p.volume, window),)


def mfi(p: Panel, window: int) -> tuple[Array]:
    """Money flow index, 0-100: an RSI of typical price times volume."""
    typical = (p.high + p.low + p.close) / 3.0
    change = diff(typical)
    flow = typical * p.volume
    # the first bar has no direction and counts on neither side
    inflow = np.where(np.isnan(typical), np.nan, np.where(change > 0, flow, 0.0))
    outflow = np.where(np.isnan(typical), np.nan, np.where(change < 0, flow, 0.0))
    return (100 - 100 / (1 + rolling_sum(inflow, window) / rolling_sum(outflow, window)),)


def nvi(p: Panel) -> tuple[Array]:
    """Negative volume index: compounded return of the bars whose volume fell; 1000 at the anchor."""
    before = shift(p.close)
    factor = np.where(shift(p.volume) > p.volume, 1.0 + (p.close / before - 1.0), 1.0)

    def total(inside: Array, first: Array) -> Array:
        return running(np.where(first, NVI_BASE, np.where(inside, factor, 1.0)), np.multiply)

    return (anchored(p, total),)


def obv(p: Panel) -> tuple[Array]:
    """On-balance volume: running total, minus where the close fell, plus elsewhere (an unchanged close
    included).
    """
    signed = np.where(p.close < shift(p.close), -p.volume, p.volume)

    def total(inside: Array, first: Array) -> Array:
        return running(np.where(first, p.volume, np.where(inside, signed, 0.0)), np.add)

    return (anchored(p, total),)


def vpt(p: Panel) -> tuple[Array]:
    """Volume price trend: running total of volume times relative change; null at the anchor itself."""
    moved = (p.close / shift(p.close) - 1.0) * p.volume

    def total(inside: Array, first: Array) -> Array:
        total_moved = running(np.where(inside & ~first, moved, 0.0), np.add)
        return np.where(first, np.nan, total_moved)

    return (anchored(p, total),)


def vwap(p: Panel, window: int) -> tuple[Array]:
    """Volume-weighted typical price of `window` bars."""
    typical = (p.high + p.low + p.close) / 3.0
    return (rolling_sum(typical * p.volume, window) / rolling_sum(p.volume, window),)
