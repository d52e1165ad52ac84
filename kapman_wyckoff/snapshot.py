"""One row per symbol as known at one session's close: phase, active events, scores, and the two JSON
documents.

Does not belong here: judging anything anew; a snapshot only reads an analysis up to its bar.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import numpy as np
import polars as pl

from kapman_wyckoff.analysis import SIDE_NAMES, Analysis
from kapman_wyckoff.checklist import nine_tests
from kapman_wyckoff.events import SIGNIFICANCE, Record
from kapman_wyckoff.ranges import TradingRange
from kapman_wyckoff.scores import (
    BC_SIGNALS,
    SHORTEST_HISTORY,
)
from kapman_wyckoff.sequence import Standing, Step, sequence_at, standings

LEG_HISTORY = 60  # bars before a climax can be recognised at all

SNAPSHOT_SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    "wyckoff_phase": pl.String(),
    "phase_score": pl.Float64(),
    "phase_confidence": pl.Float64(),
    "phase_sub_stage": pl.String(),
    "events_detected": pl.List(pl.String()),
    "primary_event": pl.String(),
    "primary_event_confidence": pl.Float64(),
    "events_json": pl.String(),
    "bc_score": pl.Int64(),
    "spring_score": pl.Int64(),
    "composite_score": pl.Float64(),
    "checklist_json": pl.String(),
}


def snapshot_row(a: Analysis, bar: int, session: np.datetime64, version: str) -> tuple[object, ...]:
    """Row of SNAPSHOT_SCHEMA for an analysis at its bar `bar`, the last one up to `session`."""
    symbol, history = a.features.symbol, bar + 1
    notes = _notes(a, history, session)
    document: dict[str, object] = {
        "bar_date": str(a.features.dates[bar]), "model_version": version, "notes": notes, "range": None,
    }  # fmt: skip
    track = a.track
    rng = a.ranges[track.number[bar] - 1] if track.number[bar] else None
    known = standings(a.records, rng.number, bar) if rng is not None else []
    phase = a.phases.letter[bar]
    sequence = sequence_at(known, track, bar, phase)
    active = [s.latest for s in known if s.is_active]
    bc, available = _integer(a.bc_score[bar]), _integer(a.bc_available[bar])
    bc_signals = None
    if bc is not None:
        bc_signals = {name: _integer(a.bc_points[i, bar]) for i, name in enumerate(BC_SIGNALS)}
    document |= {
        "events": [_event_entry(a, s) for s in known],
        "sequence_position": sequence.position,
        "expected_next": list(sequence.expected_next),
        "pattern_completion_pct": sequence.completion,
        "steps": {code: _step_entry(a, step) for code, step in sequence.steps.items()},
        "bc_available_max": available,
        "bc_signals": bc_signals,
        "sentiment_source": "none" if available != 28 else "options_proxy",
        "sentiment_unavailable": available != 28,
        "sentiment_reason": None if available == 28 else "no options sentiment for this symbol and window",
        "spring_signals": a.spring_points[bar] if history >= SHORTEST_HISTORY else None,
    }
    if rng is not None:
        document["range"] = _range_entry(a, rng, bar)
    if history < SHORTEST_HISTORY:
        return (symbol, None, None, None, None, None, None, None, _json(document), None, None, None, None)
    primary = max(active, key=lambda r: (_published(known, r), -SIGNIFICANCE.index(r.event)), default=None)
    side = (track.direction[bar] or track.side[bar]) if rng is not None else 1
    earlier = [r for r in a.ranges if r.closed is not None and r.closed <= bar]
    edges = (track.support[bar], track.resistance[bar])
    tests = nine_tests(a.features, bar, side, rng, edges, known, earlier, a.benchmark)
    return (
        symbol,
        phase,
        _number(a.phases.score[bar]),
        _number(a.phases.confidence[bar]),
        a.phases.sub_stage[bar],
        list(dict.fromkeys(r.event for r in active)),
        primary.event if primary else None,
        primary.confidence if primary else None,
        _json(document),
        bc,
        _integer(a.spring_score[bar]),
        _number(a.composite[bar]),
        _json(tests),
    )


def _notes(a: Analysis, history: int, session: np.datetime64) -> list[str]:
    notes = []
    if history < SHORTEST_HISTORY:
        notes.append(f"only {history} bars of history: nothing is judged before {SHORTEST_HISTORY}")
    elif history <= LEG_HISTORY:
        notes.append(f"only {history} bars of history: a climax needs {LEG_HISTORY} bars before it")
    left_out = int((a.dropped <= session).sum())
    if left_out:
        notes.append(f"{left_out} bars with an unusable price were left out")
    return notes


def _published(known: Sequence[Standing], record: Record) -> int:
    return max(s.first.detected for s in known if s.latest is record)


def _event_entry(a: Analysis, s: Standing) -> dict[str, object]:
    dates, record = a.features.dates, s.first
    return {
        "type": record.event,
        "event_date": str(dates[record.bar]),
        "detected_at": str(dates[record.detected]),
        "confidence": record.confidence,
        "price_level": record.price,
        "volume_ratio": record.volume_ratio,
        "description": record.description,
        "is_active": s.is_active,
        "status": s.latest.status,
        "status_at": str(dates[s.latest.detected]),
    }


def _step_entry(a: Analysis, step: Step) -> dict[str, object]:
    day = None if step.bar is None else str(a.features.dates[step.bar])
    return {"status": step.status, "date": day, "confidence": step.confidence}


def _range_entry(a: Analysis, rng: TradingRange, bar: int) -> dict[str, object]:
    born = rng.born is not None and rng.born <= bar
    return {
        "range_id": rng.number,
        "side": SIDE_NAMES[rng.side],
        "support": _number(a.track.support[bar]),
        "resistance": _number(a.track.resistance[bar]),
        "born_at": str(a.features.dates[rng.born]) if born else None,
        "bars": bar - rng.climax_bar,
        "broken": {0: None, 1: "up", -1: "down"}[a.track.direction[bar]],
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 6)


def _integer(value: float) -> int | None:
    return None if math.isnan(value) else round(float(value))


def _json(document: dict[str, object]) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
