"""The engine's front door: bars of one or many symbols in, frames of records out, and one snapshot row per
symbol.

Does not belong here: rules of detection (ranges), grades (scores, phases) and anything outside the bars
given.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from kapman_wyckoff.analysis import BAR_COLUMNS, Analysis, analyse_symbol
from kapman_wyckoff.bars import Array
from kapman_wyckoff.frames import event_frame, phase_frame, range_frame, score_frame
from kapman_wyckoff.snapshot import SNAPSHOT_SCHEMA, snapshot_row

MODEL_VERSION = "wyckoff-1.0"


@dataclass(frozen=True)
class WyckoffResult:
    """Frames of an analysis; their columns are the *_SCHEMA constants of `frames`.

    `events` is append-only: several lines may name one event (same symbol, event and event_date); each
    carries its own `detected_at` and the newest line up to a date is the event's standing on that date.
    `range_id` numbers a symbol's campaigns from 1; a campaign whose climax never got its reaction has no row
    in `ranges`. `phases` and `scores` have a row for every bar, with nulls before 20 bars. `analyses` holds
    the arrays that `snapshot` reads.
    """

    events: pl.DataFrame
    phases: pl.DataFrame
    scores: pl.DataFrame
    ranges: pl.DataFrame
    analyses: dict[str, Analysis] = field(repr=False, default_factory=dict)
    model_version: str = MODEL_VERSION


def analyze(
    bars: pl.DataFrame,
    as_of: dt.date | None = None,
    benchmark: pl.DataFrame | None = None,
    sentiment: pl.DataFrame | None = None,
) -> WyckoffResult:
    """Analyse one or many symbols bar by bar; nothing after a bar influences what is said about it.

    `bars`: symbol, date, open, high, low, close, volume, split-adjusted as of the session judged, at most one
    row per symbol and date, any order. Bars after `as_of` are ignored; bars with a null or non-positive price
    or with high < low are left out and counted in the snapshot's notes; a null volume counts as no trade.
    `benchmark`: date, close of one index, for the relative-strength test. `sentiment`: symbol, date, points
    (0-4, null where the options proxy is unavailable) for the seventh buying-climax signal. Raises ValueError
    on missing columns or duplicate keys.
    """
    _require(bars, ("symbol", "date", *BAR_COLUMNS), "bars")
    wanted = bars.select(
        "symbol", pl.col("date").cast(pl.Date), *(pl.col(c).cast(pl.Float64) for c in BAR_COLUMNS)
    )
    if as_of is not None:
        wanted = wanted.filter(pl.col("date") <= as_of)
    duplicates = wanted.filter(pl.struct("symbol", "date").is_duplicated())
    if duplicates.height:
        first = duplicates.row(0)
        raise ValueError(
            f"bars hold {first[0]} on {first[1]} more than once: keep one row per symbol and date"
        )
    wanted = wanted.with_columns(pl.col("volume").fill_nan(0.0).fill_null(0.0).clip(lower_bound=0.0)).sort(
        "symbol", "date"
    )
    prices = [
        pl.col(c).is_finite().fill_null(False) & (pl.col(c) > 0) for c in ("open", "high", "low", "close")
    ]
    wanted = wanted.with_columns(usable=pl.all_horizontal(*prices) & (pl.col("high") >= pl.col("low")))
    index = _closes(benchmark, as_of)
    points = _sentiment_points(sentiment)
    analyses = {
        symbol: analyse_symbol(symbol, part, index, points.get(symbol)) for symbol, part in _by_symbol(wanted)
    }
    return WyckoffResult(
        events=event_frame(analyses),
        phases=phase_frame(analyses),
        scores=score_frame(analyses),
        ranges=range_frame(analyses),
        analyses=analyses,
    )


def snapshot(result: WyckoffResult, as_of: dt.date) -> pl.DataFrame:
    """One row (SNAPSHOT_SCHEMA) per symbol with at least one bar up to `as_of`, as known at that session's
    close.

    Under 20 bars everything but `events_json` is null and its `notes` say why. `events_detected` are the
    events active in the range in force, by event date; JSON is compact with sorted keys, without NaN.
    """
    session = np.datetime64(as_of, "D")
    rows = []
    for analysis in result.analyses.values():
        bar = int(np.searchsorted(analysis.features.dates, session, side="right")) - 1
        if bar >= 0:
            rows.append(snapshot_row(analysis, bar, session, result.model_version))
    return pl.DataFrame(rows, schema=SNAPSHOT_SCHEMA, orient="row")


def _require(frame: pl.DataFrame, columns: Sequence[str], name: str) -> None:
    missing = [c for c in columns if c not in frame.columns]
    if missing:
        raise ValueError(
            f"{name} lack the columns {', '.join(missing)}; they have {', '.join(frame.columns)}"
        )


def _by_symbol(frame: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    """(symbol, rows) slices of a frame sorted by symbol."""
    if frame.is_empty():
        return []
    runs = frame.select(pl.col("symbol").rle()).unnest("symbol")
    offsets = np.concatenate(([0], np.cumsum(runs["len"].to_numpy())))
    return [
        (symbol, frame.slice(int(offset), int(length)))
        for symbol, offset, length in zip(
            runs["value"].to_list(), offsets, runs["len"].to_list(), strict=False
        )
    ]


def _closes(benchmark: pl.DataFrame | None, as_of: dt.date | None) -> tuple[Array, Array] | None:
    if benchmark is None:
        return None
    _require(benchmark, ("date", "close"), "benchmark")
    rows = (
        benchmark.select(pl.col("date").cast(pl.Date), pl.col("close").cast(pl.Float64))
        .drop_nulls()
        .sort("date")
    )
    if rows["date"].is_duplicated().any():
        raise ValueError("benchmark holds a date more than once: give the bars of one symbol")
    if as_of is not None:
        rows = rows.filter(pl.col("date") <= as_of)
    return rows["date"].to_numpy().astype("datetime64[D]"), rows["close"].to_numpy()


def _sentiment_points(sentiment: pl.DataFrame | None) -> dict[str, dict[dt.date, float]]:
    if sentiment is None:
        return {}
    _require(sentiment, ("symbol", "date", "points"), "sentiment")
    found: dict[str, dict[dt.date, float]] = {}
    for symbol, day, points in sentiment.select(
        "symbol", "date", pl.col("points").cast(pl.Float64)
    ).iter_rows():
        if points is not None:
            found.setdefault(symbol, {})[day] = points
    return found
