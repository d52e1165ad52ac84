"""Trend indicators as formulas over panels; each returns its outputs in the order of the surface.

Does not belong here: windows and parameters (surface.py), smoothing and rolling operations (primitives.py),
the parabolic stop and reverse (psar.py).
"""

from __future__ import annotations

import numpy as np

from kapman_metrics.indicators.panel import Array, Panel
from kapman_metrics.indicators.primitives import (
    bars_since_max,
    diff,
    ema,
    rolling_max,
    rolling_mean,
    rolling_mean_deviation,
    rolling_min,
    rolling_sum,
    rolling_weighted_mean,
    shift,
    true_range,
    wilder_mean,
    wilder_sum,
)


def adx(p: Panel, window: int) -> tuple[Array, Array, Array]:
    """Average directional index with its plus and minus lines, 0-100 (Wilder 1978)."""
    before = shift(p.close)
    span = wilder_sum(np.maximum(p.high, before) - np.minimum(p.low, before), window)
    up, down = diff(p.high), -diff(p.low)
    known = ~np.isnan(up)
    plus = np.where(known, np.where((up > down) & (up > 0), up, 0.0), np.nan)
    minus = np.where(known, np.where((down > up) & (down > 0), down, 0.0), np.nan)

    def line(movement: Array) -> Array:
        return np.where(span == 0, 0.0, 100 * (wilder_sum(movement, window) / span))

    plus_line, minus_line = line(plus), line(minus)
    both = plus_line + minus_line
    directional = np.where(both == 0, 0.0, 100 * np.abs((plus_line - minus_line) / both))
    # the first sums seed the recursion; the lines are published from the next bar on, as the oracle does
    seeded = ~np.isnan(shift(span))
    return (
        wilder_mean(directional, window),
        np.where(seeded, plus_line, np.nan),
        np.where(seeded, minus_line, np.nan),
    )


def aroon(p: Panel, window: int) -> tuple[Array, Array, Array]:
    """How recent the highest high and the lowest low of `window` + 1 bars are, 0-100, and the difference."""
    up = (window - bars_since_max(p.high, window + 1)) / window * 100
    down = (window - bars_since_max(-p.low, window + 1)) / window * 100
    return up, down, up - down


def cci(p: Panel, window: int, constant: float) -> tuple[Array]:
    """Commodity channel index: distance of the typical price from its mean, in mean deviations."""
    typical = (p.high + p.low + p.close) / 3.0
    distance = typical - rolling_mean(typical, window)
    return (distance / (constant * rolling_mean_deviation(typical, window)),)


def dpo(p: Panel, window: int) -> tuple[Array]:
    """Detrended price: the close of half a window ago minus the mean of the window."""
    return (shift(p.close, window // 2 + 1) - rolling_mean(p.close, window),)


def ema_indicator(p: Panel, window: int) -> tuple[Array]:
    """Exponential mean of the close."""
    return (ema(p.close, window),)


def ichimoku(p: Panel, window1: int, window2: int, window3: int) -> tuple[Array, Array, Array, Array]:
    """Conversion line, base line, leading spans A and B, not displaced; each needs its whole window."""

    def middle(window: int) -> Array:
        return 0.5 * (rolling_max(p.high, window) + rolling_min(p.low, window))

    conversion, base = middle(window1), middle(window2)
    return conversion, base, 0.5 * (conversion + base), middle(window3)


def kst(
    p: Panel,
    roc1: int,
    roc2: int,
    roc3: int,
    roc4: int,
    window1: int,
    window2: int,
    window3: int,
    window4: int,
    nsig: int,
) -> tuple[Array, Array, Array]:
    """Know sure thing: four smoothed rates of change weighted 1 to 4, its mean and the difference."""

    def smoothed_roc(lag: int, window: int) -> Array:
        before = shift(p.close, lag)
        return rolling_mean((p.close - before) / before, window)

    line = 100 * (
        smoothed_roc(roc1, window1)
        + 2 * smoothed_roc(roc2, window2)
        + 3 * smoothed_roc(roc3, window3)
        + 4 * smoothed_roc(roc4, window4)
    )
    signal = rolling_mean(line, nsig)
    return line, signal, line - signal


def macd(p: Panel, window_slow: int, window_fast: int, window_sign: int) -> tuple[Array, Array, Array]:
    """Fast minus slow exponential mean of the close, its signal line and the difference."""
    line = ema(p.close, window_fast) - ema(p.close, window_slow)
    signal = ema(line, window_sign)
    return line, signal, line - signal


def mass_index(p: Panel, window_fast: int, window_slow: int) -> tuple[Array]:
    """Sum of the ratio of the bar range's mean to that mean's mean."""
    mean_range = ema(p.high - p.low, window_fast)
    return (rolling_sum(mean_range / ema(mean_range, window_fast), window_slow),)


def sma(p: Panel, window: int) -> tuple[Array]:
    """Simple mean of the close."""
    return (rolling_mean(p.close, window),)


def stc(p: Panel, window_slow: int, window_fast: int, cycle: int, smooth1: int, smooth2: int) -> tuple[Array]:
    """Schaff trend cycle: the stochastic of the stochastic of MACD, 0-100."""

    def stochastic(x: Array) -> Array:
        lowest = rolling_min(x, cycle)
        return 100 * (x - lowest) / (rolling_max(x, cycle) - lowest)

    line = ema(p.close, window_fast) - ema(p.close, window_slow)
    return (ema(stochastic(ema(stochastic(line), smooth1)), smooth2),)


def trix(p: Panel, window: int) -> tuple[Array]:
    """Change of the triple exponential mean over one bar, percent."""
    triple = ema(ema(ema(p.close, window), window), window)
    before = shift(triple)
    return ((triple - before) / before * 100,)


def vortex(p: Panel, window: int) -> tuple[Array, Array, Array]:
    """Upward and downward vortex movement over true range, and the difference."""
    span = rolling_sum(true_range(p.high, p.low, p.close), window)
    positive = rolling_sum(np.abs(p.high - shift(p.low)), window) / span
    negative = rolling_sum(np.abs(p.low - shift(p.high)), window) / span
    return positive, negative, positive - negative


def wma(p: Panel, window: int) -> tuple[Array]:
    """Linearly weighted mean of the close."""
    return (rolling_weighted_mean(p.close, window),)
