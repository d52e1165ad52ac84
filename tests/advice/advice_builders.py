"""Small chains, snapshots, contexts and bars for the tests of the advice room."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl

from kapman_advice.decision import Context, build_context

SESSION = date(2026, 5, 5)

CHAIN_SCHEMA: dict[str, Any] = {
    "symbol": pl.String,
    "contract": pl.String,
    "expiration": pl.Date,
    "strike": pl.Float64,
    "option_type": pl.String,
    "bid": pl.Float64,
    "ask": pl.Float64,
    "last": pl.Float64,
    "close": pl.Float64,
    "volume": pl.Float64,
    "open_interest": pl.Float64,
    "implied_volatility": pl.Float64,
    "delta": pl.Float64,
    "gamma": pl.Float64,
    "theta": pl.Float64,
    "vega": pl.Float64,
    "shares_per_contract": pl.Float64,
    "last_session": pl.Date,
    "is_standard": pl.Boolean,
    "is_live": pl.Boolean,
    "greeks_source": pl.String,
}


def occ(symbol: str, expiration: date, option_type: str, strike: float) -> str:
    """The OCC name of a contract, vendor style."""
    return f"O:{symbol}{expiration:%y%m%d}{option_type[0].upper()}{round(strike * 1000):08d}"


def contract(strike: float, option_type: str, delta: float, close: float, **changes: Any) -> dict[str, Any]:
    """A liquid contract of ABC that traded in SESSION and has no quotes, as the user's plan delivers it."""
    symbol = changes.get("symbol", "ABC")
    expiration = changes.get("expiration", SESSION + timedelta(days=45))
    row = {
        "symbol": symbol,
        "contract": occ(symbol, expiration, option_type, strike),
        "expiration": expiration,
        "strike": strike,
        "option_type": option_type,
        "bid": None,
        "ask": None,
        "last": None,
        "close": close,
        "volume": 250.0,
        "open_interest": 1000.0,
        "implied_volatility": 0.30,
        "delta": delta,
        "gamma": 0.02,
        "theta": -0.05,
        "vega": 0.12,
        "shares_per_contract": 100.0,
        "last_session": SESSION,
        "is_standard": True,
        "is_live": True,
        "greeks_source": "vendor",
    }
    return row | changes


def chain_of(*rows: dict[str, Any]) -> pl.DataFrame:
    """A CHAIN frame of these contracts."""
    return pl.DataFrame(list(rows), schema=CHAIN_SCHEMA)


def full_chain() -> pl.DataFrame:
    """ABC at 100: enough strikes on both sides for every structure."""
    return chain_of(
        contract(95.0, "call", 0.68, 7.6),
        contract(100.0, "call", 0.54, 4.4),
        contract(105.0, "call", 0.36, 2.3),
        contract(110.0, "call", 0.18, 1.1),
        contract(115.0, "call", 0.10, 0.5),
        contract(105.0, "put", -0.66, 7.0),
        contract(100.0, "put", -0.48, 4.0),
        contract(95.0, "put", -0.32, 2.1),
        contract(90.0, "put", -0.18, 1.0),
        contract(85.0, "put", -0.08, 0.45),
    )


def snapshot_of(**changes: Any) -> dict[str, Any]:
    """A complete snapshot of ABC: strong entry signal, nothing in the way."""
    row: dict[str, Any] = {
        "symbol": "ABC",
        "spot": 100.0,
        "wyckoff_phase": "A",
        "phase_confidence": 0.7,
        "primary_event": "SOS",
        "bc_score": 5,
        "spring_score": 10,
        "events_detected": ["SC", "AR", "ST", "SPRING", "SOS"],
        "events_json": None,
        "vsi": 0.4,
        "atr_14": 2.0,
        "rsi_14": 58.0,
        "macd_histogram": 0.3,
        "adx_14": 24.0,
        "price_vs_sma50": 0.03,
        "dgpi": 25.0,
        "gamma_flip_level": 97.0,
        "call_wall_primary": 115.0,
        "put_wall_primary": 90.0,
        "dealer_grade": "full",
        "iv_rank": 35.0,
        "average_iv": 0.31,
        "iv_hv_diff": 0.02,
        "range_support": 97.0,
        "range_resistance": 110.0,
        "data_quality": "complete",
    }
    return row | changes


def sow_snapshot(**changes: Any) -> dict[str, Any]:
    """ABC after a sign of weakness: the only signal that justifies a bearish trade."""
    bearish: dict[str, Any] = {
        "events_detected": ["SOW"],
        "primary_event": "SOW",
        "wyckoff_phase": "E",
        "bc_score": 6,
        "spring_score": 0,
        "range_support": 103.0,
        "range_resistance": 118.0,
        "dgpi": -20.0,
        "gamma_flip_level": 104.0,
        "put_wall_primary": 85.0,
        "price_vs_sma50": -0.04,
        "macd_histogram": -0.4,
    }
    return snapshot_of(**(bearish | changes))


def context_of(snapshot: dict[str, Any] | None = None, chain: pl.DataFrame | None = None) -> Context:
    """The context of a snapshot (default: the strong entry) over the full chain."""
    return build_context(
        full_chain() if chain is None else chain, snapshot_of() if snapshot is None else snapshot, SESSION
    )


def bars_of(start: date, *rows: tuple[float, float, float, float], symbol: str = "ABC") -> pl.DataFrame:
    """BARS of consecutive weekdays from `start`, each row open, high, low, close."""
    days, day = [], start
    while len(days) < len(rows):
        if day.weekday() < 5:
            days.append(day)
        day += timedelta(days=1)
    return pl.DataFrame(
        [(symbol, when, *row, 1e6) for when, row in zip(days, rows, strict=True)],
        schema={
            "symbol": pl.String,
            "date": pl.Date,
            "open": pl.Float64,
            "high": pl.Float64,
            "low": pl.Float64,
            "close": pl.Float64,
            "volume": pl.Float64,
        },
        orient="row",
    )
