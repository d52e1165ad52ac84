"""Wilder's parabolic stop and reverse: the one indicator with a state machine of its own.

Does not belong here: anything that is a formula over primitives.
"""

from __future__ import annotations

import numpy as np

from kapman_metrics.indicators.panel import Array, Panel
from kapman_metrics.indicators.primitives import first_rows, shift


def psar(p: Panel, step: float, max_step: float) -> tuple[Array, Array, Array, Array, Array]:
    """Stop level, the level while the trend is up / down (exactly one is present), and marks (1.0) of
    reversals up / down.

    The level starts on a symbol's third bar, the marks on its fourth: before there is nothing to reverse
    from.
    """
    stop, up = _stop_and_reverse(p, step, max_step)
    started = ~np.isnan(stop)
    while_up = np.where(started & up, stop, np.nan)
    while_down = np.where(started & ~up, stop, np.nan)
    has_past = ~np.isnan(shift(stop))
    turned_up = (~np.isnan(while_up) & np.isnan(shift(while_up))).astype(float)
    turned_down = (~np.isnan(while_down) & np.isnan(shift(while_down))).astype(float)
    return (
        stop,
        while_up,
        while_down,
        np.where(has_past, turned_up, np.nan),
        np.where(has_past, turned_down, np.nan),
    )


def _stop_and_reverse(p: Panel, step: float, max_step: float) -> tuple[Array, Array]:
    """Stop level and trend flag of every bar; an uptrend is assumed at the first bar."""
    rows, columns = p.close.shape
    stop = np.full((rows, columns), np.nan)
    trend = np.ones((rows, columns), bool)
    first = first_rows(p.close)

    up = np.ones(columns, bool)
    speed = np.full(columns, step)
    peak, trough = np.full(columns, np.nan), np.full(columns, np.nan)
    level = np.full(columns, np.nan)
    for t in range(rows):
        high, low = p.high[t], p.low[t]
        starting = first == t
        peak, trough = np.where(starting, high, peak), np.where(starting, low, trough)
        moving = t >= first + 2
        if not moving.any():
            level = p.close[t]
            continue

        target = np.where(up, peak, trough)
        reach = np.where(up, level + speed * (target - level), level - speed * (level - target))
        crossed = np.where(up, low < reach, high > reach) & moving
        extended = np.where(up, high > peak, low < trough) & moving & ~crossed

        # the stop may not enter the range of the two bars before
        if t >= 2:
            near = np.where(up, p.low[t - 1], p.high[t - 1])
            far = np.where(up, p.low[t - 2], p.high[t - 2])
            inside_far = np.where(up, far < reach, far > reach)
            inside_near = np.where(up, near < reach, near > reach)
            held = np.where(inside_far, far, np.where(inside_near, near, reach))
        else:
            held = reach
        next_level = np.where(crossed, target, held)

        speed = np.where(crossed, step, np.where(extended, np.minimum(speed + step, max_step), speed))
        turns_up, turns_down = crossed & ~up, crossed & up
        peak = np.where(turns_up | (extended & up), high, peak)
        trough = np.where(turns_down | (extended & ~up), low, trough)
        up = up ^ crossed
        level = np.where(moving, next_level, p.close[t])
        stop[t] = np.where(moving, level, np.nan)
        trend[t] = up
    return stop, trend
