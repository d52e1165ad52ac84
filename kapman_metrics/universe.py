"""One wide row of numbers per symbol for a whole market: what `universe_indicators` stores of a session.

Does not belong here: formulas (indicators/, price.py), which screens are asked of the rows (screening.py).
"""

from __future__ import annotations

from datetime import date

import polars as pl

from kapman_metrics.adjust import adjust_for_splits
from kapman_metrics.indicators import AVERAGES, SURFACE, indicators
from kapman_metrics.listings import listing_in_force
from kapman_metrics.price import price_numbers

PRICE_COLUMNS = (
    "rvol",
    "vsi",
    "hv_20",
    "hv_60",
    "price_vs_sma20",
    "price_vs_sma50",
    "price_vs_sma200",
    "dollar_volume_20",
    "high_252",
    "low_252",
)
UNIVERSE_COLUMNS = ("close", "volume", *PRICE_COLUMNS, *AVERAGES, *SURFACE)
UNIVERSE_SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    **{name: pl.Float64() for name in UNIVERSE_COLUMNS},
}

_DOLLAR_SESSIONS, _YEAR = 20, 252


def universe_rows(
    bars: pl.DataFrame, splits: pl.DataFrame, breaks: pl.DataFrame, session: date
) -> pl.DataFrame:
    """UNIVERSE_SCHEMA, one row for each symbol with a bar on `session`, sorted by symbol.

    `bars`: symbol, date, high, low, close, volume as traded; `splits`: SPLIT_SCHEMA; `breaks`: symbol, first_session.
    Computed on the bars at or before the session of the listing in force, in the session's shares. dollar_volume_20 =
    mean of close x volume over 20 bars; high_252, low_252 = extremes of the last 252; null while there are fewer.
    """
    known = listing_in_force(bars, breaks, session)
    trading = known.filter(pl.col("date") == session).select("symbol")
    adjusted = _adjusted(known.join(trading, on="symbol", how="semi"), splits, session)
    latest = pl.col("date") == session
    return (
        adjusted.filter(latest)
        .select("symbol", "close", "volume")
        .join(indicators(adjusted, session, last=True).drop("date"), on="symbol", how="left")
        .join(price_numbers(adjusted, session), on="symbol", how="left")
        .join(_extremes(adjusted), on="symbol", how="left")
        .select(list(UNIVERSE_SCHEMA))
        .sort("symbol")
    )


def _adjusted(bars: pl.DataFrame, splits: pl.DataFrame, session: date) -> pl.DataFrame:
    """adjust_for_splits, spared the symbols (nearly all) that have no split."""
    split = pl.col("symbol").is_in(splits["symbol"].unique().implode())
    return pl.concat([bars.filter(~split), adjust_for_splits(bars.filter(split), splits, session)]).sort(
        "symbol", "date"
    )


def _extremes(bars: pl.DataFrame) -> pl.DataFrame:
    def over(sessions: int, value: pl.Expr) -> pl.Expr:
        return pl.when(pl.len() >= sessions).then(value)

    dollars = (pl.col("close") * pl.col("volume")).tail(_DOLLAR_SESSIONS).mean()
    return bars.group_by("symbol").agg(
        over(_DOLLAR_SESSIONS, dollars).alias("dollar_volume_20"),
        over(_YEAR, pl.col("high").tail(_YEAR).max()).alias("high_252"),
        over(_YEAR, pl.col("low").tail(_YEAR).min()).alias("low_252"),
    )
