"""Pruden's nine buying tests (selling tests mirrored) at one bar: pass, fail or unavailable, with the numbers
seen.

Does not belong here: detecting events or ranges; a test that lacks its input says so and never guesses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from kapman_wyckoff.bars import PIVOT_REACH, Array, Features
from kapman_wyckoff.ranges import TradingRange
from kapman_wyckoff.sequence import Standing

TESTS: tuple[str, ...] = (
    "objective_met",
    "preliminary_climax_test",
    "volume_character",
    "stride_broken",
    "higher_lows",
    "higher_highs",
    "relative_strength",
    "base_formed",
    "reward_to_risk",
)

CHARACTER_BARS = 20
STRENGTH_BARS = 40
BASE_BARS = 30
REWARD_TO_RISK = 3.0

Result = dict[str, object]


def nine_tests(
    features: Features,
    bar: int,
    side: int,
    rng: TradingRange | None,
    edges: tuple[float, float],
    known: Sequence[Standing],
    earlier: Sequence[TradingRange],
    benchmark: Array | None,
) -> dict[str, object]:
    """The nine tests at `bar` for `side` (+1 buying, -1 selling).

    `rng` is the campaign in force and `edges` its (support, resistance) at `bar`, NaN where not yet born;
    `earlier` the closed campaigns; `benchmark` closes aligned to the symbol's bars (NaN where missing) or
    None. Returns {"kind": "buying"|"selling", "passed": n, "tests": {name: {"result", ...numbers}}}.
    """
    f = features
    flipped = (f.high, f.low, f.close) if side > 0 else (-f.low, -f.high, -f.close)
    high, low, close = (values[: bar + 1] for values in flipped)
    pivots = (f.pivot_lows, f.pivot_highs) if side > 0 else (f.pivot_highs, f.pivot_lows)
    lows, highs = (p[p + PIVOT_REACH <= bar] for p in pivots)
    floor, ceiling = edges if side > 0 else (-edges[1], -edges[0])
    tests = {
        "objective_met": _objective(f, bar, side, rng, low, earlier),
        "preliminary_climax_test": _stopping(side, rng, known),
        "volume_character": _volume(f, bar, side),
        "stride_broken": _stride(rng, bar, high, close),
        "higher_lows": _rising(low, lows, side),
        "higher_highs": _rising(high, highs, side),
        "relative_strength": _relative_strength(f, bar, side, benchmark),
        "base_formed": _base(rng, bar),
        "reward_to_risk": _reward(close, low, rng, floor, ceiling, bar),
    }
    passed = sum(test["result"] == "pass" for test in tests.values())
    return {"kind": "buying" if side > 0 else "selling", "passed": passed, "tests": tests}


def count_columns(close: Array, box: float, reversal: int = 3) -> int:
    """Columns of a point-and-figure chart of closes with the given box size and reversal."""
    columns, trend, extreme = 0, 0, float(close[0])
    for price in close[1:].tolist():
        move = price - extreme
        if trend * move > 0:
            extreme = price
        elif abs(move) >= reversal * box:
            columns, trend, extreme = columns + 1, (1 if move > 0 else -1), price
    return columns


def _objective(
    f: Features, bar: int, side: int, rng: TradingRange | None, low: Array, earlier: Sequence[TradingRange]
) -> Result:
    """Horizontal count of the last opposite range: columns x 3 boxes projected from the edge it broke."""
    if rng is None:
        return _unavailable("no range in force")
    causes = [
        r for r in earlier if r.direction == -side and r.born is not None and r.break_bar <= rng.climax_bar
    ]
    if not causes:
        return _unavailable("no completed range before this one to count from")
    cause = causes[-1]
    box = float(f.atr[cause.climax_bar])
    count = 3 * box * count_columns(f.close[cause.climax_bar : cause.break_bar + 1], box)
    broken = min(side * cause.side * cause.support, side * cause.side * cause.resistance)
    target, reached = broken - count, float(low[rng.climax_bar :].min())
    return _judge(reached <= target, objective=side * target, reached=side * reached, box=box)


def _stopping(side: int, rng: TradingRange | None, known: Sequence[Standing]) -> Result:
    if rng is None or rng.side != side:
        return _unavailable("no range of this side in force")
    want = ("PS", "SC", "ST") if side > 0 else ("PSY", "BC", "ST_DIST")
    active = {s.latest.event for s in known if s.is_active}
    return _judge(set(want[1:]) <= active, present=[c for c in want if c in active])


def _volume(f: Features, bar: int, side: int) -> Result:
    """Heavier volume on bars that go the side's way than on those that go against it, over 20 bars."""
    first = bar - CHARACTER_BARS + 1
    if first < 1:
        return _unavailable("fewer than 21 bars")
    change = side * np.diff(f.close[first - 1 : bar + 1])
    volume = f.volume[first : bar + 1]
    if not (change > 0).any() or not (change < 0).any() or volume.sum() == 0:
        return _unavailable("no advances or no declines with volume in 20 bars")
    ratio = float(volume[change > 0].mean() / max(volume[change < 0].mean(), 1e-300))
    return _judge(ratio > 1.0, ratio=min(ratio, 1e6))


