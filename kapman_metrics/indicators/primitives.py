"""The small set of operations all indicators are written in: differences, running totals, windows.

Every array is [bars x symbols], NaN above a symbol's first bar; NaN in a window gives NaN. A window's result
depends on the bars of the window alone, bit for bit, whatever stands above them. Does not belong here: what
an indicator means, smoothing (smoothing.py).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from itertools import pairwise

import numpy as np

from kapman_metrics.indicators.panel import Array

Span = tuple[Array, ...]
Join = Callable[[Span, int, Span, int, Array | None], Span]


SLICE_VALUES = 1 << 17  # 1 MB: a few such arrays fit the second-level cache


def in_slices(formula: Callable[..., Array]) -> Callable[..., Array]:
    """A formula of many operations over one array, run for a slice of rows at a time, so that its intermediate
    results stay in the cache. `formula(x, window, ...)` must depend on a row and the `window` rows above it
    alone; these are computed again for each slice, so no value changes.
    """

    @wraps(formula)
    def slice_by_slice(x: Array, window: int, *parameters: float) -> Array:
        out = np.empty_like(x)
        rows = max(SLICE_VALUES // x.shape[1], window)
        for top in range(0, len(x), rows):
            above = min(window, top)
            out[top : top + rows] = formula(x[top - above : top + rows], window, *parameters)[above:]
        return out

    return slice_by_slice


def shift(x: Array, bars: int = 1) -> Array:
    """The value `bars` bars ago; NaN where there was none."""
    out = np.empty_like(x)
    out[:bars] = np.nan
    out[bars:] = x[: max(len(x) - bars, 0)]
    return out


def diff(x: Array, bars: int = 1) -> Array:
    """x minus its value `bars` bars ago."""
    out = np.empty_like(x)
    out[:bars] = np.nan
    np.subtract(x[bars:], x[: max(len(x) - bars, 0)], out=out[bars:])
    return out


def ratio_or_zero(part: Array, whole: Array, out: Array | None = None) -> Array:
    """part / whole, 0 where both are 0; for `whole` >= 0."""
    return np.divide(part, np.maximum(whole, np.finfo(np.float64).tiny, out=out), out=out)


def running(x: Array, join: np.ufunc) -> Array:
    """`join` (np.add, np.multiply) of all values from the top row down, in order."""
    out = x.copy()
    for before, here in pairwise(out):
        join(before, here, out=here)
    return out


def total(x: Array, join: np.ufunc) -> Array:
    """The bottom row of `running`, alone."""
    out = x[0].copy()
    for row in x[1:]:
        join(out, row, out=out)
    return out[None]


# --- windows: results for spans 1, 2, 4, ... are joined, so a window of n bars costs about log2(n) passes


def _window(x: Span, window: int, join: Join, out: Array | None = None) -> Span:
    """The last `window` values joined, for each row that has so many: the top window - 1 rows are left out.

    `join(newer, newer_n, older, older_n, out)` joins a span with the one before it; `out` is where the last
    result may be written.
    """

    def joined(newer: Span, newer_n: int, older: Span, older_n: int) -> Span:
        rows = len(older[0]) - newer_n
        below = tuple(array[len(array) - rows :] for array in newer)
        last = out if newer_n + older_n == window else None
        return join(below, newer_n, tuple(array[:rows] for array in older), older_n, last)

    level, span = x, 1
    result, covered = (level, 1) if window & 1 else (None, 0)
    while covered != window:
        level = joined(level, span, level, span)
        span *= 2
        if window & span:
            result = level if result is None else joined(result, covered, level, span)
            covered += span
    assert result is not None
    return result


def _whole(x: Array, window: int, of_full_windows: Callable[[Array, Array], Array]) -> Array:
    """The results of full windows with NaN above them; `of_full_windows(x, out)` may write into `out`."""
    whole = np.empty(x.shape)
    whole[: window - 1] = np.nan
    if len(x) >= window:
        out = whole[window - 1 :]
        made = of_full_windows(x, out)
        if made is not out:
            out[...] = made
    return whole


def _rolling(x: Array, window: int, join: Join) -> Array:
    return _whole(x, window, lambda x, out: _window((x,), window, join, out)[0])


def _join_by(ufunc: np.ufunc) -> Join:
    return lambda newer, _, older, __, out: (ufunc(newer[0], older[0], out=out),)


def rolling_sum(x: Array, window: int) -> Array:
    """Sum of the last `window` values."""
    return _rolling(x, window, _join_by(np.add))


def rolling_max(x: Array, window: int) -> Array:
    """Highest of the last `window` values."""
    return _rolling(x, window, _join_by(np.maximum))


def rolling_min(x: Array, window: int) -> Array:
    """Lowest of the last `window` values."""
    return _rolling(x, window, _join_by(np.minimum))


def rolling_max_so_far(x: Array, window: int) -> Array:
    """Highest of the last `window` values, of those there are while the history is shorter."""
    nothing = np.full((window - 1, x.shape[1]), np.nan)
    return _window((np.concatenate([nothing, x]),), window, _join_by(np.fmax))[0]


def _join_means(newer: Span, newer_n: int, older: Span, older_n: int, _: Array | None) -> Span:
    return (newer[0] + (older[0] - newer[0]) * (older_n / (newer_n + older_n)),)


def rolling_mean(x: Array, window: int) -> Array:
    """Mean of the last `window` values; exact for equal values."""
    return _rolling(x, window, _join_means)


def _join_moments(newer: Span, newer_n: int, older: Span, older_n: int, _: Array | None) -> Span:
    total = newer_n + older_n
    distance = older[0] - newer[0]
    mean = newer[0] + distance * (older_n / total)
    squares = newer[1] + older[1] + distance * distance * (newer_n * older_n / total)
    return mean, squares


def rolling_mean_std(x: Array, window: int) -> tuple[Array, Array]:
    """Mean and population standard deviation of the last `window` values.

    Means and squared deviations of neighbouring spans are merged (Chan, Golub, LeVeque 1979): no
    cancellation, and a window of equal values has exactly that mean and exactly zero deviation.
    """
    if len(x) < window:
        return np.full_like(x, np.nan), np.full_like(x, np.nan)
    mean, squares = _window((x, np.where(np.isnan(x), np.nan, 0.0)), window, _join_moments)
    return (
        _whole(x, window, lambda _, __: mean),
        _whole(x, window, lambda _, __: np.sqrt(squares / window)),
    )


def rolling_std(x: Array, window: int) -> Array:
    """Population standard deviation of the last `window` values."""
    return rolling_mean_std(x, window)[1]


def _lagged(x: Array, window: int, lag: int) -> Array:
    """The value `lag` bars ago, for each row with a full window."""
    return x[window - 1 - lag : len(x) - lag]


def rolling_mean_deviation(x: Array, window: int) -> Array:
    """Mean absolute distance of the last `window` values from their mean."""

    def deviation(x: Array, _: Array) -> Array:
        (mean,) = _window((x,), window, _join_means)
        total = np.zeros_like(mean)
        for lag in range(window):
            distance = _lagged(x, window, lag) - mean
            total += np.abs(distance, out=distance)
        return total / window

    return _whole(x, window, deviation)


def rolling_weighted_mean(x: Array, window: int) -> Array:
    """Linearly weighted mean of the last `window` values, the newest with weight `window`."""

    def weighted(x: Array, _: Array) -> Array:
        total = np.zeros_like(x[window - 1 :])
        for lag in range(window - 1, -1, -1):
            total += ((window - lag) * 2 / (window * (window + 1))) * _lagged(x, window, lag)
        return total

    return _whole(x, window, weighted)


def bars_since_max(x: Array, window: int) -> Array:
    """Bars since the highest of the last `window` values (0 = now); the oldest of equals counts."""

    def bars_since(x: Array, _: Array) -> Array:
        height = np.arange(len(x), dtype=np.float64)[:, None]
        value, row = _window((x, height + np.zeros_like(x)), window, _join_oldest_max)
        return np.where(np.isnan(value), np.nan, height[window - 1 :] - row)

    return _whole(x, window, bars_since)


def _join_oldest_max(newer: Span, newer_n: int, older: Span, older_n: int, _: Array | None) -> Span:
    take_newer = newer[0] > older[0]
    value = np.where(take_newer | np.isnan(newer[0]), newer[0], older[0])
    return value, np.where(take_newer, newer[1], older[1])
