"""Bars frame in, indicator frame out: packs bars into panels, runs the surface, unpacks.

Does not belong here: formulas and parameters.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from kapman_metrics.documents import compact_json
from kapman_metrics.indicators.panel import (
    BLOCK_SYMBOLS,
    Array,
    Block,
    Panel,
    blocks,
    latest_positions,
    usable_bars,
)
from kapman_metrics.indicators.surface import AVERAGE_INDICATORS, AVERAGES, INDICATORS, SURFACE, Indicator

HISTORY_BLOCK_SYMBOLS = 256  # whole histories of all outputs are in memory at once

# snapshot column -> output of the surface
SNAPSHOT_COLUMNS = {
    "rsi_14": "rsi",
    "macd_line": "macd",
    "macd_signal": "macd_signal",
    "macd_histogram": "macd_diff",
    "stoch_k": "stoch",
    "stoch_d": "stoch_signal",
    "mfi_14": "money_flow_index",
    **{name: name for name in AVERAGES},
    "adx_14": "adx",
    "atr_14": "average_true_range",
    "bbands_upper": "bollinger_hband",
    "bbands_middle": "bollinger_mavg",
    "bbands_lower": "bollinger_lband",
    "bbands_width": "bollinger_wband",
    "obv": "on_balance_volume",
}


def indicators(bars: pl.DataFrame, as_of: date | None = None, last: bool = False) -> pl.DataFrame:
    """symbol, date, the 84 outputs of `SURFACE`, then sma_20, sma_50, sma_200, ema_12, ema_26; all Float64,
    null where not defined (short history, nothing traded, no range), never NaN or infinity.

    `bars`: BARS frame, split-adjusted as of `as_of`. One row per bar at or before `as_of` (all bars without
    it), sorted by symbol and date; with `last` one row per symbol, its latest such bar. A row lacking high,
    low, close or volume counts as no bar. Values of a bar depend on the symbol's own bars up to it and
    nothing else.
    """
    if as_of is not None:
        bars = bars.filter(pl.col("date") <= as_of)
    bars = usable_bars(bars)
    keys = bars.select("symbol", "date")
    if last:
        keys = keys[latest_positions(bars)]
    values = {name: np.full(keys.height, np.nan) for name in (*SURFACE, *AVERAGES)}
    with np.errstate(all="ignore"):
        for block in blocks(bars, BLOCK_SYMBOLS if last else HISTORY_BLOCK_SYMBOLS, latest=last):
            for indicator in (*INDICATORS, *AVERAGE_INDICATORS):
                _unpack(values, block, indicator, evaluate(block.panel, indicator))
    for array in values.values():
        array[~np.isfinite(array)] = np.nan
    return keys.hstack(pl.DataFrame(values).fill_nan(None))


def evaluate(panel: Panel, indicator: Indicator) -> tuple[Array, ...]:
    """The outputs of one indicator for the symbols of a panel. Where only the latest bar is wanted only their
    bottom row is promised.
    """
    seen = panel.tail(indicator.memory) if panel.latest and indicator.memory else panel
    return indicator.formula(seen, **indicator.params)


def _unpack(values: dict[str, Array], block: Block, indicator: Indicator, arrays: tuple[Array, ...]) -> None:
    for name, array in zip(indicator.outputs, arrays, strict=True):
        if block.panel.latest:
            values[name][block.symbol] = array[-1]
        else:
            values[name][block.position] = array[block.row, block.column]


def technical_snapshot(bars: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """One row per symbol with a bar at or before `as_of`: the technical columns of daily_snapshots for its
    latest bar.

    symbol, rsi_14, macd_line, macd_signal, macd_histogram, stoch_k, stoch_d, mfi_14, sma_20, sma_50, sma_200,
    ema_12, ema_26, adx_14, atr_14, bbands_upper, bbands_middle, bbands_lower, bbands_width (percent of the
    middle), obv (since the first session of the previous calendar year), vwap (the bar's own, null when the
    vendor gave none), technical_indicators_json (all 84 keys, null where not defined).
    """
    latest = indicators(bars, as_of, last=True)
    own = (
        pl.col("vwap").cast(pl.Float64) if "vwap" in bars.columns else pl.lit(None, pl.Float64).alias("vwap")
    )
    vwap = bars.select("symbol", "date", own.fill_nan(None))
    rows = latest.select(SURFACE).iter_rows()
    documents = [compact_json(dict(zip(SURFACE, row, strict=True))) for row in rows]
    return latest.join(vwap, on=["symbol", "date"], how="left", maintain_order="left").select(
        "symbol",
        *(pl.col(source).alias(name) for name, source in SNAPSHOT_COLUMNS.items()),
        "vwap",
        pl.Series("technical_indicators_json", documents, dtype=pl.String),
    )
