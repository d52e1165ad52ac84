"""Graded scores: buying climax 0-28, spring 0-12, and the composite probability of the side in force.

Grades are the tables of wyckoff.md sections 5 and 6. Does not belong here: when a spring or a climax happened
(ranges) and what a score makes a trader do (kapman_advice).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kapman_wyckoff.bars import (
    Array,
    Features,
    on_balance_volume,
    previous,
    recent_max,
    rolling_max,
    rolling_sum,
    rsi,
    stochastic_k,
)

BC_SIGNALS: tuple[str, ...] = (
    "parabolic_price", "volume_explosion", "wide_range_weak_close", "overbought", "volume_divergence",
    "behaviour_at_highs", "sentiment_extreme",
)  # fmt: skip
SPRING_SIGNALS: tuple[str, ...] = ("support_break", "quick_recovery", "low_volume", "bullish_close")

CLIMAX_WINDOW = 5
NEAR_HIGH = 0.90
WEAK_CLOSE = 0.305  # the bottom 30 %, to the whole percent
SHORTEST_HISTORY = 20
# Bars after the regain in which a spring counts as a setup: at a range's edge the window in which its test
# may
# come; at a lone pivot low, a weaker fact, one week.
SPRING_ALIVE = 15
PIVOT_SPRING_ALIVE = 5

# Share of real ranges that, standing on this step for the first time, went on to leave by the side's edge
# (steps 1-5:
# a break in its direction that did not fail, before the other edge or no break at all) or whose break held
# ten bars
# (step 6). Counted on 1,082 liquid US names 2022-01..2024-03 and 77 large ones 2018-03..2021-12 (n from 30
# to 1,473);
# large names 2022-01..2026-05 agree within 0.10. A spring lowers the figure: it stands at the edge that may
# yet give way.
COMPOSITE_BY_STEP: dict[int, dict[int, float]] = {
    1: {1: 0.26, 2: 0.41, 3: 0.66, 4: 0.30, 5: 0.44, 6: 0.92},
    -1: {1: 0.22, 2: 0.35, 3: 0.53, 4: 0.20, 5: 0.50, 6: 0.91},
}


def grade_parabolic(gain: Array, previous_gain: Array, sigma: Array) -> Array:
    """0, 2, 3 or 4 points for a day's gain (decimal) against fixed steps and the 60-bar daily sigma."""
    gain, sigma = np.asarray(gain, dtype=float), np.asarray(sigma, dtype=float)
    rising = np.where(gain > 0, 1.0, np.nan)
    four = (gain > 0.05) | (gain * rising > 3 * sigma) | ((gain > 0.03) & (np.asarray(previous_gain) > 0.03))
    three = (gain > 0.035) | (gain * rising > 2.5 * sigma)
    two = (gain > 0.025) | (gain * rising > 2 * sigma)
    return _best((four, 4), (three, 3), (two, 2))


def grade_volume(volume_ratio: Array) -> Array:
    """0, 2, 3 or 4 points for volume over its 20-bar mean."""
    ratio = np.asarray(volume_ratio, dtype=float)
    return _best((ratio > 2.0, 4), (ratio > 1.6, 3), (ratio > 1.3, 2))


def grade_wide_range(range_share: Array, spread_ratio: Array, location: Array, at_high: Array) -> Array:
    """Points over the climax window ending at each bar: 1 for a wide range (> 4 % of price or > 2x its
    mean), 3 when the window also holds a bottom-30 % close on a bar that made a 20-bar high, 4 when one
    bar is both wide and weak.
    """
    wide = (np.asarray(range_share) > 0.04) | (np.asarray(spread_ratio) > 2.0)
    weak = np.asarray(location) < WEAK_CLOSE
    wide_seen = _seen(wide)
    return _best((_seen(wide & weak), 4), (wide_seen & _seen(weak & np.asarray(at_high)), 3), (wide_seen, 1))


def grade_overbought(rsi_14: Array, percent_k: Array) -> Array:
    """0, 2, 3 or 4 points for RSI(14) and fast %K(14), both 0..100."""
    r, k = np.asarray(rsi_14, dtype=float), np.asarray(percent_k, dtype=float)
    return _best(((r > 70) & (k > 80), 4), ((r > 65) & (k > 80), 3), ((r > 70) | (k > 90), 2))


