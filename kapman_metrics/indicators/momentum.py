"""Momentum indicators as formulas over panels; each returns its outputs in the order of the surface.

Does not belong here: windows and parameters (surface.py), smoothing and rolling operations (primitives.py).
"""

from __future__ import annotations

import numpy as np

from kapman_metrics.indicators.panel import Array, Panel, shared
from kapman_metrics.indicators.primitives import (
    diff,
    in_slices,
    ratio_or_zero,
    rolling_max,
    rolling_mean,
    rolling_min,
    rolling_sum,
    shift,
)
from kapman_metrics.indicators.series import (
    change,
    ema_of_close,
    highest,
    lowest,
    true_range,
)
from kapman_metrics.indicators.smoothing import adaptive_mean, ema, wilder_ema

RSI_RESOLUTION = 1e-9  # of its 100 points


def awesome_oscillator(p: Panel, window1: int, window2: int) -> tuple[Array]:
    """Fast minus slow mean of the bar's middle."""
    middle = 0.5 * (p.high + p.low)
    return (rolling_mean(middle, window1) - rolling_mean(middle, window2),)


def kama(p: Panel, window: int, pow1: int, pow2: int) -> tuple[Array]:
    """Kaufman's adaptive mean: fast where price moves straight, slow where it wanders."""
    smoothing = _adaptive_alpha(p.close, window, 2.0 / (pow1 + 1), 2.0 / (pow2 + 1.0))
    return (adaptive_mean(p.close, smoothing, p.first + window - 1, p.rows()),)


@in_slices
def _adaptive_alpha(close: Array, window: int, fast: float, slow: float) -> Array:
    distance, change = diff(close, window), diff(close)
    alpha = rolling_sum(np.abs(change, out=change), window)
    ratio_or_zero(np.abs(distance, out=distance), alpha, out=alpha)
    alpha *= fast - slow
    alpha += slow
    return np.square(alpha, out=alpha)


def _percentage_oscillator(
    p: Panel, fast: Array, slow: Array, window_sign: int
) -> tuple[Array, Array, Array]:
    line = (fast - slow) / slow * 100
    signal = ema(line, window_sign, p.rows())
    return line, signal, p.recent(line) - signal


def ppo(p: Panel, window_slow: int, window_fast: int, window_sign: int) -> tuple[Array, Array, Array]:
    """Distance of two exponential means of price, percent; its signal line and the difference."""
    return _percentage_oscillator(p, ema_of_close(p, window_fast), ema_of_close(p, window_slow), window_sign)


def pvo(p: Panel, window_slow: int, window_fast: int, window_sign: int) -> tuple[Array, Array, Array]:
    """The same on volume."""
    return _percentage_oscillator(p, ema(p.volume, window_fast), ema(p.volume, window_slow), window_sign)


def roc(p: Panel, window: int) -> tuple[Array]:
    """Change of the close over `window` bars, percent."""
    before = shift(p.close, window)
    return ((p.close - before) / before * 100,)


@shared
def _strength(p: Panel, window: int) -> Array:
    # the first bar counts as a bar without gain or loss
    gains = p.put_first(np.maximum(change(p), 0.0), 0.0)
    losses = p.put_first(gains - change(p), 0.0)
    rows = p.rows(2 * window)  # more than stochrsi looks back at
    gain, loss = wilder_ema(gains, window, rows), wilder_ema(losses, window, rows)
    return np.where(loss == 0, 100.0, 100 - 100 / (1 + gain / loss))


def rsi(p: Panel, window: int) -> tuple[Array]:
    """Relative strength index, 0-100; 100 where there was no loss at all (a flat price included)."""
    return (_strength(p, window),)


def stochrsi(p: Panel, window: int, smooth1: int, smooth2: int) -> tuple[Array, Array, Array]:
    """Place of the RSI in its own range, 0-1, with its two means; null where it did not move for the window."""
    strength = _strength(p, window)
    lowest = rolling_min(strength, window)
    spread = rolling_max(strength, window) - lowest
    # a price that stands still leaves gain and loss in proportion: what is left of the range is rounding
    place = np.where(spread > RSI_RESOLUTION, (strength - lowest) / spread, np.nan)
    fast = rolling_mean(place, smooth1)
    return place, fast, rolling_mean(fast, smooth2)


def stoch(p: Panel, window: int, smooth_window: int) -> tuple[Array, Array]:
    """Place of the close in the range of `window` bars, 0-100 (%K), and its mean (%D)."""
    bottom = lowest(p, window)
    fast = 100 * (p.close - bottom) / (highest(p, window) - bottom)
    return fast, rolling_mean(fast, smooth_window)


def tsi(p: Panel, window_slow: int, window_fast: int) -> tuple[Array]:
    """True strength: doubly smoothed change over doubly smoothed size of change, -100 to 100."""
    direction, size = (
        ema(ema(moved, window_slow), window_fast, p.rows()) for moved in (change(p), np.abs(change(p)))
    )
    return (direction / size * 100,)


def ultimate_oscillator(
    p: Panel, window1: int, window2: int, window3: int, weight1: float, weight2: float, weight3: float
) -> tuple[Array]:
    """Buying pressure over true range at three horizons, weighted, 0-100."""
    pressure = p.close - np.minimum(p.low, shift(p.close))
    span = true_range(p)

    def average(window: int) -> Array:
        return rolling_sum(pressure, window) / rolling_sum(span, window)

    weighted = weight1 * average(window1) + weight2 * average(window2) + weight3 * average(window3)
    return (100.0 * weighted / (weight1 + weight2 + weight3),)


def williams_r(p: Panel, lbp: int) -> tuple[Array]:
    """Distance of the close from the highest high of `lbp` bars, -100 to 0."""
    top = highest(p, lbp)
    return (-100 * (top - p.close) / (top - lowest(p, lbp)),)
