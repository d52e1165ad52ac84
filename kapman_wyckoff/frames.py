"""The engine's output frames: schemas and how per-symbol analyses are laid out in them.

Does not belong here: the one-row-per-symbol snapshot (snapshot).
"""

from __future__ import annotations

import numpy as np
import polars as pl

from kapman_wyckoff.analysis import SIDE_NAMES, Analysis
from kapman_wyckoff.bars import Array

EVENTS_SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    "event": pl.String(),
    "event_date": pl.Date(),
    "detected_at": pl.Date(),
    "confidence": pl.Float64(),
    "status": pl.String(),
    "price_level": pl.Float64(),
    "volume_ratio": pl.Float64(),
    "description": pl.String(),
    "range_id": pl.Int64(),
}
PHASES_SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    "date": pl.Date(),
    "phase": pl.String(),
    "score": pl.Float64(),
    "confidence": pl.Float64(),
    "sub_stage": pl.String(),
}
SCORES_SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.String(), "date": pl.Date(), "bc_score": pl.Int64(), "bc_available_max": pl.Int64(),
    "spring_score": pl.Int64(), "composite_score": pl.Float64(),
}  # fmt: skip
RANGES_SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.String(), "range_id": pl.Int64(), "side": pl.String(), "support": pl.Float64(),
    "resistance": pl.Float64(), "born_at": pl.Date(), "closed_at": pl.Date(),
}  # fmt: skip


def event_frame(analyses: dict[str, Analysis]) -> pl.DataFrame:
    rows = [
        (
            symbol, r.event, dates[r.bar], dates[r.detected], r.confidence, r.status, r.price, r.volume_ratio,
            r.description, r.range_id,
        )
        for symbol, a in analyses.items()
        if a.records
        for dates in [a.features.dates.tolist()]
        for r in a.records
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=EVENTS_SCHEMA, orient="row")


def phase_frame(analyses: dict[str, Analysis]) -> pl.DataFrame:
    parts = list(analyses.values())
    columns = {
        "phase": _joined([a.phases.letter for a in parts]).tolist(),
        "score": _nullable([a.phases.score for a in parts]),
        "confidence": _nullable([a.phases.confidence for a in parts]),
        "sub_stage": _joined([a.phases.sub_stage for a in parts]).tolist(),
    }
    return pl.DataFrame(_keys(analyses) | columns, schema=PHASES_SCHEMA)


def score_frame(analyses: dict[str, Analysis]) -> pl.DataFrame:
    parts = list(analyses.values())
    columns = {
        "bc_score": _nullable([a.bc_score for a in parts]).cast(pl.Int64),
        "bc_available_max": _nullable([a.bc_available for a in parts]).cast(pl.Int64),
        "spring_score": _nullable([a.spring_score for a in parts]).cast(pl.Int64),
        "composite_score": _nullable([a.composite for a in parts]),
    }
    return pl.DataFrame(_keys(analyses) | columns, schema=SCORES_SCHEMA)


def range_frame(analyses: dict[str, Analysis]) -> pl.DataFrame:
    rows = []
    for symbol, a in analyses.items():
        for r in a.ranges:
            if r.born is None:
                continue
            support, resistance = r.edges()
            closed = None if r.closed is None else a.features.dates[r.closed].item()
            born = a.features.dates[r.born].item()
            rows.append((symbol, r.number, SIDE_NAMES[r.side], support, resistance, born, closed))
    return pl.DataFrame(rows, schema=RANGES_SCHEMA, orient="row")


def _keys(analyses: dict[str, Analysis]) -> dict[str, pl.Series]:
    counts = [len(a.features) for a in analyses.values()]
    symbols = pl.Series("symbol", list(analyses), dtype=pl.String)
    dates = _joined([a.features.dates for a in analyses.values()], empty="datetime64[D]")
    at = np.repeat(np.arange(len(counts)), counts)
    return {"symbol": symbols.gather(at), "date": pl.Series("date", dates).cast(pl.Date)}


def _joined(parts: list[Array], empty: str = "object") -> Array:
    return np.concatenate(parts) if parts else np.empty(0, dtype=empty)


def _nullable(parts: list[Array]) -> pl.Series:
    return pl.Series(_joined(parts, empty="float64").astype(float)).fill_nan(None)