def grade_divergence(
    near_high: Array, obv_falling: Array, obv_below: Array, new20: Array, new60: Array
) -> Array:
    """0, 2, 3 or 4 points for price at its highs while OBV is not: `obv_below` is OBV at or under its own
    earlier 20-bar high, `near_high` a close within 1 % of the 20-bar high.
    """
    below = np.asarray(obv_below)
    return _best(
        (np.asarray(new60) & below, 4),
        (np.asarray(new20) & below, 3),
        (np.asarray(near_high) & np.asarray(obv_falling), 2),
    )


def grade_behaviour(new20: Array, new60: Array, close_under_high: Array) -> Array:
    """0, 2, 3 or 4 points for a new high that is not held; `close_under_high` = 1 - close / high, decimal."""
    under = np.asarray(close_under_high, dtype=float)
    two_percent = under >= 0.02
    return _best(
        (np.asarray(new60) & two_percent, 4),
        (np.asarray(new20) & two_percent, 3),
        (np.asarray(new20) & (under >= 0.01), 2),
    )


def over_climax_window(points: Array) -> Array:
    """Best grade within the last five sessions: a buying climax is a cluster, not a bar."""
    return recent_max(np.asarray(points, dtype=float), CLIMAX_WINDOW)


def buying_climax(features: Features, sentiment: Array | None = None) -> tuple[Array, Array, Array]:
    """(score, available maximum, points) of every bar: float arrays [n], [n] and [7, n] in the order of
    BC_SIGNALS.

    `sentiment` holds 0-4 points per bar, NaN where the proxy is unavailable; without it that signal is NaN
    and the available maximum 24. The score is the sum of what was earned, 0 when the close is more than 10 %
    under the 60-bar high, NaN before 20 bars. It is never rescaled.
    """
    f = features
    if len(f) == 0:
        return np.empty(0), np.empty(0), np.empty((len(BC_SIGNALS), 0))
    gain = f.returns
    new20 = f.high > previous(rolling_max(f.high, 20))
    new60 = f.high > previous(rolling_max(f.high, 60))
    obv = on_balance_volume(f.close, f.volume)
    traded = rolling_sum(f.volume, 20) > 0
    obv_below = traded & (obv <= previous(rolling_max(obv, 20)))
    near = f.close >= 0.99 * rolling_max(f.high, 20)
    points = np.vstack(
        [
            over_climax_window(grade_parabolic(gain, previous(gain), _previous_sigma(gain))),
            over_climax_window(grade_volume(f.volume_ratio)),
            grade_wide_range((f.high - f.low) / f.close, f.spread_ratio, f.location, new20),
            over_climax_window(grade_overbought(rsi(f.close), stochastic_k(f.high, f.low, f.close))),
            _unresolved(grade_divergence(near, obv < previous(obv, 5), obv_below, new20, new60), ~obv_below),
            over_climax_window(grade_behaviour(new20, new60, 1.0 - f.close / f.high)),
            np.full(len(f), np.nan) if sentiment is None else over_climax_window(sentiment),
        ]
    )
    earned = np.where(np.isnan(points), 0.0, points).sum(axis=0)
    at_highs = f.close >= NEAR_HIGH * recent_max(f.high, 60)
    score = np.where(at_highs, earned, 0.0)
    available = np.where(np.isnan(points[-1]), 24.0, 28.0)
    young = np.arange(len(f)) < SHORTEST_HISTORY - 1
    return np.where(young, np.nan, score), np.where(young, np.nan, available), points


def grade_spring(
    depth_atr: float, depth_share: float, recovery_bars: int, volume_ratio: float, location: float,
    *, touches: int, is_range_support: bool,
) -> dict[str, int]:  # fmt: skip
    """Points 0-3 of the four spring signals.

    `depth_atr` and `depth_share` say how far the low went under the level (ATR units and decimal of price),
    `recovery_bars` on which bar the close regained it (0 = same bar), `volume_ratio` that of the break,
    `location` the place of the regaining close in its bar. No break, or one deeper than 2 ATR or 8 %, is no
    spring: all zero.
    """
    if not 0 < depth_atr <= 2.0 or depth_share > 0.08:
        return dict.fromkeys(SPRING_SIGNALS, 0)
    measured = 0.1 <= depth_atr <= 1.5
    return {
        "support_break": 3 if measured and is_range_support else 2 if measured and touches >= 2 else 1,
        "quick_recovery": 3
        if recovery_bars <= 1
        else 2
        if recovery_bars == 2
        else 1
        if recovery_bars == 3
        else 0,
        "low_volume": sum(volume_ratio < step for step in (1.3, 1.0, 0.8)),
        "bullish_close": sum(location > step for step in (0.4, 0.5, 0.66)),
    }


