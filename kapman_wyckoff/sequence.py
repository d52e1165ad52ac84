"""Where a campaign stands on its path: position, what may come next, completion, and the status of each step.

Does not belong here: detecting anything. Everything is read from records and the range track up to one bar.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kapman_wyckoff.bars import Array
from kapman_wyckoff.events import (
    CONFIRMED,
    EVENT_CODES,
    FIRST_RELEASE,
    STANDING,
    Record,
)
from kapman_wyckoff.ranges import BEYOND, Track

PATHS: dict[int, tuple[tuple[str, ...], ...]] = {
    1: (("SC",), ("AR",), ("ST",), ("SPRING",), ("TEST",), ("SOS",)),
    -1: (("BC",), ("AR_DIST",), ("ST_DIST",), ("UT", "UTAD"), ("LPSY",), ("SOW",)),
}
STEP_OF: dict[int, dict[str, int]] = {
    side: {code: i + 1 for i, codes in enumerate(path) for code in codes} for side, path in PATHS.items()
}
# Legal successors by the step last reached; gaps are legal (many real bases lack ST or SPRING).
SUCCESSORS: dict[int, dict[int, tuple[str, ...]]] = {
    1: {
        1: ("AR",), 2: ("ST",), 3: ("SPRING", "LPS", "SOS"), 4: ("TEST", "SOS"), 5: ("LPS", "SOS"),
        6: ("BU", "LPS"),
    },
    -1: {
        1: ("AR_DIST",), 2: ("ST_DIST",), 3: ("UT", "UTAD", "LPSY", "SOW"), 4: ("LPSY", "SOW"), 5: ("SOW",),
        6: ("LPSY",),
    },
}  # fmt: skip
TREND_SUCCESSORS: dict[str, tuple[str, ...]] = {"B": ("BC",), "E": ("SC",)}


@dataclass(frozen=True)
class Step:
    """Status of one event of the display: detected, in_progress, pending or failed; `bar` is its event
    bar.
    """

    status: str
    bar: int | None = None
    confidence: float | None = None


@dataclass(frozen=True)
class Position:
    """Where the campaign stands at one bar; `completion` is the share of the six steps, 0..1."""

    position: int
    expected_next: tuple[str, ...]
    completion: float
    steps: dict[str, Step]


@dataclass(frozen=True)
class Standing:
    """Latest standing of every event of one range at one bar: the record's newest line and its first line."""

    latest: Record
    first: Record

    @property
    def is_active(self) -> bool:
        return self.latest.status in STANDING


def standings(records: Sequence[Record], range_id: int, bar: int) -> list[Standing]:
    """Events of `range_id` known at `bar`, one per (event, event bar), ordered by event bar."""
    found: dict[tuple[str, int], Standing] = {}
    for record in records:
        if record.detected > bar or record.range_id != range_id:
            continue
        key = (record.event, record.bar)
        first = found[key].first if key in found else record
        found[key] = Standing(record, first)
    return sorted(found.values(), key=lambda s: (s.latest.bar, s.first.detected))


def steps_by_bar(records: Sequence[Record], track: Track) -> Array:
    """Highest standing step (0..6) of the side in force at every bar; a break against the side counts as
    6.
    """
    number = np.array(track.number, dtype=int)
    step = np.zeros(len(number), dtype=int)
    by_range: dict[int, list[Record]] = {}
    for record in records:
        by_range.setdefault(record.range_id, []).append(record)
    for range_id, log in by_range.items():
        bars = np.flatnonzero(number == range_id)
        if len(bars) == 0:
            continue
        side = track.side[bars[0]]
        standing: dict[tuple[str, int], int] = {}
        for i, record in enumerate(log):
            key = (record.event, record.bar)
            if record.status in STANDING:
                standing[key] = STEP_OF[side].get(record.event, 0)
            else:
                standing.pop(key, None)
            until = log[i + 1].detected if i + 1 < len(log) else bars[-1] + 1
            if until > record.detected:
                step[record.detected : until] = max(standing.values(), default=0)
        step[bars[-1] + 1 :] = 0
    step[np.array(track.stage) == BEYOND] = 6
    return np.where(number > 0, step, 0)


def sequence_at(known: Sequence[Standing], track: Track, bar: int, phase: str | None) -> Position:
    """Position, successors, completion (0..1) and the eight first-release steps at `bar`.

    `known` are the standings of the range in force (empty without one). A provisional event and the one under
    way count half towards completion.
    """
    side, stage = track.side[bar], track.stage[bar]
    progress = EVENT_CODES[track.progress[bar] - 1] if track.progress[bar] else None
    steps = {code: _step(code, known, progress) for code in FIRST_RELEASE}
    if side == 0:
        following: tuple[str, ...] = (progress,) if progress else TREND_SUCCESSORS.get(phase or "", ())
        return Position(0, following, 0.0, steps)
    against = stage == BEYOND and track.direction[bar] != side
    weight: dict[int, float] = {}
    for standing in known:
        place = STEP_OF[side].get(standing.latest.event)
        if standing.is_active and place is not None:
            share = 1.0 if standing.latest.status == CONFIRMED else 0.5
            weight[place] = max(weight.get(place, 0.0), share)
    under_way = STEP_OF[side].get(progress or "")
    if under_way is not None:
        weight.setdefault(under_way, 0.5)
    position = max(weight, default=0)
    next_side, at = (-side, 6) if against else (side, position)
    following = SUCCESSORS[next_side].get(at, ())
    if under_way is not None and position == under_way and progress is not None:
        following = (progress,)
    return Position(position, following, round(sum(weight.values()) / 6.0, 4), steps)


def _step(code: str, known: Sequence[Standing], progress: str | None) -> Step:
    mine = [s for s in known if s.latest.event == code]
    active = [s for s in mine if s.is_active]
    if active:
        return Step("detected", active[-1].latest.bar, active[-1].latest.confidence)
    if mine:
        return Step("failed", mine[-1].latest.bar, mine[-1].latest.confidence)
    if progress == code:
        return Step("in_progress")
    return Step("pending")
