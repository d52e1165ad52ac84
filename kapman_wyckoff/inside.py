"""Events inside a standing range: secondary test, false breaks, tests, last points, and the moment an edge
gives way.

Does not belong here: how the range came about (climax) and what follows a break (breakout).
"""

from __future__ import annotations

import math

from kapman_wyckoff.breakout import RECOVERY_BARS, SPRING_AGE, BreakStage
from kapman_wyckoff.climax import ClimaxStage
from kapman_wyckoff.events import (
    CONFIRMED,
    FAILED,
    NAMES,
    PROVISIONAL,
    SUPERSEDED,
)
from kapman_wyckoff.ranges import (
    REACTION,
    Excursion,
    Pullback,
    TradingRange,
)
from kapman_wyckoff.scores import grade_spring

FALSE_BREAK_AGE = {1: SPRING_AGE, -1: 10}
LAST_POINT_SWINGS = 4  # without a spring the range must have swung so often before a higher low is the last
MATURE_AGE = 15  # without a secondary test a range must be this old before leaving it means anything
AFTERSHOCK_BARS = 10  # a shallower probe so soon after a false break tests it, it is not another one


class InsideStage(ClimaxStage, BreakStage):
    """A range whose edges hold."""

    def inside(self, rng: TradingRange, t: int) -> None:
        v, names = self.views[rng.side], NAMES[rng.side]
        close, atr = v.close[t], self.atr[t]
        untested = names.secondary not in rng.log
        if (
            untested
            and v.low[t] < rng.support
            and t - rng.reaction_bar < MATURE_AGE
            and self.undercut(rng, t)
        ):
            return
        if close > rng.resistance + 0.1 * atr:
            if untested and t - rng.reaction_bar < MATURE_AGE:
                self._resume_reaction(rng, t)
            else:
                self._break_out(rng, t)
            return
        if self._at_climax_edge(rng, t):
            return
        self._secondary_test(rng, t)
        self._false_break_fails(rng, t)
        self._test(rng, t)
        self._last_point(rng, t)
        self._far_edge_probe(rng, t)
        self._count_swing(rng, t)

    def _resume_reaction(self, rng: TradingRange, t: int) -> None:
        code = NAMES[rng.side].reaction
        self.restate(
            rng, rng.log[code], t, SUPERSEDED, "exceeded before a secondary test, the reaction goes on"
        )
        rng.stage = REACTION
        rng.resistance, rng.reaction_bar = self.views[rng.side].high[t], t

    def _count_swing(self, rng: TradingRange, t: int) -> None:
        v = self.views[rng.side]
        place = (v.close[t] - rng.support) / rng.height
        zone = 1 if place > 0.60 else -1 if place < 0.40 else 0
        if zone and zone != rng.swing:
            rng.swings += rng.swing != 0
            rng.swing = zone
            if zone > 0:
                rng.pullback = Pullback(v.high[t], t)

    def _secondary_test(self, rng: TradingRange, t: int) -> None:
        v, code = self.views[rng.side], NAMES[rng.side].secondary
        if code in rng.log:
            return
        if v.low[t] < rng.leg_low:
            rng.leg_low, rng.leg_bar = v.low[t], t
            return
        inside = rng.support - 0.05 * rng.height <= rng.leg_low <= rng.support + 0.30 * rng.height
        if not inside or v.close[t] - rng.leg_low < max(0.2 * rng.height, self.atr[t]):
            return
        bar, ratio = rng.leg_bar, self.volume_ratio[rng.leg_bar]
        if not ratio <= 0.75 * rng.climax_volume:
            rng.leg_low = math.inf  # too heavy to be a test: the next leg may be one
            return
        evidence = (
            (self.spread_ratio[bar] < 1.1) + (v.location[bar] > 0.4) + (rng.leg_low > rng.support)
        ) / 3
        share = (rng.leg_low - rng.support) / rng.height
        self.record(
            rng,
            code,
            bar,
            t,
            evidence,
            f"{share:.0%} of the range from the climax",
            price=rng.side * rng.leg_low,
        )
        rng.support = min(rng.support, rng.leg_low)
        rng.pullback = Pullback(v.high[t], t)

    def _at_climax_edge(self, rng: TradingRange, t: int) -> bool:
        """Follow a move beyond the climax edge to its end: false break, or a break that leaves the range
        (True).
        """
        v, e = self.views[rng.side], rng.excursion
        low, close, atr = v.low[t], v.close[t], self.atr[t]
        if e is None:
            if not low < rng.support - 0.1 * atr:
                return False
            limit = min(2.0 * atr, 0.25 * rng.height)
            e = rng.excursion = Excursion(t, low, t, limit, self.volume_ratio[t])
        if low < e.low:
            e.low, e.low_bar = low, t
        if close >= rng.support:
            rng.excursion = None
            if t - e.start <= RECOVERY_BARS and rng.support - e.low <= e.limit:
                self._false_break(rng, t, e)
            return False
        if e.break_bar < 0 and close < rng.support - 0.1 * atr:
            e.break_bar = t
        gone = t - e.start > RECOVERY_BARS or rng.support - close > e.limit
        if e.break_bar < 0 or not gone:
            return False
        self._break_down(rng, t, e)
        return True

    def _false_break(self, rng: TradingRange, t: int, e: Excursion) -> None:
        if t - rng.reaction_bar < FALSE_BREAK_AGE[rng.side]:
            return
        if t - rng.false_break_regain <= AFTERSHOCK_BARS and e.low >= rng.false_break_low:
            return
        v = self.views[rng.side]
        depth = (rng.support - e.low) / self.atr[e.start]
        gaps = () if NAMES[rng.side].secondary in rng.log else (NAMES[rng.side].secondary,)
        facts = f"{depth:.1f} ATR beyond the edge, regained on bar {t - e.start}"
        price = rng.side * e.low
        if rng.side > 0:
            points = grade_spring(
                depth, (rng.support - e.low) / rng.support, t - e.start, e.volume_ratio, v.location[t],
                touches=2, is_range_support=True,
            )  # fmt: skip
            heavy = not e.volume_ratio <= 1.5
            rng.false_break = self.record(
                rng, "SPRING", e.low_bar, t, sum(points.values()) / 12, facts, gaps=gaps, price=price,
                status=PROVISIONAL if heavy else CONFIRMED, points=points,
            )  # fmt: skip
        else:
            late = rng.swings >= 2 and e.low < rng.false_break_extreme
            evidence = ((self.spread_ratio[e.low_bar] > 1.2) + (v.location[t] > 0.6) + (t - e.start <= 1)) / 3
            rng.false_break = self.record(
                rng, "UTAD" if late else "UT", e.low_bar, t, evidence, facts, gaps=gaps, price=price
            )
        rng.false_break_low, rng.false_break_regain = e.low, t
        rng.false_break_extreme = min(rng.false_break_extreme, e.low)
        rng.test_low, rng.test_bar = math.inf, -1
        rng.pullback, rng.last_point_spent = Pullback(v.high[t], t), False

    def _false_break_fails(self, rng: TradingRange, t: int) -> None:
        if rng.false_break is None or not self.views[rng.side].close[t] < rng.false_break_low:
            return
        for record in (rng.false_break, rng.log.get("TEST")):
            if record is not None:
                self.restate(rng, record, t, FAILED, "closed beyond its extreme")
        rng.false_break = None

    def _test(self, rng: TradingRange, t: int) -> None:
        """Quiet return towards the spring, proven by a close above the high of its low bar."""
        age = t - rng.false_break_regain
        if rng.side < 0 or rng.false_break is None or "TEST" in rng.log or not 2 <= age <= 18:
            return
        v, bar = self.views[1], rng.test_bar
        if v.low[t] < rng.test_low:
            if age <= 15 and v.low[t] <= v.low[t - 1]:
                rng.test_low, rng.test_bar = v.low[t], t
            return
        if bar < 0 or not v.close[t] > v.high[bar]:
            return
        ratio, spring_ratio = self.volume_ratio[bar], self.volume_ratio[rng.false_break.bar]
        regain_ratio = self.volume_ratio[rng.false_break_regain]
        near = rng.false_break_low < rng.test_low <= rng.support + 0.3 * rng.height
        if not (near and ratio < 1.0):
            rng.test_low, rng.test_bar = math.inf, -1
            return
        quiet = ratio < 0.7 * max(spring_ratio, regain_ratio)
        evidence = ((ratio < 0.9) + quiet + (self.spread_ratio[bar] < 1.0)) / 3
        self.record(
            rng,
            "TEST",
            bar,
            t,
            evidence,
            "quiet return towards the spring's low, held above it",
            price=rng.test_low,
        )
        if rng.false_break.status == PROVISIONAL:
            self.restate(rng, rng.false_break, t, CONFIRMED, "its test held")
        rng.pullback = Pullback(v.high[t], t)

    def _last_point(self, rng: TradingRange, t: int) -> None:
        """LPS before the breakout, LPSY before the breakdown: a quiet higher low (lower high) inside the
        range.
        """
        pull, v = rng.pullback, self.views[rng.side]
        close = v.close[t]
        if close < rng.last_point_low:
            code = "LPS" if rng.side > 0 else "LPSY"
            if code in rng.log:
                self.restate(rng, rng.log[code], t, FAILED, "closed beyond it before the break")
            rng.last_point_low = -math.inf
        if pull is None or rng.last_point_spent:
            return
        if rng.false_break is None and (rng.side < 0 or rng.swings < LAST_POINT_SWINGS):
            return
        pull.update(t, v.high[t], v.low[t])
        if not self.rebounded(pull, v, t, 12):
            return
        bar = pull.low_bar
        floor = rng.support + 0.2 * rng.height if rng.side > 0 else rng.support
        deep_enough = pull.top - pull.low >= self.atr[t]
        if not (pull.low > floor and deep_enough and self.volume_ratio[bar] < 1.0):
            return
        code = "LPS" if rng.side > 0 else "LPSY"
        evidence = ((self.volume_ratio[bar] < 0.9) + (self.spread_ratio[bar] < 1.0)) / 2
        gaps = () if rng.false_break is not None else ("SPRING",)
        facts = f"pullback of {bar - pull.top_bar} bars held inside the range"
        self.record(rng, code, bar, t, evidence, facts, gaps=gaps, price=rng.side * pull.low)
        rng.last_point_low, rng.last_point_spent = pull.low, True

    def _far_edge_probe(self, rng: TradingRange, t: int) -> None:
        """A range born of a buying climax may still be re-accumulation: its reaction low can carry a
        spring.
        """
        if rng.side > 0:
            return
        v = self.views[-1]
        if v.high[t] > rng.resistance + 0.1 * self.atr[t] and v.close[t] <= rng.resistance:
            self.reaccumulation_spring(rng, t, t)

    def _break_out(self, rng: TradingRange, t: int) -> None:
        """First close beyond the reaction's edge: SOS of an accumulation, SOW of a distribution."""
        self.leave(rng, NAMES[rng.side].breakout, rng.side, t, t, penalty=0)

    def _break_down(self, rng: TradingRange, t: int, e: Excursion) -> None:
        """The climax edge gave way and was not regained: the range resolves against the side it began
        with.
        """
        if NAMES[rng.side].secondary not in rng.log and t - rng.reaction_bar < MATURE_AGE:
            self.restate(rng, rng.climax, t, FAILED, "closed beyond the climax before a secondary test")
            self.close(rng, t)
            return
        v = self.views[rng.side]
        rng.void = rng.support - v.close[t] > 0.25 * rng.height
        if rng.false_break is not None and v.close[t] < rng.false_break_low:
            self._false_break_fails(rng, t)
        rng.excursion = None
        self.leave(rng, NAMES[rng.side].breakdown, -rng.side, e.break_bar, t, penalty=1)
