"""Series several indicators are built on, computed once a panel: changes, true range, typical price, means.

Does not belong here: anything only one indicator uses.
"""

from __future__ import annotations

import numpy as np

from kapman_metrics.indicators.panel import Array, Panel, shared
from kapman_metrics.indicators.primitives import (
    diff,
    ratio_or_zero,
    rolling_max,
    rolling_mean,
    rolling_min,
    shift,
)
from kapman_metrics.indicators.smoothing import ema


@shared
def change(p: Panel) -> Array:
    """Close minus the previous close; NaN on the first bar."""
    return diff(p.close)


@shared
def simple_return(p: Panel) -> Array:
    """Close over the previous close, minus 1."""
    return p.close / shift(p.close) - 1.0


@shared
def typical(p: Panel) -> Array:
    """Mean of high, low and close."""
    return (p.high + p.low + p.close) / 3.0


@shared
def true_range(p: Panel) -> Array:
    """Largest of high - low and the distances of both from the previous close; high - low on the first
    bar.
    """
    before = shift(p.close)
    return np.fmax(p.high, before) - np.fmin(p.low, before)


@shared
def money_flow(p: Panel) -> Array:
    """Volume times the close's place in its bar, -1 to 1; 0 for a bar without range."""
    return ratio_or_zero((p.close - p.low) - (p.high - p.close), p.high - p.low) * p.volume


@shared
def ema_of_close(p: Panel, span: int) -> Array:
    """Exponential mean of the close."""
    return ema(p.close, span)


@shared
def mean_of_close(p: Panel, window: int) -> Array:
    """Simple mean of the close."""
    return rolling_mean(p.close, window)


@shared
def mean_of_typical(p: Panel, window: int) -> Array:
    """Simple mean of the typical price."""
    return rolling_mean(typical(p), window)


@shared
def highest(p: Panel, window: int) -> Array:
    """Highest high of `window` bars."""
    return rolling_max(p.high, window)


@shared
def lowest(p: Panel, window: int) -> Array:
    """Lowest low of `window` bars."""
    return rolling_min(p.low, window)
