"""Price and volume metrics of the latest bar: relative volume, realised volatility, distance from averages.

Ratios and volatilities are decimals (0.35 = 35 %). Definitions: docs/domain.md, price metrics. Does not
belong here: the 84 indicators (indicators/), implied volatility (volatility.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import numpy as np
import polars as pl

from kapman_metrics.documents import compact_json, finite
from kapman_metrics.indicators.panel import Block, blocks, usable_bars
from kapman_metrics.indicators.primitives import diff, rolling_mean, rolling_mean_std, rolling_std, shift

VOLUME_SESSIONS = 20
HV_SESSIONS = (20, 60)
SMA_SESSIONS = (20, 50, 200)
SESSIONS_PER_YEAR = 252

PRICE_SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    "rvol": pl.Float64(),
    "vsi": pl.Float64(),
    "hv_20": pl.Float64(),
    "hv_60": pl.Float64(),
    "price_vs_sma20": pl.Float64(),
    "price_vs_sma50": pl.Float64(),
    "price_vs_sma200": pl.Float64(),
    "price_metrics_json": pl.String(),
}


_WINDOWS = {
    "volume_sessions": VOLUME_SESSIONS,
    "hv_sessions": HV_SESSIONS,
    "sma_sessions": SMA_SESSIONS,
    "sessions_per_year": SESSIONS_PER_YEAR,
}


def historical_volatility(close: np.ndarray, sessions: int) -> np.ndarray:
    """Population standard deviation of the last `sessions` log returns x sqrt(252); close: [sessions x
    symbols].
    """
    return rolling_std(diff(np.log(close)), sessions) * np.sqrt(SESSIONS_PER_YEAR)


def price_metrics(bars: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """One row per symbol with a bar at or before `as_of`, for its latest such bar; columns of `PRICE_SCHEMA`.

    `bars`: BARS frame, split-adjusted as of `as_of`. rvol = volume / mean of the 20 volumes before; vsi =
    z-score of the volume against them (population deviation); hv_20, hv_60 annualised decimals; price_vs_smaN
    = close / SMA(N) - 1. Null where the history is too short, or the mean (deviation) of the volumes is 0.
    price_metrics_json holds the windows and the inputs from which each number can be redone: the averages, the
    volumes that today's is compared with, and the closes whose returns the volatilities are of.
    """
    bars = usable_bars(bars.filter(pl.col("date") <= as_of))
    parts = [_with_documents(block, bars, as_of) for block in blocks(bars)]
    return pl.concat([pl.DataFrame(schema=PRICE_SCHEMA), *parts]).sort("symbol")


def price_numbers(bars: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """As `price_metrics` without the documents: for the whole market, where nobody reads them."""
    bars = usable_bars(bars.filter(pl.col("date") <= as_of))
    schema = {name: dtype for name, dtype in PRICE_SCHEMA.items() if name != "price_metrics_json"}
    parts = [_numbers(block, bars, _latest(block)) for block in blocks(bars)]
    return pl.concat([pl.DataFrame(schema=schema), *parts]).sort("symbol")


def _numbers(block: Block, bars: pl.DataFrame, latest: dict[str, np.ndarray]) -> pl.DataFrame:
    finite_only = {
        name: np.where(np.isfinite(values), values, np.nan)
        for name, values in latest.items()
        if name in PRICE_SCHEMA
    }
    return pl.DataFrame({"symbol": bars["symbol"].gather(block.last_position), **finite_only}).fill_nan(None)


def _with_documents(block: Block, bars: pl.DataFrame, as_of: date) -> pl.DataFrame:
    days = bars["date"].gather(block.last_position).to_list()
    latest = _latest(block)
    closes, volumes = (
        block.panel.close[-max(HV_SESSIONS) - 1 :],
        block.panel.volume[-VOLUME_SESSIONS - 1 : -1],
    )
    columns = {name: finite(values) for name, values in latest.items()}
    documents = []
    for column, day in enumerate(days):
        document = {
            "as_of": as_of.isoformat(),
            "bar_date": day.isoformat(),
            "windows": _WINDOWS,
            "closes": _known(closes[:, column]),
            "volumes_before": _known(volumes[:, column]),
            **{name: values[column] for name, values in columns.items()},
        }
        documents.append(compact_json(document))
    texts = pl.Series("price_metrics_json", documents, dtype=pl.String)
    return _numbers(block, bars, latest).with_columns(texts)


def _known(values: np.ndarray) -> list[float]:
    """Without the empty rows above a symbol's first bar."""
    known: list[float] = values[~np.isnan(values)].tolist()
    return known


def _latest(block: Block) -> dict[str, np.ndarray]:
    """Metrics and their inputs of every symbol's latest bar."""
    longest = max(*SMA_SESSIONS, *HV_SESSIONS) + 1
    panel = block.panel.tail(longest)
    with np.errstate(all="ignore"):
        mean, deviation = rolling_mean_std(shift(panel.volume), VOLUME_SESSIONS)
        volume = panel.volume[-1]
        close = panel.close[-1]
        averages = {n: rolling_mean(panel.close, n)[-1] for n in SMA_SESSIONS}
        returns = np.isfinite(diff(panel.close)).sum(axis=0)
        return {
            "rvol": volume / mean[-1],
            "vsi": (volume - mean[-1]) / deviation[-1],
            **{f"hv_{n}": historical_volatility(panel.close, n)[-1] for n in HV_SESSIONS},
            **{f"price_vs_sma{n}": close / average - 1.0 for n, average in averages.items()},
            "close": close,
            "volume": volume,
            "volume_mean_20": mean[-1],
            "volume_std_20": deviation[-1],
            **{f"sma_{n}": average for n, average in averages.items()},
            "returns_available": np.minimum(returns, longest - 1),
        }


def hv_history(bars: pl.DataFrame, as_of: date, sessions: int = SESSIONS_PER_YEAR) -> pl.DataFrame:
    """symbol, date, hv_20 of each symbol's last `sessions` bars at or before `as_of` (the latest
    included), null where 20 returns are not there yet; sorted by symbol and date.
    """
    bars = usable_bars(bars.filter(pl.col("date") <= as_of))
    values = np.full(bars.height, np.nan)
    for block, hv in _hv_blocks(bars):
        values[block.position] = hv[block.row, block.column]
    keyed = bars.select("symbol", "date", pl.Series("hv_20", values).fill_nan(None))
    return keyed.group_by("symbol", maintain_order=True).tail(sessions)


def _hv_blocks(bars: pl.DataFrame) -> Iterator[tuple[Block, np.ndarray]]:
    for block in blocks(bars):
        with np.errstate(all="ignore"):
            hv = historical_volatility(block.panel.close, HV_SESSIONS[0])
        yield block, np.where(np.isfinite(hv), hv, np.nan)
