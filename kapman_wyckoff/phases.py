"""Phase letter of every bar (A accumulation, B markup, C consolidation, D distribution, E markdown) and how
sure it is.

The letters are the specification's; `sub_stage` carries the classical schematic stage by name so that the two
alphabets never mix. Does not belong here: finding ranges or events.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kapman_wyckoff.bars import Array, Features, previous
from kapman_wyckoff.ranges import BEYOND, INSIDE, NO_RANGE, REACTION, Track
from kapman_wyckoff.scores import SHORTEST_HISTORY

TREND_BARS = 40
TREND_SLOPE = 2.0  # ATR that the 20-bar mean must travel in so many bars to call a trend
STRONG_SLOPE = 8.0

# Probability that the letter is right, by what it rests on. Inside ranges it lies between the share of
# right bars on
# the seeded schematics of tests/wyckoff (0.76-0.95) and the share of real ranges that resolved their side's
# way
# (0.35-0.66, see scores): until a range resolves nobody can tell accumulation from re-distribution. Breaks
# and trends
# are the measured shares (breaks that held: 0.92); C without evidence is kept low on purpose.
CONFIDENCE: dict[str, float] = {
    "A stopping": 0.55,
    "A building": 0.60,
    "A testing": 0.70,
    "D stopping": 0.55,
    "D building": 0.60,
    "D testing": 0.70,
    "B strength": 0.90,
    "E weakness": 0.90,
    "B trend": 0.72,
    "E trend": 0.70,
    "C none": 0.40,
}
NO_EVIDENCE_YOUNG = 0.20


@dataclass(frozen=True)
class Phases:
    """Per-bar phase: object arrays `letter` and `sub_stage` (None before 20 bars), float arrays in [0, 1]
    or NaN.
    """

    letter: Array
    sub_stage: Array
    score: Array
    confidence: Array


def classify(features: Features, track: Track, step: Array) -> Phases:
    """Phase of every bar from the range track, the highest standing step (0..6) and, outside ranges, the
    trend.
    """
    n = len(features)
    stage, side = np.array(track.stage, dtype=int), np.array(track.side, dtype=int)
    direction, tested = np.array(track.direction, dtype=int), np.array(track.tested, dtype=bool)
    slope = trend_slope(features)
    trend = np.where(slope >= TREND_SLOPE, 1, np.where(slope <= -TREND_SLOPE, -1, 0))
    trend = np.where(trend * (features.close - features.sma50) > 0, trend, 0)

    letter = np.where(trend > 0, "B", np.where(trend < 0, "E", "C")).astype(object)
    sub = np.where(trend != 0, "trend", "none").astype(object)
    score = np.where(trend != 0, np.clip(np.abs(slope) / STRONG_SLOPE, 0.0, 1.0), 0.0)
    held = (stage == REACTION) | (stage == INSIDE)
    letter[held] = np.where(side[held] > 0, "A", "D")
    sub[held] = np.where(stage[held] == REACTION, "stopping", np.where(tested[held], "testing", "building"))
    gone = stage == BEYOND
    letter[gone] = np.where(direction[gone] > 0, "B", "E")
    sub[gone] = np.where(direction[gone] > 0, "strength", "weakness")
    score = np.where(stage != NO_RANGE, step / 6.0, score)

    keys = letter + " " + sub
    confidence = np.zeros(n)
    for key, value in CONFIDENCE.items():
        confidence[keys == key] = value
    unknown = (stage == NO_RANGE) & np.isnan(slope)
    confidence[unknown] = NO_EVIDENCE_YOUNG
    young = np.arange(n) < SHORTEST_HISTORY - 1
    letter[young], sub[young] = None, None
    return Phases(letter, sub, np.where(young, np.nan, score), np.where(young, np.nan, confidence))


def trend_slope(features: Features) -> Array:
    """How far the 20-bar mean travelled in 40 bars, in ATR; NaN before 60 bars."""
    f = features
    slope = (f.sma20 - previous(f.sma20, TREND_BARS)) / f.atr
    return np.where(np.isnan(f.sma50), np.nan, slope)
