"""Recorded option chains as the frames the metrics take: Cboe (greeks of the exchange), Yahoo and Lean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl
from metrics_builders import RAW_SCHEMA, occ, shared_data

from kapman_metrics.chain import ChainCleaning, clean_chain

LIVE_DAYS = 14  # ten sessions


@dataclass(frozen=True)
class Recorded:
    """One underlying at one moment: raw contracts, the session they belong to, the regular close, the last print."""

    name: str
    session: date
    contracts: pl.DataFrame
    close: float
    last_print: float


def cboe_chains() -> Iterator[Recorded]:
    """All recorded Cboe chains. Times of trades are Eastern, so the newest trade names the session."""
    recorded = pl.read_parquet(shared_data("options", "cboe_chains_2026.parquet"))
    for (name, stamp), rows in recorded.group_by("underlying", "snapshot_ts_utc", maintain_order=True):
        session = date.fromisoformat(str(rows["last_trade_time"].drop_nulls().max())[:10])
        contracts = rows.with_columns(
            dte=(pl.col("expiration").str.to_date() - pl.lit(session)).dt.total_days()
        )
        prices = rows.select("underlying_close", "underlying_current_price").row(0)
        yield Recorded(f"{name} {str(stamp)[:16]}", session, contracts, *prices)


def yahoo_session(session: date) -> tuple[pl.DataFrame, pl.DataFrame]:
    """RAW CHAIN and SPOT of the eight names of a recorded day; no greeks."""
    recorded = pl.read_parquet(shared_data("options", "yahoo_chains_2025-11-25_2025-12-04.parquet"))
    rows = recorded.filter(pl.col("snap_date") == session.isoformat())
    traded = pl.col("lastTradeDate").str.slice(0, 10).str.to_date(strict=False)
    raw = rows.select(
        pl.col("underlying").alias("symbol"),
        ("O:" + pl.col("contractSymbol")).alias("contract"),
        pl.col("expiration").str.to_date(),
        "strike",
        pl.col("type").alias("option_type"),
        "bid",
        "ask",
        pl.col("lastPrice").alias("last"),
        pl.col("lastPrice").alias("day_close"),
        pl.when(traded == session).then("volume").alias("day_volume"),
        traded.alias("day_session"),
        pl.col("openInterest").alias("open_interest"),
        pl.col("impliedVolatility").alias("implied_volatility"),
        shares_per_contract=100.0,
    )
    spot = rows.select(pl.col("underlying").alias("symbol"), pl.col("spot_price").alias("spot"))
    return _complete(raw), spot.unique("symbol", maintain_order=True)


def lean_session(symbol: str, session: date) -> tuple[pl.DataFrame, pl.DataFrame]:
    """RAW CHAIN and SPOT of an end-of-day universe file; its first row is the underlying's bar."""
    path = shared_data("options", "lean_universe", f"{symbol}_{session:%Y%m%d}.csv.gz")
    rows = pl.read_csv(path, infer_schema_length=None).rename({"#expiry": "expiry"})
    spot = pl.DataFrame({"symbol": [symbol], "spot": rows["close"][:1]})
    raw = rows[1:].select(
        pl.lit(symbol).alias("symbol"),
        pl.col("expiry").cast(pl.String).str.to_date("%Y%m%d").alias("expiration"),
        "strike",
        pl.when(pl.col("right") == "C").then(pl.lit("call")).otherwise(pl.lit("put")).alias("option_type"),
        pl.when(pl.col("volume") > 0).then("close").alias("day_close"),
        pl.col("volume").cast(pl.Float64).alias("day_volume"),
        pl.when(pl.col("volume") > 0).then(session).alias("day_session"),
        pl.col("open_interest").cast(pl.Float64),
        pl.col("implied_volatility").cast(pl.Float64),
        *(pl.col(name).cast(pl.Float64) for name in ("delta", "gamma", "theta", "vega")),
        shares_per_contract=100.0,
    )
    names = [occ(symbol, *terms) for terms in raw.select("expiration", "option_type", "strike").iter_rows()]
    return _complete(raw.with_columns(pl.Series("contract", names))), spot


def cleaned(raw: pl.DataFrame, spot: pl.DataFrame, session: date) -> ChainCleaning:
    return clean_chain(raw, spot, session, session - timedelta(days=LIVE_DAYS))


def _complete(raw: pl.DataFrame) -> pl.DataFrame:
    absent = [
        pl.lit(None, dtype).alias(name) for name, dtype in RAW_SCHEMA.items() if name not in raw.columns
    ]
    return raw.with_columns(absent).select(pl.col(name).cast(dtype) for name, dtype in RAW_SCHEMA.items())


def no_history() -> pl.DataFrame:
    return pl.DataFrame(
        schema={"symbol": pl.String, "date": pl.Date, "average_iv": pl.Float64, "hv_20": pl.Float64}
    )


def share_within(ratio: np.ndarray, tolerance: float) -> float:
    return float(np.mean(np.abs(ratio - 1.0) <= tolerance))
