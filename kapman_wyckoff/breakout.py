"""Leaving the range: the break, its failure or confirmation, and the pullback that follows it.

Does not belong here: events inside a range that still holds (inside).
"""

from __future__ import annotations

import math
from dataclasses import replace

from kapman_wyckoff.bars import View
from kapman_wyckoff.events import (
    CONFIRMED,
    FAILED,
    NAMES,
    PROVISIONAL,
    SUPERSEDED,
    Record,
    describe,
    grade,
)
from kapman_wyckoff.ledger import Ledger
from kapman_wyckoff.ranges import (
    BEYOND,
    INSIDE,
    Pullback,
    TradingRange,
)
from kapman_wyckoff.scores import grade_spring

RECOVERY_BARS = 3
SPRING_AGE = 15
BREAK_FAILS_BARS = 10
AFTERMATH_BARS = 60


class BreakStage(Ledger):
    """A range that has been left by one of its edges."""

    def leave(self, rng: TradingRange, code: str, direction: int, bar: int, t: int, penalty: int) -> None:
        v = self.views[direction]
        ratio, spread = self.volume_ratio[bar], self.spread_ratio[bar]
        prepared = direction == rng.side and (rng.false_break is not None or rng.last_point_low > -math.inf)
        evidence = (grade(ratio, 1.2, 1.5, 2.0) + (spread > 1.2) + (v.location[bar] > 0.6) + prepared) / 6
        names = NAMES[rng.side]
        gaps = () if names.secondary in rng.log else (names.secondary,)
        rng.direction, rng.break_bar, rng.stage = direction, bar, BEYOND
        edge, _, height = rng.beyond_frame()
        beyond, size = (v.close[bar] - edge) / self.atr[bar], height / self.atr[bar]
        facts = f"close {beyond:.1f} ATR beyond a range of {size:.0f} ATR"
        rng.break_record = self.record(
            rng, code, bar, t, evidence, facts, gaps=gaps, status=PROVISIONAL, penalty=penalty,
            price=direction * v.close[bar],
        )  # fmt: skip
        rng.closes_beyond = sum(v.close[i] > edge for i in range(bar, t + 1))
        rng.break_confirmed = rng.backed_up = False
        rng.pullback = Pullback(v.high[t], t)
        self.candidate = {1: None, -1: None}
        last = rng.log.get("UT")
        if code == "SOW" and rng.side < 0 and last is not None and "UTAD" not in rng.log:
            self._promote_upthrust(rng, last, t)

    def _promote_upthrust(self, rng: TradingRange, upthrust: Record, t: int) -> None:
        """The difference between UT and UTAD is positional: once weakness follows, the last upthrust was
        the UTAD.
        """
        if -upthrust.price > rng.false_break_extreme:
            return
        self.restate(
            rng, upthrust, t, SUPERSEDED, "weakness followed, it was the upthrust after distribution"
        )
        text = describe("UTAD", "the last upthrust before weakness, above every earlier high of the range")
        self.emit(replace(upthrust, event="UTAD", detected=t, status=CONFIRMED, description=text), rng)

    def beyond(self, rng: TradingRange, t: int) -> None:
        edge, other, height = rng.beyond_frame()
        v, age = self.views[rng.direction], t - rng.break_bar
        close = v.close[t]
        if rng.side < 0 and rng.direction < 0 and age <= RECOVERY_BARS and close < edge:
            self.reaccumulation_spring(rng, rng.break_bar, t)
        if close < edge - 0.5 * height:
            self._come_back(rng, t, age)
            return
        if age > AFTERMATH_BARS or close < other:
            self.close(rng, t)
            return
        rng.closes_beyond += close > edge
        if rng.closes_beyond >= 3 and not rng.break_confirmed and rng.break_record is not None:
            rng.break_confirmed = True
            self.restate(rng, rng.break_record, t, CONFIRMED, "three closes beyond the edge")
        self._backup(rng, t, edge, height)

    def _come_back(self, rng: TradingRange, t: int, age: int) -> None:
        """The close is back past mid-range: within ten bars the break has failed, later the campaign is
        over.
        """
        if age > BREAK_FAILS_BARS or rng.void or rng.break_record is None:
            if age <= BREAK_FAILS_BARS and rng.break_record is not None:
                self.restate(rng, rng.break_record, t, FAILED, "back past mid-range within ten bars")
            self.close(rng, t)
            return
        self.restate(rng, rng.break_record, t, FAILED, "back past mid-range within ten bars")
        rng.stage, rng.direction, rng.break_record, rng.break_bar = INSIDE, 0, None, -1
        rng.pullback = None
        self.candidate = {1: None, -1: None}

    def _backup(self, rng: TradingRange, t: int, edge: float, height: float) -> None:
        pull, v = rng.pullback, self.views[rng.direction]
        if pull is None:
            return
        backup = rng.log.get("BU")
        if backup is not None and rng.direction > 0 and v.close[t] < edge - 0.25 * height:
            self.restate(rng, backup, t, FAILED, "closed back a quarter into the range")
        pull.update(t, v.high[t], v.low[t])
        if not self.rebounded(pull, v, t, 12):
            return
        near = abs(pull.low - edge) <= max(self.atr[t], 0.2 * height)
        if rng.direction > 0:
            code = "BU" if near else "LPS" if pull.low > edge else ""
        else:
            code = "LPSY" if pull.low > edge - 0.35 * height else ""
        if not code or rng.backed_up:
            return
        rng.backed_up = True
        bar = pull.low_bar
        evidence = ((self.volume_ratio[bar] < 0.9) + (self.spread_ratio[bar] < 1.0)) / 2
        facts = f"pullback of {bar - pull.top_bar} bars held after the break"
        self.record(rng, code, bar, t, evidence, facts, price=rng.direction * pull.low)
        if code == "BU" and not rng.break_confirmed and rng.break_record is not None:
            rng.break_confirmed = True
            self.restate(rng, rng.break_record, t, CONFIRMED, "the back-up held")

    def rebounded(self, pull: Pullback, v: View, t: int, longest: int) -> bool:
        length = pull.low_bar - pull.top_bar
        return (
            pull.low_bar >= 0
            and t > pull.low_bar
            and 2 <= length <= longest
            and v.close[t] >= pull.low + 0.75 * self.atr[t]
            and v.close[t] > v.high[t - 1]
        )

    def reaccumulation_spring(self, rng: TradingRange, start: int, t: int) -> None:
        v, real = self.views[-1], self.views[1]
        bar = max(range(start, t + 1), key=lambda i: (v.high[i], -i))
        depth = (v.high[bar] - rng.resistance) / self.atr[start]
        fits = v.high[bar] - rng.resistance <= min(2.0 * self.atr[start], 0.25 * rng.height)
        if not fits or t - rng.reaction_bar < SPRING_AGE or "SPRING" in rng.log:
            return
        points = grade_spring(
            depth, (v.high[bar] - rng.resistance) / -rng.resistance, t - start, self.volume_ratio[start],
            real.location[t], touches=2, is_range_support=False,
        )  # fmt: skip
        self.record(
            rng, "SPRING", bar, t, sum(points.values()) / 12,
            "false break of the reaction low after a buying climax: re-accumulation or a pause",
            price=-v.high[bar], penalty=2, status=PROVISIONAL, points=points,
        )  # fmt: skip
