"""Features of one symbol's bars: ranges, volume ratios, legs, oscillators, each known at the close of its
bar.

Does not belong here: anything that looks at a later bar, and any judgement about structure (ranges, events,
scores).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

Array = np.ndarray

VOLUME_WINDOW = 20
VOLUME_VALID = 15
LEG_WINDOW = 60
ATR_PERIOD = 14
PIVOT_REACH = 3
FLAT = 1e-9  # an average range below this share of the price is a series that does not trade


@dataclass(frozen=True)
class Features:
    """Per-bar features of one symbol, all float64 arrays of the same length, NaN where undefined.

    `spread_ratio` is R / mean R of the previous 20 bars, `volume_ratio` volume / mean of the previous 20
    (zero-volume bars skipped, undefined with fewer than 15 valid), `location` (close - low) / R with 0.5 for
    R = 0, `atr` the Wilder ATR(14) up to the previous bar, `decline` D60 and `advance` U60 in units of that
    ATR (wyckoff.md, section 1).
    """

    symbol: str
    dates: Array  # datetime64[D]
    open: Array
    high: Array
    low: Array
    close: Array
    volume: Array
    spread_ratio: Array
    volume_ratio: Array
    location: Array
    atr: Array
    decline: Array
    advance: Array
    low60: Array  # lowest low of the 60 bars that end here
    high60: Array

    def __len__(self) -> int:
        return len(self.close)

    @cached_property
    def returns(self) -> Array:
        """Simple close-to-close returns, NaN on the first bar."""
        out = np.full(len(self), np.nan)
        out[1:] = self.close[1:] / self.close[:-1] - 1.0
        return out

    @cached_property
    def sma20(self) -> Array:
        return rolling_mean(self.close, 20)

    @cached_property
    def sma50(self) -> Array:
        return rolling_mean(self.close, 50)

    @cached_property
    def pivot_lows(self) -> Array:
        """Bars that are the lowest of 3 bars each side; each exists from its bar + 3 on."""
        return _pivots(-self.low)

    @cached_property
    def pivot_highs(self) -> Array:
        """Bars that are the highest of 3 bars each side; each exists from its bar + 3 on."""
        return _pivots(self.high)


@dataclass(frozen=True)
class View:
    """The bars seen from one side, as plain lists for the bar-by-bar walk.

    Side +1 is the chart as printed; side -1 is the chart turned upside down (prices negated), so that a
    buying climax reads like a selling climax and one set of rules serves accumulation and distribution.
    """

    side: int
    high: list[float]
    low: list[float]
    close: list[float]
    location: list[float]
    leg: list[float]
    is_extreme: list[bool]


def compute_features(
    symbol: str, dates: Array, open_: Array, high: Array, low: Array, close: Array, volume: Array
) -> Features:
    """Features of one symbol from float64 arrays sorted by date. Volume may hold zeros for bars without
    trades.
    """
    spread = high - low
    mean_spread = _shift(rolling_mean(spread, VOLUME_WINDOW))
    mean_spread = np.where(mean_spread > FLAT * close, mean_spread, np.nan)
    traded = volume > 0
    count = _shift(rolling_sum(traded.astype(float), VOLUME_WINDOW))
    total = _shift(rolling_sum(np.where(traded, volume, 0.0), VOLUME_WINDOW))
    usable = (count >= VOLUME_VALID) & traded
    mean_volume = np.where(usable, total, np.nan) / np.where(usable, count, np.nan)
    atr = _shift(wilder_average(_true_range(high, low, close), ATR_PERIOD, first=1))
    atr = np.where(atr > FLAT * close, atr, np.nan)
    safe_spread = np.where(spread > 0, spread, 1.0)
    return Features(
        symbol=symbol,
        dates=dates,
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=volume,
        spread_ratio=spread / mean_spread,
        volume_ratio=volume / mean_volume,
        location=np.where(spread > 0, (close - low) / safe_spread, 0.5),
        atr=atr,
        decline=(_shift(rolling_max(high, LEG_WINDOW)) - low) / atr,
        advance=(high - _shift(rolling_min(low, LEG_WINDOW))) / atr,
        low60=rolling_min(low, LEG_WINDOW),
        high60=rolling_max(high, LEG_WINDOW),
    )


def view(features: Features, side: int) -> View:
    """The bars of `features` as seen from `side` (+1 accumulation, -1 distribution)."""
    f = features
    if side > 0:
        extreme = (f.low <= f.low60) & (f.decline >= 5.0)
        high, low, close, location, leg = f.high, f.low, f.close, f.location, f.decline
    else:
        extreme = (f.high >= f.high60) & (f.advance >= 5.0)
        high, low, close, location, leg = -f.low, -f.high, -f.close, 1.0 - f.location, f.advance
    return View(
        side, high.tolist(), low.tolist(), close.tolist(), location.tolist(), leg.tolist(), extreme.tolist()
    )


def rolling_sum(values: Array, window: int) -> Array:
    """Sum over the last `window` values, NaN before the first full window. Sequential, hence equal on
    every prefix.
    """
    out = np.full(len(values), np.nan)
    if len(values) >= window:
        total = np.concatenate(([0.0], np.cumsum(values)))
        out[window - 1 :] = total[window:] - total[:-window]
    return out


def rolling_mean(values: Array, window: int) -> Array:
    """Mean over the last `window` values, NaN before the first full window."""
    return rolling_sum(values, window) / window


def rolling_max(values: Array, window: int) -> Array:
    """Maximum over the last `window` values, NaN before the first full window."""
    out = np.full(len(values), np.nan)
    if len(values) >= window:
        out[window - 1 :] = sliding_window_view(values, window).max(axis=1)
    return out


def rolling_min(values: Array, window: int) -> Array:
    """Minimum over the last `window` values, NaN before the first full window."""
    return -rolling_max(-values, window)


def recent_max(values: Array, window: int) -> Array:
    """Maximum over the last `window` values or as many as exist; NaN entries are skipped, NaN when all
    are.
    """
    filled = np.where(np.isnan(values), -np.inf, values)
    padded = np.concatenate((np.full(window - 1, -np.inf), filled))
    if len(values) == 0:
        return filled
    best = sliding_window_view(padded, window).max(axis=1)
    return np.where(np.isinf(best), np.nan, best)


def wilder_average(values: Array, period: int, first: int = 0) -> Array:
    """Wilder's smoothing: plain mean of the `period` values from `first`, then (previous x (n-1) + value)
    / n.
    """
    out = np.full(len(values), np.nan)
    start = first + period - 1
    if len(values) <= start:
        return out
    numbers = values.tolist()
    average = sum(numbers[first : start + 1]) / period
    smoothed = [average]
    for value in numbers[start + 1 :]:
        average += (value - average) / period
        smoothed.append(average)
    out[start:] = smoothed
    return out


def rsi(close: Array, period: int = 14) -> Array:
    """Relative strength index after Wilder, 0..100; 50 where neither side moved."""
    change = np.diff(close, prepend=close[:1])
    gain = wilder_average(np.maximum(change, 0.0), period, first=1)
    loss = wilder_average(np.maximum(-change, 0.0), period, first=1)
    total = gain + loss
    value = 100.0 * gain / np.where(total > 0, total, 1.0)
    return np.where(np.isnan(total), np.nan, np.where(total > 0, value, 50.0))


def stochastic_k(high: Array, low: Array, close: Array, period: int = 14) -> Array:
    """Fast %K, 0..100: place of the close in the range of the last `period` bars; 50 where that range is
    zero.
    """
    top, bottom = rolling_max(high, period), rolling_min(low, period)
    width = top - bottom
    value = 100.0 * (close - bottom) / np.where(width > 0, width, 1.0)
    return np.where(np.isnan(width), np.nan, np.where(width > 0, value, 50.0))


def on_balance_volume(close: Array, volume: Array) -> Array:
    """Running sum of volume signed by the close-to-close direction, 0 at the first bar (only differences
    are used).
    """
    return np.cumsum(np.sign(np.diff(close, prepend=close[:1])) * volume)


def previous(values: Array, bars: int = 1) -> Array:
    """Values of `bars` bars ago, NaN where there was none."""
    return _shift(values, bars)


def _shift(values: Array, bars: int = 1) -> Array:
    out = np.full(len(values), np.nan)
    if len(values) > bars:
        out[bars:] = values[:-bars]
    return out


def _true_range(high: Array, low: Array, close: Array) -> Array:
    out = high - low
    out[1:] = np.maximum(high[1:], close[:-1]) - np.minimum(low[1:], close[:-1])
    return out


def _pivots(values: Array) -> Array:
    window = 2 * PIVOT_REACH + 1
    if len(values) < window:
        return np.empty(0, dtype=np.int64)
    windows = sliding_window_view(values, window)
    centre = windows[:, PIVOT_REACH]
    strictly = windows[:, :PIVOT_REACH].max(axis=1) < centre
    return np.flatnonzero(strictly & (centre >= windows.max(axis=1))) + PIVOT_REACH
