"""Climax, preliminary stop and reaction: how a campaign begins and how its range is born.

Does not belong here: what happens once the range stands (inside) or is left (breakout).
"""

from __future__ import annotations

import math

from kapman_wyckoff.events import (
    CONFIRMED,
    FAILED,
    NAMES,
    PROVISIONAL,
    SUPERSEDED,
    grade,
)
from kapman_wyckoff.ledger import Ledger
from kapman_wyckoff.ranges import (
    INSIDE,
    UNPUBLISHED,
    TradingRange,
)

CLIMAX_EVIDENCE = 8  # of 11 points; below it a 60-bar extreme is an ordinary low
PEAK_WINDOW = 50  # a climax carries the heaviest volume of so many bars, or has to make up for it
CLIMAX_BARS = 15  # a climax confirms within so many bars or not at all
CLIMAX_VOLUME = {1: (1.3, 1.7, 2.2), -1: (1.2, 1.5, 1.9)}  # buying climaxes run on less volume
REACTION_BARS = (2, 20)
REACTION_HEIGHT = 3.0


class ClimaxStage(Ledger):
    """Search for a climax, wait for its reaction."""

    def seek_climax(self, side: int, t: int) -> None:
        v, bar = self.views[side], self.candidate[side]
        if v.is_extreme[t] and self._may_climax(side, t):
            self.candidate[side] = t
            return
        if bar is None:
            return
        if t - bar > CLIMAX_BARS or v.low[t] < v.low[bar]:
            self.candidate[side] = None
            return
        if v.close[t] < v.low[bar] + min(2.0, 0.3 * v.leg[bar]) * self.atr[bar]:
            return
        self.candidate[side] = None
        points, volume = self._climax_evidence(side, bar)
        if points >= CLIMAX_EVIDENCE:
            self._begin(side, bar, t, points, volume)

    def _may_climax(self, side: int, t: int) -> bool:
        """After a break the trend must first travel: the breakout's own thrust is not a climax against it."""
        rng = self.current
        if rng is None:
            return True
        if side == rng.direction:
            return False
        edge, _, height = rng.beyond_frame()
        return -self.views[side].low[t] >= edge + max(0.6 * height, 3.0 * self.atr[t])

    def _climax_evidence(self, side: int, bar: int) -> tuple[int, float]:
        """Points 0..11 of a climax and its cluster volume ratio; no volume evidence means no climax."""
        v = self.views[side]
        cluster = range(max(0, bar - 2), bar + 2)
        volume = max(
            (x for x in (self.volume_ratio[i] for i in cluster) if not math.isnan(x)), default=math.nan
        )
        spread = max(
            (x for x in (self.spread_ratio[i] for i in cluster) if not math.isnan(x)), default=math.nan
        )
        by_volume = grade(volume, *CLIMAX_VOLUME[side])
        if by_volume == 0:
            return 0, volume
        rejected = v.location[bar] > 0.25 or v.close[bar + 1] > v.close[bar] + 0.5 * (
            v.high[bar] - v.low[bar]
        )
        thrust = v.close[bar - 6] - v.low[bar] >= 3.0 * self.atr[bar]
        before = slice(bar - PEAK_WINDOW, cluster.start)
        peak = max(self.volume[i] for i in cluster) > max(self.volume[before])
        return by_volume + grade(spread, 1.3, 1.8, 2.5) + rejected + thrust + 2 * peak + (
            v.leg[bar] >= 8.0
        ), volume

    def _begin(self, side: int, bar: int, t: int, points: int, volume: float) -> None:
        if self.current is not None:
            self.close(self.current, t)
        v, names = self.views[side], NAMES[side]
        top_bar = max(range(bar, t + 1), key=lambda i: (v.high[i], i)) if t > bar else bar
        facts = f"{v.leg[bar]:.1f} ATR leg, cluster volume {volume:.1f}x, range {self.spread_ratio[bar]:.1f}x"
        rng = TradingRange(
            number=len(self.ranges) + 1, side=side, climax=UNPUBLISHED, climax_bar=bar, climax_volume=volume,
            support=v.low[bar], resistance=v.high[top_bar], reaction_bar=top_bar,
        )  # fmt: skip
        preliminary = self._preliminary(side, bar, t, volume)
        if preliminary is not None:
            self.record(
                rng, names.preliminary, preliminary, t, 0.5, "first heavy stop before the climax",
                price=side * v.low[preliminary],
            )  # fmt: skip
        rng.climax = self.record(
            rng, names.climax, bar, t, points / 11, facts, status=PROVISIONAL, price=side * v.low[bar]
        )
        self.ranges.append(rng)
        self.current = rng

    def _preliminary(self, side: int, bar: int, t: int, climax_volume: float) -> int | None:
        """The last heavy stop before the climax: a lighter, higher low that bounced one ATR within eight
        bars.
        """
        v = self.views[side]
        pivots = self.features.pivot_lows if side > 0 else self.features.pivot_highs
        for p in pivots[(pivots >= max(20, bar - 60)) & (pivots <= bar - 4)][::-1].tolist():
            ratios = self.volume_ratio[p - 1 : p + 2]
            heavy = max((x for x in ratios if not math.isnan(x)), default=0.0)
            if (
                v.leg[p] >= 4.0
                and v.low[p] > v.low[bar]
                and v.low[p] <= min(v.low[p - 19 : p + 1])
                and max(v.high[p + 1 : p + 9]) - v.low[p] >= self.atr[p]
                and 1.3 <= heavy <= climax_volume
            ):
                return p
        return None

    def await_reaction(self, rng: TradingRange, t: int) -> None:
        v = self.views[rng.side]
        if v.low[t] < rng.support and self.undercut(rng, t):
            return
        if v.high[t] > rng.resistance:
            rng.resistance, rng.reaction_bar = v.high[t], t
        length = rng.reaction_bar - rng.climax_bar
        if length > REACTION_BARS[1] or t - rng.climax_bar > 2 * REACTION_BARS[1]:
            self.close(rng, t)
            return
        atr = self.atr[rng.climax_bar]
        pulled_back = rng.resistance - v.low[t] >= max(self.atr[t], 0.35 * rng.height)
        if (
            t > rng.reaction_bar
            and pulled_back
            and length >= REACTION_BARS[0]
            and rng.height >= REACTION_HEIGHT * atr
        ):
            self._react(rng, t, length, rng.height / atr)

    def _react(self, rng: TradingRange, t: int, length: int, height: float) -> None:
        names, v = NAMES[rng.side], self.views[rng.side]
        ratio = self.volume_ratio[rng.reaction_bar]
        evidence = ((length >= 3) + (height >= 4.0) + (ratio < 0.7 * rng.climax_volume)) / 3
        self.record(
            rng,
            names.reaction,
            rng.reaction_bar,
            t,
            evidence,
            f"{length} bars, {height:.1f} ATR from the climax",
            price=rng.side * rng.resistance,
        )
        if rng.born is None:
            self.restate(rng, rng.climax, t, CONFIRMED, "its reaction is complete, the range stands")
            rng.born = t
        rng.stage = INSIDE
        tail = range(rng.reaction_bar + 1, t + 1)
        rng.leg_bar = min(tail, key=lambda i: (v.low[i], i))
        rng.leg_low = v.low[rng.leg_bar]
        rng.far_extreme = rng.support

    def undercut(self, rng: TradingRange, t: int) -> bool:
        """A low under the climax before any secondary test; True when that ends the campaign."""
        v, names = self.views[rng.side], NAMES[rng.side]
        if self.volume_ratio[t] >= rng.climax_volume:
            self.restate(
                rng, rng.climax, t, SUPERSEDED, f"undercut on heavier volume, reads as {names.preliminary}"
            )
        elif v.close[t] < rng.support - 0.5 * self.atr[t]:
            self.restate(rng, rng.climax, t, FAILED, "closed beyond the climax before a secondary test")
        else:
            return False
        self.close(rng, t)
        return True
