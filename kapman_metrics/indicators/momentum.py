"""Momentum indicators as formulas over panels; each returns its outputs in the order of the surface.

Does not belong here: windows and parameters (surface.py), smoothing and rolling operations (primitives.py).
"""

from __future__ import annotations

import numpy as np

from kapman_metrics.indicators.panel import Array, Panel
from kapman_metrics.indicators.primitives import (
    adaptive_mean,
    diff,
    ema,
    rolling_max,
    rolling_mean,
    rolling_min,
    rolling_sum,
    shift,
    true_range,
    wilder_ema,
)


def awesome_oscillator(p: Panel, window1: int, window2: int) -> tuple[Array]:
    """Fast minus slow mean of the bar's middle."""
    middle = 0.5 * (p.high + p.low)
    return (rolling_mean(middle, window1) - rolling_mean(middle, window2),)


def kama(p: Panel, window: int, pow1: int, pow2: int) -> tuple[Array]:
    """Kaufman's adaptive mean: fast where price moves straight, slow where it wanders."""
    listed = ~np.isnan(p.close)
    path = np.where(listed & np.isnan(diff(p.close)), 0.0, np.abs(diff(p.close)))
    path_length = rolling_sum(path, window)
    distance = np.fmax(np.abs(p.close - shift(p.close, window)), 0.0)
    efficiency = np.where(path_length != 0, distance / path_length, 0.0)
    fast, slow = 2.0 / (pow1 + 1), 2.0 / (pow2 + 1.0)
    smoothing = (efficiency * (fast - slow) + slow) ** 2.0
    return (adaptive_mean(p.close, smoothing),)


def _percentage_oscillator(
    x: Array, window_slow: int, window_fast: int, window_sign: int
) -> tuple[Array, Array, Array]:
    fast, slow = ema(x, window_fast), ema(x, window_slow)
    line = (fast - slow) / slow * 100
    signal = ema(line, window_sign)
    return line, signal, line - signal


def ppo(p: Panel, window_slow: int, window_fast: int, window_sign: int) -> tuple[Array, Array, Array]:
    """Distance of two exponential means of price, percent; its signal line and the difference."""
    return _percentage_oscillator(p.close, window_slow, window_fast, window_sign)


def pvo(p: Panel, window_slow: int, window_fast: int, window_sign: int) -> tuple[Array, Array, Array]:
    """The same on volume."""
    return _percentage_oscillator(p.volume, window_slow, window_fast, window_sign)


def roc(p: Panel, window: int) -> tuple[Array]:
    """Change of the close over `window` bars, percent."""
    before = shift(p.close, window)
    return ((p.close - before) / before * 100,)


def rsi(p: Panel, window: int) -> tuple[Array]:
    """Relative strength index, 0-100; 100 where there was no loss at all (a flat price included)."""
    change = diff(p.close)
    # the first bar counts as a bar without gain or loss
    gain = np.where(np.isnan(p.close), np.nan, np.where(change > 0, change, 0.0))
    loss = np.where(np.isnan(p.close), np.nan, np.where(change < 0, -change, 0.0))
    mean_gain, mean_loss = wilder_ema(gain, window), wilder_ema(loss, window)
    return (np.where(mean_loss == 0, 100.0, 100 - 100 / (1 + mean_gain / mean_loss)),)


def stochrsi(p: Panel, window: int, smooth1: int, smooth2: int) -> tuple[Array, Array, Array]:
    """Place of the RSI in its own range, 0-1, with its two means."""
    (strength,) = rsi(p, window)
    lowest = rolling_min(strength, window)
    place = (strength - lowest) / (rolling_max(strength, window) - lowest)
    fast = rolling_mean(place, smooth1)
    return place, fast, rolling_mean(fast, smooth2)


def stoch(p: Panel, window: int, smooth_window: int) -> tuple[Array, Array]:
    """Place of the close in the range of `window` bars, 0-100 (%K), and its mean (%D)."""
    lowest, highest = rolling_min(p.low, window), rolling_max(p.high, window)
    fast = 100 * (p.close - lowest) / (highest - lowest)
    return fast, rolling_mean(fast, smooth_window)


def tsi(p: Panel, window_slow: int, window_fast: int) -> tuple[Array]:
    """True strength: doubly smoothed change over doubly smoothed size of change, -100 to 100."""
    change = diff(p.close)
    direction = ema(ema(change, window_slow), window_fast)
    size = ema(ema(np.abs(change), window_slow), window_fast)
    return (direction / size * 100,)


def ultimate_oscillator(
    p: Panel, window1: int, window2: int, window3: int, weight1: float, weight2: float, weight3: float
) -> tuple[Array]:
    """Buying pressure over true range at three horizons, weighted, 0-100."""
    pressure = p.close - np.minimum(p.low, shift(p.close))
    span = true_range(p.high, p.low, p.close)

    def average(window: int) -> Array:
        return rolling_sum(pressure, window) / rolling_sum(span, window)

    weighted = weight1 * average(window1) + weight2 * average(window2) + weight3 * average(window3)
    return (100.0 * weighted / (weight1 + weight2 + weight3),)


def williams_r(p: Panel, lbp: int) -> tuple[Array]:
    """Distance of the close from the highest high of `lbp` bars, -100 to 0."""
    highest, lowest = rolling_max(p.high, lbp), rolling_min(p.low, lbp)
    return (-100 * (highest - p.close) / (highest - lowest),)
