"""The small set of operations all indicators are written in: windows, exponential and Wilder smoothing.

Every array is [sessions x symbols], NaN above a symbol's first bar; NaN in a window gives NaN. A window's
result depends on the bars of the window alone, bit for bit, whatever stands above them. Does not belong here:
what an indicator means.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from kapman_metrics.indicators.panel import Array

T = TypeVar("T")


def shift(x: Array, bars: int = 1) -> Array:
    """The value `bars` bars ago; NaN where there was none."""
    out = np.full_like(x, np.nan)
    if bars < len(x):
        out[bars:] = x[: len(x) - bars]
    return out


def diff(x: Array) -> Array:
    """x minus its value one bar ago."""
    return x - shift(x)


def first_rows(x: Array) -> Array:
    """Row of the first non-NaN value of each column; the number of rows where there is none."""
    present = ~np.isnan(x)
    return np.where(present.any(axis=0), present.argmax(axis=0), len(x))


def _starts(x: Array) -> dict[int, Array]:
    """Row -> columns whose first value stands in that row."""
    first = first_rows(x)
    return {int(row): np.flatnonzero(first == row) for row in np.unique(first) if row < len(x)}


def running(x: Array, join: np.ufunc) -> Array:
    """`join` (np.add, np.multiply) of all values from the top row down, in order."""
    out = x.copy()
    for t in range(1, len(x)):  # row by row: accumulate along the first axis walks memory the slow way
        join(out[t - 1], out[t], out=out[t])
    return out


# --- windows: results for spans 1, 2, 4, ... are joined, so a window of n bars costs about log2(n) passes


def _doubling(level: T, window: int, join: Callable[[T, int, T, int], T]) -> T:
    """Fold the last `window` values; `join(newer, newer_n, older, older_n)` joins a span with the one
    before it.
    """
    result, covered, span = level, 0, 1
    while True:
        if window & span:
            result = join(result, covered, level, span) if covered else level
            covered += span
        if covered == window:
            return result
        level = join(level, span, level, span)
        span *= 2


def rolling_sum(x: Array, window: int) -> Array:
    """Sum of the last `window` values."""
    return _doubling(x, window, lambda newer, n, older, _: newer + shift(older, n))


def rolling_max(x: Array, window: int) -> Array:
    """Highest of the last `window` values."""
    return _doubling(x, window, lambda newer, n, older, _: np.maximum(newer, shift(older, n)))


def rolling_min(x: Array, window: int) -> Array:
    """Lowest of the last `window` values."""
    return _doubling(x, window, lambda newer, n, older, _: np.minimum(newer, shift(older, n)))


def rolling_max_so_far(x: Array, window: int) -> Array:
    """Highest of the last `window` values, of those there are while the history is shorter."""
    return _doubling(x, window, lambda newer, n, older, _: np.fmax(newer, shift(older, n)))


def _join_means(newer: Array, newer_n: int, older: Array, older_n: int) -> Array:
    return newer + (shift(older, newer_n) - newer) * (older_n / (newer_n + older_n))


def rolling_mean(x: Array, window: int) -> Array:
    """Mean of the last `window` values; exact for equal values."""
    return _doubling(x, window, _join_means)


def _join_moments(
    newer: tuple[Array, Array], newer_n: int, older: tuple[Array, Array], older_n: int
) -> tuple[Array, Array]:
    total = newer_n + older_n
    distance = shift(older[0], newer_n) - newer[0]
    mean = newer[0] + distance * (older_n / total)
    squares = newer[1] + shift(older[1], newer_n) + distance * distance * (newer_n * older_n / total)
    return mean, squares


def rolling_mean_std(x: Array, window: int) -> tuple[Array, Array]:
    """Mean and population standard deviation of the last `window` values.

    Means and squared deviations of neighbouring spans are merged (Chan, Golub, LeVeque 1979): no
    cancellation, and a window of equal values has exactly that mean and exactly zero deviation.
    """
    mean, squares = _doubling((x, np.where(np.isnan(x), np.nan, 0.0)), window, _join_moments)
    return mean, np.sqrt(squares / window)


def rolling_std(x: Array, window: int) -> Array:
    """Population standard deviation of the last `window` values."""
    return rolling_mean_std(x, window)[1]


def rolling_mean_deviation(x: Array, window: int) -> Array:
    """Mean absolute distance of the last `window` values from their mean."""
    mean = rolling_mean(x, window)
    total = np.zeros_like(x)
    for lag in range(window):
        total += np.abs(shift(x, lag) - mean)
    return total / window


def rolling_weighted_mean(x: Array, window: int) -> Array:
    """Linearly weighted mean of the last `window` values, the newest with weight `window`."""
    total = np.zeros_like(x)
    for lag in range(window - 1, -1, -1):
        total += ((window - lag) * 2 / (window * (window + 1))) * shift(x, lag)
    return total


def bars_since_max(x: Array, window: int) -> Array:
    """Bars since the highest of the last `window` values (0 = now); the oldest of equals counts."""
    height = np.arange(len(x), dtype=np.float64)[:, None]
    value, row = _doubling((x, height + np.zeros_like(x)), window, _join_oldest_max)
    return np.where(np.isnan(value), np.nan, height - row)


def _join_oldest_max(
    newer: tuple[Array, Array], newer_n: int, older: tuple[Array, Array], _: int
) -> tuple[Array, Array]:
    older_value, older_row = shift(older[0], newer_n), shift(older[1], newer_n)
    take_newer = newer[0] > older_value
    value = np.where(take_newer | np.isnan(newer[0]), newer[0], older_value)
    return value, np.where(take_newer, newer[1], older_row)


# --- smoothing: one pass over time, all symbols at once -------------------------------------------


def _span_alpha(span: float) -> float:
    return 1.0 / (1.0 + (span - 1.0) / 2.0)


def ema(x: Array, span: int) -> Array:
    """Exponential mean with alpha = 2 / (span + 1), seeded with the first value, defined from the
    `span`-th value on.
    """
    return ewm(x, _span_alpha(span), span)


def wilder_ema(x: Array, window: int) -> Array:
    """Exponential mean with alpha = 1 / window, seeded with the first value, defined from the `window`-th
    value on.
    """
    # alpha through the centre of mass, as the oracle computes it: the last bit then agrees as well
    alpha = 1.0 / window
    return ewm(x, 1.0 / (1.0 + (1.0 - alpha) / alpha), window)


def ewm(x: Array, alpha: float, min_periods: int) -> Array:
    """y = (1 - alpha) y + alpha x from the first value on; NaN before `min_periods` values have been seen.

    Same numbers as pandas `ewm(alpha, adjust=False, ignore_na=False).mean()`: a NaN in mid-series keeps y and
    lowers the weight of the past when the next value arrives.
    """
    first = first_rows(x)
    height = np.arange(len(x))[:, None]
    missing = np.isnan(x)
    if (missing & (height >= first)).any():
        out = _ewm_with_holes(x, alpha)
        out[np.cumsum(~missing, axis=0) < min_periods] = np.nan
    else:
        out = _ewm_unbroken(x, alpha)
        out[height < first + min_periods - 1] = np.nan
    return out


def _ewm_unbroken(x: Array, alpha: float) -> Array:
    out = np.empty_like(x)
    keep = 1.0 - alpha
    total = keep + alpha
    weighted = alpha * x
    starts = _starts(x)
    previous = np.full(x.shape[1], np.nan)
    for t in range(len(x)):
        current = out[t]
        np.multiply(previous, keep, out=current)
        current += weighted[t]
        if total != 1.0:
            current /= total
        # an unchanged value must leave the mean unchanged to the last bit: flat prices have exactly zero
        # momentum
        np.copyto(current, x[t], where=previous == x[t])
        columns = starts.get(t)
        if columns is not None:
            current[columns] = x[t, columns]
        previous = current
    return out


def _ewm_with_holes(x: Array, alpha: float) -> Array:
    out = np.empty_like(x)
    mean = np.full(x.shape[1], np.nan)
    past_weight = np.ones(x.shape[1])
    for t in range(len(x)):
        value = x[t]
        observed = ~np.isnan(value)
        started = ~np.isnan(mean)
        past_weight = np.where(started, past_weight * (1.0 - alpha), past_weight)
        joined = (past_weight * mean + alpha * value) / (past_weight + alpha)
        joined = np.where(started & (mean != value), joined, value)
        mean = np.where(observed, joined, mean)
        past_weight = np.where(observed, 1.0, past_weight)
        out[t] = mean
    return out


def _seeded(seed: Array, step: Callable[[Array, int], Array]) -> Array:
    """y = the column's first `seed` value, from then on y = step(previous y, row)."""
    out = np.full_like(seed, np.nan)
    starts = _starts(seed)
    previous = np.full(seed.shape[1], np.nan)
    for t in range(len(seed)):
        current = step(previous, t)
        columns = starts.get(t)
        if columns is not None:
            current[columns] = seed[t, columns]
        out[t] = current
        previous = current
    return out


def wilder_mean(x: Array, window: int) -> Array:
    """Wilder's average: the mean of the first `window` values, then y = (y (window - 1) + x) / window."""
    return _seeded(rolling_mean(x, window), lambda y, t: (y * (window - 1) + x[t]) / window)


def wilder_sum(x: Array, window: int) -> Array:
    """Wilder's running sum: the sum of the first `window` values, then y = y - y / window + x."""
    return _seeded(rolling_sum(x, window), lambda y, t: y - y / window + x[t])


def adaptive_mean(x: Array, smoothing: Array) -> Array:
    """y = y + smoothing (x - y), seeded with x where `smoothing` is first known (the seed uses no
    smoothing).
    """
    seed = np.where(np.isnan(smoothing), np.nan, x)
    return _seeded(seed, lambda y, t: y + smoothing[t] * (x[t] - y))


def true_range(high: Array, low: Array, close: Array) -> Array:
    """Largest of high - low and the distances of both from the previous close; high - low on the first
    bar.
    """
    before = shift(close)
    return np.fmax(high - low, np.fmax(np.abs(high - before), np.abs(low - before)))
