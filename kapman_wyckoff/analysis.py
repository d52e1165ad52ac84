"""Everything the engine knows about one symbol, by bar: features, records, range track, phases and scores
together.

Does not belong here: frames and JSON (frames, snapshot) or any rule (the modules it calls).
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from kapman_wyckoff.bars import Array, Features, compute_features
from kapman_wyckoff.events import Record
from kapman_wyckoff.phases import Phases, classify
from kapman_wyckoff.ranges import BEYOND, NO_RANGE, Track, TradingRange
from kapman_wyckoff.scores import (
    Spring,
    buying_climax,
    composite,
    pivot_springs,
    spring_scores,
)
from kapman_wyckoff.sequence import steps_by_bar
from kapman_wyckoff.walk import Walk

BAR_COLUMNS = ("open", "high", "low", "close", "volume")
SIDE_NAMES = {1: "accumulation", -1: "distribution"}


@dataclass(frozen=True)
class Analysis:
    """Everything known about one symbol, by bar; what the frames and the snapshot are cut from."""

    features: Features
    records: list[Record]
    ranges: list[TradingRange]
    track: Track
    step: Array
    phases: Phases
    bc_score: Array
    bc_available: Array
    bc_points: Array
    spring_score: Array
    spring_points: list[dict[str, int] | None]
    composite: Array
    benchmark: Array | None
    dropped: Array  # dates of bars left out for an unusable price


def analyse_symbol(
    symbol: str, part: pl.DataFrame, index: tuple[Array, Array] | None, points: dict[dt.date, float] | None
) -> Analysis:
    """Analysis of one symbol's sorted bars (with a Boolean `usable`), index closes and sentiment points by
    date.
    """
    usable = part.filter("usable")
    dates = usable["date"].to_numpy().astype("datetime64[D]")
    features = compute_features(symbol, dates, *(usable[c].to_numpy() for c in BAR_COLUMNS))
    walk = Walk(features).run()
    step = steps_by_bar(walk.records, walk.track)
    sentiment = None
    if points is not None:
        sentiment = np.array([points.get(day, math.nan) for day in dates.tolist()])
    bc_score, bc_available, bc_points = buying_climax(features, sentiment)
    springs = [
        Spring(r.detected, r.price, r.points) for r in _first_lines(walk.records) if r.event == "SPRING"
    ]
    spring, spring_points = spring_scores(features, springs + pivot_springs(features))
    phases = classify(features, walk.track, step)
    return Analysis(
        features=features,
        records=walk.records,
        ranges=walk.ranges,
        track=walk.track,
        step=step,
        phases=phases,
        bc_score=bc_score,
        bc_available=bc_available,
        bc_points=bc_points,
        spring_score=spring,
        spring_points=spring_points,
        composite=_composite(walk.track, step),
        benchmark=None if index is None else _aligned(dates, *index),
        dropped=part.filter(~pl.col("usable"))["date"].to_numpy().astype("datetime64[D]"),
    )


def _composite(track: Track, step: Array) -> Array:
    """Probability of the hypothesis in force (the break's side once there is one), NaN without a range."""
    out = np.full(len(step), np.nan)
    stage, side, direction = (np.array(x, dtype=int) for x in (track.stage, track.side, track.direction))
    hypothesis = np.where(stage == BEYOND, direction, side)
    for s in (1, -1):
        for k in range(1, 7):
            out[(stage != NO_RANGE) & (hypothesis == s) & (step == k)] = composite(s, k)
    return out


def _first_lines(records: Sequence[Record]) -> list[Record]:
    seen: dict[tuple[str, int, int], Record] = {}
    for record in records:
        seen.setdefault((record.event, record.bar, record.range_id), record)
    return list(seen.values())


def _aligned(dates: Array, index_dates: Array, index_closes: Array) -> Array:
    """Index close on each of `dates`, NaN where the index has no bar that day."""
    out = np.full(len(dates), np.nan)
    if len(index_dates):
        at = np.minimum(np.searchsorted(index_dates, dates), len(index_dates) - 1)
        same = index_dates[at] == dates
        out[same] = index_closes[at[same]]
    return out
