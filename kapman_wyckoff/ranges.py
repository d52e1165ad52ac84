"""The trading range and its campaign: what is known of it, and the per-bar track that the walk over the bars
leaves.

A range is born when the reaction to a confirmed climax is confirmed; its edges move only through events on
record. Does not belong here: the conditions of events (climax, inside, breakout) and the order in which they
are asked (walk).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from kapman_wyckoff.events import PROVISIONAL, Record

NO_RANGE, REACTION, INSIDE, BEYOND = 0, 1, 2, 3

UNPUBLISHED = Record("", -1, -1, 0.0, PROVISIONAL, math.nan, None, "", 0)


@dataclass
class Pullback:
    """The highest point since it was started and the low since that point, in the coordinates of one view."""

    top: float
    top_bar: int
    low: float = math.inf
    low_bar: int = -1

    def update(self, bar: int, high: float, low: float) -> None:
        if high > self.top:
            self.top, self.top_bar, self.low, self.low_bar = high, bar, math.inf, -1
        elif low < self.low:
            self.low, self.low_bar = low, bar


@dataclass
class Excursion:
    """Bars outside the climax edge: first bar, extreme, first decisive close, and how deep a false break
    may go.
    """

    start: int
    low: float
    low_bar: int
    limit: float
    volume_ratio: float
    break_bar: int = -1


@dataclass
class TradingRange:
    """One campaign. Prices are in the coordinates of `side` (negated for -1): support is always the
    climax's edge.
    """

    number: int
    side: int
    climax: Record
    climax_bar: int
    climax_volume: float
    support: float
    resistance: float
    reaction_bar: int
    stage: int = REACTION
    born: int | None = None
    closed: int | None = None
    log: dict[str, Record] = field(default_factory=dict)  # latest standing record per code
    leg_low: float = math.inf
    leg_bar: int = -1
    excursion: Excursion | None = None
    far_extreme: float = -math.inf
    false_break: Record | None = None
    false_break_low: float = math.inf
    false_break_regain: int = -99
    false_break_extreme: float = math.inf
    test_low: float = math.inf
    test_bar: int = -1
    pullback: Pullback | None = None
    last_point_low: float = -math.inf
    last_point_spent: bool = False
    swing: int = 0
    swings: int = 0
    direction: int = 0
    break_record: Record | None = None
    break_bar: int = -1
    closes_beyond: int = 0
    break_confirmed: bool = False
    backed_up: bool = False
    void: bool = False

    @property
    def height(self) -> float:
        return self.resistance - self.support

    def edges(self) -> tuple[float, float]:
        """(support, resistance) as printed on the chart; resistance is NaN on the climax's far side until
        born.
        """
        near = self.side * self.support
        far = self.side * self.resistance if self.born is not None else math.nan
        return (near, far) if self.side > 0 else (far, near)

    def beyond_frame(self) -> tuple[float, float, float]:
        """(broken edge, opposite edge, height) in the coordinates of the break's direction."""
        if self.direction == self.side:
            return self.resistance, self.support, self.height
        return -self.support, -self.resistance, self.height


@dataclass
class Track:
    """What stood at the close of every bar: stage, side, range number, edges as printed, event under way,
    break.
    """

    stage: list[int]
    side: list[int]
    number: list[int]
    support: list[float]
    resistance: list[float]
    progress: list[int]  # index into EVENT_CODES plus one, 0 for none
    direction: list[int]
    tested: list[bool]
    since: list[int]  # first bar of the present stage's event (climax, reaction or break)

    @staticmethod
    def empty(bars: int) -> Track:
        nan = [math.nan] * bars
        zero = [0] * bars
        return Track(zero, zero[:], zero[:], nan, nan[:], zero[:], zero[:], [False] * bars, zero[:])