@dataclass(frozen=True)
class Spring:
    """A false break downwards: bar of the regain, extreme low, points of the four signals, bars it stays
    alive.
    """

    bar: int
    low: float
    points: dict[str, int]
    alive: int = SPRING_ALIVE


def pivot_springs(features: Features) -> list[Spring]:
    """False breaks of the latest confirmed pivot low, in or outside a range, by bar."""
    f = features
    pivots = f.pivot_lows
    if len(pivots) == 0:
        return []
    level, known = np.full(len(f), np.nan), np.searchsorted(pivots + 3, np.arange(len(f)), side="left") - 1
    level[known >= 0] = f.low[pivots[known[known >= 0]]]
    found = []
    for start in np.flatnonzero((f.low < level) & (previous(f.close) >= level)).tolist():
        support, atr = float(level[start]), float(f.atr[start])
        regained = np.flatnonzero(f.close[start : start + 4] >= support)
        if len(regained) == 0:
            continue
        bar = start + int(regained[0])
        depth = support - float(f.low[start : bar + 1].min())
        recent = pivots[max(0, known[start] - 20) : known[start] + 1]
        recent = recent[recent >= start - 60]
        points = grade_spring(
            depth / atr,
            depth / support,
            bar - start,
            float(f.volume_ratio[start]),
            float(f.location[bar]),
            touches=int((np.abs(f.low[recent] - support) <= 0.5 * atr).sum()),
            is_range_support=False,
        )
        if any(points.values()):
            found.append(Spring(bar, support - depth, points, PIVOT_SPRING_ALIVE))
    return found


def spring_scores(features: Features, springs: Sequence[Spring]) -> tuple[Array, list[dict[str, int] | None]]:
    """(score, points) of every bar: the best spring still alive, 0 and None without one, NaN before 20 bars.

    A spring dies after its `alive` bars or at the first close under its low.
    """
    score = np.zeros(len(features))
    points: list[dict[str, int] | None] = [None] * len(features)
    closes = features.close.tolist()
    for spring in springs:
        total = float(sum(spring.points.values()))
        for i in range(spring.bar, min(spring.bar + spring.alive + 1, len(closes))):
            if closes[i] < spring.low:
                break
            if total > score[i]:
                score[i], points[i] = total, spring.points
    score[: SHORTEST_HISTORY - 1] = np.nan
    return score, points


def composite(side: int, step: int) -> float:
    """Probability that the side in force wins, by the highest confirmed step (1..6) of its path."""
    return COMPOSITE_BY_STEP[side][step]


def _previous_sigma(returns: Array) -> Array:
    known = np.where(np.isnan(returns), 0.0, returns)
    count = 60.0
    mean = rolling_sum(known, 60) / count
    variance = np.maximum(rolling_sum(known * known, 60) / count - mean * mean, 0.0)
    sigma = previous(np.sqrt(variance))
    sigma[:61] = np.nan  # the first bar has no return, so the first full window ends at bar 60
    return np.where(sigma > 0, sigma, np.nan)


def _unresolved(points: Array, confirmed: Array) -> Array:
    """Best grade within the climax window since OBV last made a high of its own, which ends a divergence."""
    quiet = ~confirmed
    best, alive = points, quiet
    for back in range(1, CLIMAX_WINDOW):
        best = np.fmax(best, np.where(alive, previous(points, back), np.nan))
        alive = alive & (previous(quiet.astype(float), back) == 1.0)
    return best


def _best(*grades: tuple[Array, int]) -> Array:
    points: Array = np.zeros(np.shape(grades[0][0]))
    for holds, value in reversed(grades):
        points = np.where(holds, float(value), points)
    return points


def _seen(flags: Array) -> Array:
    return recent_max(np.asarray(flags, dtype=float), CLIMAX_WINDOW) > 0
