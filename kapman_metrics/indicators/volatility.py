"""Volatility and channel indicators as formulas over panels; each returns its outputs in the order of the
surface.

Does not belong here: windows and parameters (surface.py), option-implied volatility
(kapman_metrics.volatility).
"""

from __future__ import annotations

import numpy as np

from kapman_metrics.indicators.panel import Array, Panel
from kapman_metrics.indicators.primitives import (
    rolling_max_so_far,
    rolling_mean,
    rolling_mean_std,
    rolling_sum,
)
from kapman_metrics.indicators.series import highest, lowest, mean_of_close, mean_of_typical, true_range
from kapman_metrics.indicators.smoothing import wilder_mean


def _mark(condition: Array, known: Array) -> Array:
    """1.0 where true, 0.0 where false, NaN where the band is not known yet."""
    return np.where(np.isnan(known), np.nan, condition.astype(float))


def atr(p: Panel, window: int) -> tuple[Array]:
    """Average true range (Wilder), in price."""
    return (wilder_mean(true_range(p), window, p.first, p.rows()),)


def bbands(p: Panel, window: int, window_dev: int) -> tuple[Array, ...]:
    """Bollinger: upper, lower, middle, place in the band, width in percent of the middle, marks outside
    above / below.
    """
    middle, deviation = rolling_mean_std(p.close, window)
    upper, lower = middle + window_dev * deviation, middle - window_dev * deviation
    place = np.where(upper == lower, np.nan, (p.close - lower) / (upper - lower))
    width = (upper - lower) / middle * 100
    return upper, lower, middle, place, width, _mark(p.close > upper, upper), _mark(p.close < lower, lower)


def donchian(p: Panel, window: int) -> tuple[Array, ...]:
    """Highest high, lowest low, their middle, place of the close, width in percent of the mean close."""
    upper, lower = highest(p, window), lowest(p, window)
    middle = (upper - lower) / 2.0 + lower
    place = (p.close - lower) / (upper - lower)
    return upper, lower, middle, place, (upper - lower) / mean_of_close(p, window) * 100


def keltner(p: Panel, window: int, window_atr: int) -> tuple[Array, ...]:
    """Keltner's original channel: mean typical price and the means of (4H - 2L + C) / 3 and (-2H + 4L + C) /
    3.

    Order: upper, lower, middle, place, width in percent of the middle, marks outside above / below. The
    true-range window belongs to the channel's later form and has no part in this one; the surface carries it.
    """
    middle = mean_of_typical(p, window)
    upper = rolling_mean((4 * p.high - 2 * p.low + p.close) / 3.0, window)
    lower = rolling_mean((-2 * p.high + 4 * p.low + p.close) / 3.0, window)
    place = (p.close - lower) / (upper - lower)
    width = (upper - lower) / middle * 100
    return upper, lower, middle, place, width, _mark(p.close > upper, upper), _mark(p.close < lower, lower)


def ulcer_index(p: Panel, window: int) -> tuple[Array]:
    """Root mean square of the drawdown, in percent, from the highest close of `window` bars."""
    peak = rolling_max_so_far(p.close, window)
    drawdown = 100 * (p.close - peak) / peak
    return (np.sqrt(rolling_sum(drawdown**2 / window, window)),)
