"""Small frames for the metrics tests: bars, raw chains, stored chains, spots."""

from __future__ import annotations

import os
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

SESSION = date(2026, 5, 5)
DAYS = pl.date_range(date(2020, 1, 1), date(2030, 1, 1), eager=True)


def shared_data(*parts: str) -> Path:
    """A file of the recorded data; skips the test where the folder is absent."""
    default = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    path = Path(os.environ.get("KAPMAN_SHARED_DATA", default)).joinpath(*parts)
    if not path.exists():
        pytest.skip(f"recorded data not present: {'/'.join(parts)} (set KAPMAN_SHARED_DATA)")
    return path


def bars(
    symbol: str, close: list[float] | np.ndarray, volume: object = 1000.0, start: int = 1400
) -> pl.DataFrame:
    """Bars with a range of 1 % around each close, on consecutive calendar days."""
    close = np.asarray(close, dtype=float)
    return pl.DataFrame(
        {
            "symbol": [symbol] * len(close),
            "date": DAYS[start : start + len(close)],
            "open": close,
            "high": close * 1.005,
            "low": close * 0.995,
            "close": close,
            "volume": np.broadcast_to(np.asarray(volume, dtype=float), close.shape),
        }
    )


def random_bars(
    symbols: int, sessions: int, seed: int, start: int = 1400, price: float = 100.0
) -> pl.DataFrame:
    """Random-walk bars with fat tails and lively volume; fixed by the seed."""
    rng = np.random.default_rng(seed)
    frames = []
    for number in range(symbols):
        close = price * np.exp(np.cumsum(0.015 * rng.standard_t(4, sessions)))
        open_ = close * np.exp(rng.normal(0, 0.01, sessions))
        frames.append(
            pl.DataFrame(
                {
                    "symbol": [f"S{number:03d}"] * sessions,
                    "date": DAYS[start : start + sessions],
                    "open": open_,
                    "high": np.maximum(open_, close) * (1 + rng.exponential(0.006, sessions)),
                    "low": np.minimum(open_, close) * (1 - rng.exponential(0.006, sessions).clip(max=0.5)),
                    "close": close,
                    "volume": rng.integers(100_000, 9_000_000, sessions).astype(float),
                }
            )
        )
    return pl.concat(frames)


def spot_of(**prices: float) -> pl.DataFrame:
    return pl.DataFrame(
        {"symbol": list(prices), "spot": list(prices.values())},
        schema={"symbol": pl.String, "spot": pl.Float64},
    )


def occ(root: str, expiration: date, option_type: str, strike: float) -> str:
    return f"O:{root}{expiration:%y%m%d}{option_type[0].upper()}{round(strike * 1000):08d}"


def raw_row(**given: object) -> dict[str, object]:
    """One raw contract, priced and traded in SESSION unless told otherwise."""
    row: dict[str, object] = {
        "symbol": "ABC",
        "expiration": SESSION + timedelta(days=30),
        "strike": 100.0,
        "option_type": "call",
        "bid": None,
        "ask": None,
        "last": None,
        "day_close": 4.0,
        "day_volume": 10.0,
        "day_session": SESSION,
        "open_interest": 100.0,
        "implied_volatility": 0.3,
        "delta": 0.5,
        "gamma": 0.04,
        "theta": -0.05,
        "vega": 0.11,
        "shares_per_contract": 100.0,
    } | given
    if "contract" not in row:
        root = str(given.get("root", row["symbol"]))
        row["contract"] = occ(root, row["expiration"], str(row["option_type"]), float(row["strike"] or 0))
    row.pop("root", None)
    return row


RAW_SCHEMA = {
    "symbol": pl.String,
    "contract": pl.String,
    "expiration": pl.Date,
    "strike": pl.Float64,
    "option_type": pl.String,
    "bid": pl.Float64,
    "ask": pl.Float64,
    "last": pl.Float64,
    "day_close": pl.Float64,
    "day_volume": pl.Float64,
    "day_session": pl.Date,
    "open_interest": pl.Float64,
    "implied_volatility": pl.Float64,
    "delta": pl.Float64,
    "gamma": pl.Float64,
    "theta": pl.Float64,
    "vega": pl.Float64,
    "shares_per_contract": pl.Float64,
}


def raw_chain(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=RAW_SCHEMA)


def stored_row(**given: object) -> dict[str, object]:
    """One stored contract, live and standard unless told otherwise."""
    row = raw_row(**{key: value for key, value in given.items() if key not in _STORED_ONLY})
    stored = {
        "close": row.pop("day_close"),
        "volume": row.pop("day_volume"),
        "last_session": row.pop("day_session"),
        "is_standard": True,
        "is_live": True,
        "greeks_source": "vendor",
    }
    return row | stored | {key: value for key, value in given.items() if key in _STORED_ONLY}


_STORED_ONLY = ("close", "volume", "last_session", "is_standard", "is_live", "greeks_source")


def stored_chain(*rows: dict[str, object]) -> pl.DataFrame:
    schema = {name: dtype for name, dtype in RAW_SCHEMA.items() if not name.startswith("day_")} | {
        "close": pl.Float64,
        "volume": pl.Float64,
        "last_session": pl.Date,
        "is_standard": pl.Boolean,
        "is_live": pl.Boolean,
        "greeks_source": pl.String,
    }
    return pl.DataFrame(list(rows), schema=schema)


def cboe_evening() -> tuple[pl.DataFrame, pl.DataFrame]:
    """RAW CHAIN and SPOT (regular close) of the recorded Cboe chains of the evening of SESSION."""
    recorded = pl.read_parquet(shared_data("options", "cboe_chains_2026.parquet")).filter(
        pl.col("snapshot_ts_utc").str.starts_with("2026-05-06")
    )
    traded_on = pl.col("last_trade_time").str.slice(0, 10).str.to_date(strict=False)
    raw = recorded.select(
        pl.col("underlying").alias("symbol"),
        ("O:" + pl.col("option")).alias("contract"),
        pl.col("expiration").str.to_date(),
        "strike",
        pl.col("type").alias("option_type"),
        "bid",
        "ask",
        pl.col("last_trade_price").alias("last"),
        pl.col("last_trade_price").alias("day_close"),
        pl.when(traded_on == SESSION).then(pl.col("volume")).alias("day_volume"),
        traded_on.alias("day_session"),
        "open_interest",
        pl.col("iv").alias("implied_volatility"),
        "delta",
        "gamma",
        "theta",
        "vega",
        pl.lit(100.0).alias("shares_per_contract"),
    )
    spot = recorded.group_by("underlying").agg(
        pl.col("underlying_close").first(), pl.col("underlying_current_price").first()
    )
    return raw, spot.rename({"underlying": "symbol", "underlying_close": "spot"}).sort("symbol")
