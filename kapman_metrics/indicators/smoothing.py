"""Exponential and Wilder smoothing: one pass over time, all symbols at once.

Every array is [bars x symbols], NaN above a symbol's first bar; with `keep` only the last so many rows of a result
are made, with the values they have among all. Does not belong here: windows (primitives.py),
what an indicator means.
"""

from __future__ import annotations

from itertools import chain, repeat

import numpy as np

from kapman_metrics.indicators.panel import Array
from kapman_metrics.indicators.primitives import rolling_mean


def ema(x: Array, span: int, keep: int | None = None) -> Array:
    """Exponential mean with alpha = 2 / (span + 1), seeded with the first value, defined from the
    `span`-th value on.
    """
    return ewm(x, 2.0 / (span + 1.0), span, keep)


def wilder_ema(x: Array, window: int, keep: int | None = None) -> Array:
    """Exponential mean with alpha = 1 / window, seeded with the first value, defined from the `window`-th
    value on.
    """
    return ewm(x, 1.0 / window, window, keep)


def ewm(x: Array, alpha: float, min_periods: int, keep: int | None = None) -> Array:
    """y = y + alpha (x - y) from the first value on; NaN before `min_periods` values have been seen.

    As pandas `ewm(alpha, adjust=False, ignore_na=False).mean()`: a NaN in mid-series keeps y and lowers the
    weight of the past when the next value arrives.
    """
    first = _first_rows(x)
    y = _follow(x, alpha, first, keep=keep)
    known_from = first + (min_periods - 1) - (len(x) - len(y))
    top = y[: max(known_from.max(initial=0), 0)]
    np.copyto(top, np.nan, where=np.arange(len(top))[:, None] < known_from)

    holed = np.flatnonzero(np.isnan(y[-1]) & (first < len(x)))
    if holed.size:
        y[:, holed] = _with_holes(x[:, holed], alpha, first[holed], min_periods)[-len(y) :]
    return y


def wilder_mean(x: Array, window: int, first: Array, keep: int | None = None) -> Array:
    """Wilder's average: the mean of the first `window` values from row `first` (one a column) on, then
    y = y + (x - y) / window; NaN before.
    """
    start = first + (window - 1)
    seed = np.full(x.shape[1], np.nan)
    for row in np.unique(start[start < len(x)]):
        columns = np.flatnonzero(start == row)
        seed[columns] = rolling_mean(x[row - window + 1 : row + 1, columns], window)[-1]
    return _follow(x, 1.0 / window, start, seed, keep)


def adaptive_mean(x: Array, alpha: Array, first: Array, keep: int | None = None) -> Array:
    """y = x in row `first` (one a column), then y = y + alpha (x - y) with each row's own alpha; NaN before."""
    return _follow(x, alpha, first, keep=keep)


def _first_rows(x: Array) -> Array:
    """Row of the first non-NaN value of each column; the number of rows where there is none."""
    usual = int(np.isnan(x[:, 0]).argmin())
    if np.isnan(x[:usual]).all() and not np.isnan(x[usual]).any():  # one first row for all: no need to search
        return np.full(x.shape[1], usual)
    present = ~np.isnan(x)
    return np.where(present.any(axis=0), present.argmax(axis=0), len(x))


def _follow(
    x: Array, alpha: float | Array, first: Array, seed: Array | None = None, keep: int | None = None
) -> Array:
    """y = `seed` (x without one) in row `first`, then y = y + alpha (x - y); NaN above.

    An unchanged value leaves y unchanged to the last bit: flat prices have exactly zero momentum.
    """
    rows, columns = x.shape
    kept = rows if keep is None else min(keep, rows)
    out = np.empty((kept, columns))
    y, distance = np.full(columns, np.nan), np.empty(columns)
    targets = chain(repeat(y, rows - kept), out)  # rows nobody asked for overwrite each other
    steps = alpha if isinstance(alpha, np.ndarray) else repeat(np.array(alpha))
    last_start = first[first < rows].max(initial=-1)
    subtract, multiply, add = np.subtract, np.multiply, np.add
    for t, (value, step, target) in enumerate(zip(x, steps, targets, strict=False)):
        subtract(value, y, distance)
        multiply(distance, step, distance)
        add(y, distance, target)
        if t <= last_start:
            np.copyto(target, value if seed is None else seed, where=first == t)
        y = target
    return out


def _with_holes(x: Array, alpha: float, first: Array, min_periods: int) -> Array:
    """A missing value leaves the mean as it is and ages it, as pandas does with `ignore_na=False`: the next
    value then weighs alpha / (alpha + (1 - alpha)^(bars since the last value)).
    """
    observed = ~np.isnan(x)
    row = np.arange(len(x))[:, None]
    last = np.maximum.accumulate(np.where(observed, row, -1), axis=0)
    bars = row - np.concatenate([np.full((1, x.shape[1]), -1), last[:-1]])
    step = np.where(bars == 1, alpha, alpha / (alpha + (1.0 - alpha) ** bars))
    y = _follow(np.where(observed, x, 0.0), np.where(observed, step, 0.0), first)
    y[np.cumsum(observed, axis=0) < min_periods] = np.nan
    return y
