"""One chain in memory, as it will be sent: the frame that generated and recorded chains share.

A null is a field the vendor leaves out, a NaN one it sends as null. The snapshot sends no rho, the daily
analytics do.
"""

from __future__ import annotations

import polars as pl

CHAIN_SCHEMA = {
    "symbol": pl.String, "contract": pl.String, "expiration": pl.Date, "strike": pl.Float64,
    "option_type": pl.String, "shares_per_contract": pl.Float64,
    "day_open": pl.Float64, "day_high": pl.Float64, "day_low": pl.Float64, "day_close": pl.Float64,
    "day_volume": pl.Float64, "day_vwap": pl.Float64, "day_session": pl.Date,
    "open_interest": pl.Float64, "implied_volatility": pl.Float64,
    "delta": pl.Float64, "gamma": pl.Float64, "theta": pl.Float64, "vega": pl.Float64,
    "break_even": pl.Float64,
    "bid": pl.Float64, "ask": pl.Float64, "bid_size": pl.Float64, "ask_size": pl.Float64,
    "quoted_at": pl.Int64, "last": pl.Float64, "last_at": pl.Int64, "underlying_price": pl.Float64,
    "rho": pl.Float64,
}  # fmt: skip
GREEKS = ("delta", "gamma", "theta", "vega")
