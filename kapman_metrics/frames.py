"""The shared columns of frames, their order and types, and the one way to count days to expiry.

Does not belong here: anything computed from a chain.
"""

from __future__ import annotations

from datetime import date

import polars as pl

GREEKS = ("delta", "gamma", "theta", "vega")

BAR_SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    "date": pl.Date(),
    "open": pl.Float64(),
    "high": pl.Float64(),
    "low": pl.Float64(),
    "close": pl.Float64(),
    "volume": pl.Float64(),
    "vwap": pl.Float64(),
}

SPLIT_SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    "execution_date": pl.Date(),
    "split_from": pl.Float64(),
    "split_to": pl.Float64(),
}

RAW_CHAIN_SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    "contract": pl.String(),
    "expiration": pl.Date(),
    "strike": pl.Float64(),
    "option_type": pl.String(),
    "bid": pl.Float64(),
    "ask": pl.Float64(),
    "last": pl.Float64(),
    "day_close": pl.Float64(),
    "day_volume": pl.Float64(),
    "day_session": pl.Date(),
    "open_interest": pl.Float64(),
    "implied_volatility": pl.Float64(),
    "delta": pl.Float64(),
    "gamma": pl.Float64(),
    "theta": pl.Float64(),
    "vega": pl.Float64(),
    "shares_per_contract": pl.Float64(),
}

CHAIN_SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    "contract": pl.String(),
    "expiration": pl.Date(),
    "strike": pl.Float64(),
    "option_type": pl.String(),
    "bid": pl.Float64(),
    "ask": pl.Float64(),
    "last": pl.Float64(),
    "close": pl.Float64(),
    "volume": pl.Float64(),
    "open_interest": pl.Float64(),
    "implied_volatility": pl.Float64(),
    "delta": pl.Float64(),
    "gamma": pl.Float64(),
    "theta": pl.Float64(),
    "vega": pl.Float64(),
    "shares_per_contract": pl.Float64(),
    "last_session": pl.Date(),
    "is_standard": pl.Boolean(),
    "is_live": pl.Boolean(),
    "greeks_source": pl.String(),
}


def with_schema(frame: pl.DataFrame, schema: dict[str, pl.DataType], what: str) -> pl.DataFrame:
    """The frame's columns in the schema's order and types, NaN and infinity as null.

    Raises ValueError naming the missing columns.
    """
    missing = [name for name in schema if name not in frame.columns]
    if missing:
        raise ValueError(f"{what} lacks the columns {', '.join(missing)}; it has {', '.join(frame.columns)}")
    typed = frame.select(pl.col(name).cast(dtype) for name, dtype in schema.items())
    numbers = [name for name, dtype in schema.items() if dtype.is_float()]
    return typed.with_columns(pl.when(pl.col(name).is_finite()).then(pl.col(name)) for name in numbers)


def with_spot(chain: pl.DataFrame, spot: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """The chain in its own order with `spot` (null where the symbol has none above 0) and `dte` (calendar
    days).
    """
    prices = spot.select("symbol", pl.col("spot").cast(pl.Float64)).filter(
        pl.col("spot").is_finite() & (pl.col("spot") > 0)
    )
    prices = prices.unique("symbol", keep="last", maintain_order=True)
    return chain.join(prices, on="symbol", how="left", maintain_order="left").with_columns(
        (pl.col("expiration") - pl.lit(as_of)).dt.total_days().alias("dte")
    )
