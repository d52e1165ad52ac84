"""Wilder's parabolic stop and reverse: the one indicator with a state machine of its own.

Does not belong here: anything that is a formula over primitives.
"""

from __future__ import annotations

import numpy as np

from kapman_metrics.indicators.panel import Array, Panel

STARTS_ON_BAR = 2  # counted from 0


def psar(p: Panel, step: float, max_step: float) -> tuple[Array, Array, Array, Array, Array]:
    """Stop level, the level while the trend is up / down (exactly one is present), and marks (1.0) of
    reversals up / down.

    The level starts on a symbol's third bar, the marks on its fourth: before there is nothing to reverse
    from.
    """
    stop, falling = _stop_and_reverse(p, step, max_step)
    before = np.concatenate([np.zeros((1, stop.shape[1]), bool), falling[:-1]])
    turned_up, turned_down = (before & ~falling).astype(float), (~before & falling).astype(float)
    return (
        stop,
        np.where(falling, np.nan, stop),
        np.where(falling, stop, np.nan),
        p.known_from(turned_up, STARTS_ON_BAR + 1),
        p.known_from(turned_down, STARTS_ON_BAR + 1),
    )


def _stop_and_reverse(p: Panel, step: float, max_step: float) -> tuple[Array, Array]:
    """Stop level of every bar (of the latest two where only the latest is wanted) and whether it belongs to
    a downtrend; an uptrend is assumed at the start.

    A downtrend is the uptrend of the mirrored (negated) prices, so everything below is written for a rising
    stop under the lows. `extreme` is the highest high of the trend, negated, which makes it the stop of the
    next trend once mirrored. Choosing between a price and its mirror bit by bit (`mirror`: all bits set in a
    downtrend) is several times faster than np.where on masks that change from column to column.
    """
    rows, columns = p.close.shape
    low = p.low.view(np.int64)
    high_or_low = (-p.high).view(np.int64) ^ low
    start = p.first + STARTS_ON_BAR
    last_start = start[start < rows].max(initial=-1)
    speeds = np.minimum(np.cumsum(np.full(round(max_step / step) + 2, step)), max_step)

    stop, falling = np.full((rows, columns), np.nan), np.zeros((rows, columns), bool)
    stop, falling = p.recent(stop, 2), p.recent(falling, 2)
    unseen = rows - len(stop)
    mirror, flip = np.zeros(columns, np.int64), np.empty(columns, np.int64)
    level, extreme = np.full(columns, np.nan), np.full(columns, np.nan)
    reach, held, speed = np.empty(columns), np.empty(columns), np.empty(columns)
    extensions, fastest = np.zeros(columns, np.int8), np.array(len(speeds) - 1, np.int8)
    three_lows, negated_high = np.empty((3, columns), np.int64), np.empty(columns, np.int64)
    low_before_last, last_low, low_now = three_lows.view(np.float64)
    high_now = negated_high.view(np.float64)
    crossed, extended, inside = np.empty((3, columns), bool)
    all_bits = np.array(-1)

    for t in range(STARTS_ON_BAR, rows):
        if t <= last_start:
            starting = np.flatnonzero(start == t)
            level[starting], extreme[starting] = p.close[t - 1, starting], -p.high[t - 2, starting]
            extensions[starting], mirror[starting] = 0, 0
        np.bitwise_and(high_or_low[t - 2 : t + 1], mirror, three_lows)
        np.bitwise_xor(three_lows, low[t - 2 : t + 1], three_lows)
        np.bitwise_xor(three_lows[2], high_or_low[t], negated_high)

        speeds.take(extensions, out=speed, mode="clip")
        np.add(extreme, level, reach)
        np.multiply(reach, speed, reach)
        np.subtract(level, reach, reach)

        # the stop may not enter the range of the two bars before
        np.less(low_before_last, reach, inside)
        np.minimum(last_low, reach, out=held)
        np.copyto(held, low_before_last, where=inside)

        np.less(high_now, extreme, extended)
        np.add(extensions, extended.view(np.int8), extensions)
        np.minimum(extensions, fastest, out=extensions)

        np.less(low_now, reach, crossed)
        np.copyto(held, extreme, where=crossed)
        np.minimum(extreme, high_now, out=extreme)
        np.copyto(extreme, low_now, where=crossed)
        np.copyto(extensions, 0, where=crossed)
        np.multiply(crossed, all_bits, flip)
        np.bitwise_xor(mirror, flip, mirror)
        level, held = held, level
        if t >= unseen:
            stop[t - unseen] = level
            np.not_equal(mirror, 0, falling[t - unseen])
    return np.where(falling, -stop, stop), falling