def _stride(rng: TradingRange | None, bar: int, high: Array, close: Array) -> Result:
    """The line over the highs of the leg into the climax (its steepest touch-only tangent) lies under the
    close.
    """
    if rng is None:
        return _unavailable("no range in force")
    start = max(0, rng.climax_bar - 60)
    anchor = start + int(np.argmax(high[start : rng.climax_bar + 1]))
    after = np.arange(anchor + 5, rng.climax_bar + 1)
    if len(after) == 0:
        return _unavailable("the leg into the climax is too short for a line")
    slope = float(((high[after] - high[anchor]) / (after - anchor)).max())
    line = float(high[anchor] + slope * (bar - anchor))
    return _judge(bool(close[bar] > line), line=abs(line), close=abs(float(close[bar])))


def _rising(values: Array, pivots: Array, side: int) -> Result:
    if len(pivots) < 2:
        return _unavailable("fewer than two confirmed pivots")
    before, last = float(values[pivots[-2]]), float(values[pivots[-1]])
    return _judge(last > before, previous=side * before, last=side * last)


def _relative_strength(f: Features, bar: int, side: int, benchmark: Array | None) -> Result:
    if benchmark is None:
        return _unavailable("no benchmark given")
    first = bar - STRENGTH_BARS
    if first < 0 or math.isnan(benchmark[bar]) or math.isnan(benchmark[first]):
        return _unavailable("benchmark or symbol shorter than 40 bars")
    own = float(f.close[bar] / f.close[first] - 1.0)
    other = float(benchmark[bar] / benchmark[first] - 1.0)
    return _judge(side * (own - other) > 0, own_return=own, benchmark_return=other, bars=STRENGTH_BARS)


def _base(rng: TradingRange | None, bar: int) -> Result:
    if rng is None or rng.born is None or rng.born > bar:
        return _unavailable("no range in force")
    bars = bar - rng.climax_bar
    return _judge(bars >= BASE_BARS, bars=bars)


def _reward(
    close: Array, low: Array, rng: TradingRange | None, floor: float, ceiling: float, bar: int
) -> Result:
    """Distance to the far edge plus the range's height against the distance to the campaign's extreme."""
    if rng is None or math.isnan(floor) or math.isnan(ceiling):
        return _unavailable("no range in force")
    price, stop = float(close[bar]), float(low[rng.climax_bar :].min())
    risk, target = price - stop, ceiling + (ceiling - floor)
    if risk <= 0:
        return _unavailable("price is at or beyond the stop")
    ratio = (target - price) / risk
    return _judge(ratio >= REWARD_TO_RISK, ratio=ratio, target=abs(target), stop=abs(stop))


def _judge(holds: bool, **numbers: object) -> Result:
    rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in numbers.items()}
    return {"result": "pass" if holds else "fail", **rounded}


def _unavailable(reason: str) -> Result:
    return {"result": "unavailable", "reason": reason}
