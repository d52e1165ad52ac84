"""The trading-range state machine: one walk over a symbol's bars, from climax to reaction, range, break and
aftermath.

The walk looks at bars up to the one it stands on, so the records of a prefix are a prefix of the records.
Does not belong here: the conditions of single events.
"""

from __future__ import annotations

import math
from bisect import bisect_left

import numpy as np

from kapman_wyckoff.events import (
    EVENT_CODES,
    NAMES,
)
from kapman_wyckoff.inside import FALSE_BREAK_AGE, InsideStage
from kapman_wyckoff.ranges import (
    BEYOND,
    INSIDE,
    REACTION,
    TradingRange,
)


class Walk(InsideStage):
    """The state machine over one symbol's features; `run` fills `records`, `ranges` and `track`."""

    def run(self) -> Walk:
        """Walk all bars once; jumps over stretches with neither a range nor a climax candidate."""
        bars = len(self.features)
        up, down = self.views[1].is_extreme, self.views[-1].is_extreme
        extremes = np.flatnonzero(np.array(up) | np.array(down)).tolist() if bars else []
        t = 0
        while t < bars:
            if self.current is None and self.candidate[1] is None and self.candidate[-1] is None:
                at = bisect_left(extremes, t)
                if at == len(extremes):
                    break
                t = extremes[at]
            if self.current is not None:
                self.advance(self.current, t)
            if self.current is None or self.current.stage == BEYOND:
                for side in (1, -1):
                    self.seek_climax(side, t)
            self.note(t)
            t += 1
        return self

    def advance(self, rng: TradingRange, t: int) -> None:
        if rng.stage == REACTION:
            self.await_reaction(rng, t)
        elif rng.stage == INSIDE:
            self.inside(rng, t)
        else:
            self.beyond(rng, t)

    def note(self, t: int) -> None:
        rng, track = self.current, self.track
        if rng is None:
            for side in (1, -1):
                if self.candidate[side] is not None:
                    track.progress[t] = _code(NAMES[side].climax)
            return
        track.stage[t], track.side[t], track.number[t] = rng.stage, rng.side, rng.number
        track.support[t], track.resistance[t] = rng.edges()
        track.direction[t] = rng.direction
        track.tested[t] = rng.false_break is not None or rng.last_point_low > -math.inf
        track.since[t] = {REACTION: rng.climax_bar, INSIDE: rng.reaction_bar, BEYOND: rng.break_bar}[
            rng.stage
        ]
        track.progress[t] = self.progress(rng, t)

    def progress(self, rng: TradingRange, t: int) -> int:
        """The event that the bars are in the middle of, if any."""
        names, v = NAMES[rng.side], self.views[rng.side]
        if rng.stage == REACTION:
            return _code(names.reaction)
        if rng.stage == BEYOND:
            if self.candidate[-rng.direction] is not None:
                return _code(NAMES[-rng.direction].climax)
            pulling_back = rng.pullback is not None and rng.pullback.low_bar >= 0
            return _code("BU" if rng.direction > 0 else "LPSY") if pulling_back else 0
        close = v.close[t]
        if rng.excursion is not None and t - rng.reaction_bar >= FALSE_BREAK_AGE[rng.side]:
            return _code("SPRING" if rng.side > 0 else "UTAD")
        if (
            rng.false_break is not None
            and rng.side > 0
            and "TEST" not in rng.log
            and t - rng.false_break_regain <= 15
        ):
            return _code("TEST")
        if close > rng.support + 0.8 * rng.height and rng.false_break is not None:
            return _code(names.breakout)
        return _code(names.secondary) if names.secondary not in rng.log else 0


def _code(event: str) -> int:
    return EVENT_CODES.index(event) + 1
