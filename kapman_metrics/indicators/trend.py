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
    in_slices,
    ratio_or_zero,
    rolling_max,
    rolling_mean,
    rolling_mean_deviation,
    rolling_min,
    rolling_sum,
    rolling_weighted_mean,
    shift,
)
from kapman_metrics.indicators.series import (
    ema_of_close,
    highest,
    lowest,
    mean_of_close,
    mean_of_typical,
    true_range,
    typical,
)
from kapman_metrics.indicators.smoothing import ema, wilder_mean


def adx(p: Panel, window: int) -> tuple[Array, Array, Array]:
    """Average directional index with its plus and minus lines, 0-100 (Wilder 1978)."""
    second = p.first + 1  # the first bar has no movement
    span = wilder_mean(true_range(p), window, second, p.rows())
    plus = wilder_mean(_movement(p.high, p.low), window, second)
    minus = wilder_mean(_movement(-p.low, -p.high), window, second)
    average = wilder_mean(_directional(plus, minus), window, second + window - 1, p.rows())

    def line(movement: Array) -> Array:
        # the first sums seed the recursion; the lines are published from the next bar on, as the oracle does
        return p.known_from(100 * ratio_or_zero(p.recent(movement), span), window + 1)

    return average, line(plus), line(minus)


def _movement(high: Array, low: Array) -> Array:
    """Rise of the high where it is positive and larger than the fall of the low; of mirrored prices, the
    fall of the low.
    """
    rise, fall = diff(high), -diff(low)
    return np.maximum(rise, 0.0) * (rise > fall)


def _directional(plus: Array, minus: Array) -> Array:
    return 100 * ratio_or_zero(np.abs(plus - minus), plus + minus)


def aroon(p: Panel, window: int) -> tuple[Array, Array, Array]:
    """How recent the highest high and the lowest low of `window` + 1 bars are, 0-100, and the difference."""
    up = (window - bars_since_max(p.high, window + 1)) / window * 100
    down = (window - bars_since_max(-p.low, window + 1)) / window * 100
    return up, down, up - down


def cci(p: Panel, window: int, constant: float) -> tuple[Array]:
    """Commodity channel index: distance of the typical price from its mean, in mean deviations."""
    distance = typical(p) - mean_of_typical(p, window)
    return (distance / (constant * rolling_mean_deviation(typical(p), window)),)


def dpo(p: Panel, window: int) -> tuple[Array]:
    """Detrended price: the close of half a window ago minus the mean of the window."""
    return (shift(p.close, window // 2 + 1) - mean_of_close(p, window),)


def ema_indicator(p: Panel, window: int) -> tuple[Array]:
    """Exponential mean of the close."""
    return (ema_of_close(p, window),)


def ichimoku(p: Panel, window1: int, window2: int, window3: int) -> tuple[Array, Array, Array, Array]:
    """Conversion line, base line, leading spans A and B, not displaced; each needs its whole window."""

    def middle(window: int) -> Array:
        return 0.5 * (highest(p, window) + lowest(p, window))

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
    fast, slow = ema_of_close(p, window_fast), ema_of_close(p, window_slow)
    line = fast - slow
    signal = ema(line, window_sign, p.rows())
    return line, signal, p.recent(line) - signal


def mass_index(p: Panel, window_fast: int, window_slow: int) -> tuple[Array]:
    """Sum of the ratio of the bar range's mean to that mean's mean."""
    mean_range = ema(p.high - p.low, window_fast)
    mean_of_means = ema(mean_range, window_fast, p.rows(window_slow))
    ratio = p.recent(mean_range, window_slow) / mean_of_means
    return (rolling_sum(ratio, window_slow),)


def sma(p: Panel, window: int) -> tuple[Array]:
    """Simple mean of the close."""
    return (mean_of_close(p, window),)


def stc(p: Panel, window_slow: int, window_fast: int, cycle: int, smooth1: int, smooth2: int) -> tuple[Array]:
    """Schaff trend cycle: the stochastic of the stochastic of MACD, 0-100."""
    line = ema_of_close(p, window_fast) - ema_of_close(p, window_slow)
    once = ema(_stochastic(line, cycle), smooth1)
    return (ema(_stochastic(once, cycle), smooth2, p.rows()),)


@in_slices
def _stochastic(x: Array, window: int) -> Array:
    bottom = rolling_min(x, window)
    return 100 * (x - bottom) / (rolling_max(x, window) - bottom)


def trix(p: Panel, window: int) -> tuple[Array]:
    """Change of the triple exponential mean over one bar, percent."""
    triple = ema(ema(ema_of_close(p, window), window), window, p.rows(2))
    before = shift(triple)
    return ((triple - before) / before * 100,)


def vortex(p: Panel, window: int) -> tuple[Array, Array, Array]:
    """Upward and downward vortex movement over true range, and the difference."""
    span = rolling_sum(true_range(p), window)
    positive = rolling_sum(np.abs(p.high - shift(p.low)), window) / span
    negative = rolling_sum(np.abs(p.low - shift(p.high)), window) / span
    return positive, negative, positive - negative


def wma(p: Panel, window: int) -> tuple[Array]:
    """Linearly weighted mean of the close."""
    return (rolling_weighted_mean(p.close, window),)
