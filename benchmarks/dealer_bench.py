"""Dealer and volatility metrics of a watchlist against plain Python loops that give the same numbers.

100 symbols, 126,000 contracts shaped as listed chains are: 18 expiries from tomorrow to two years, strikes around
spot, a smile, contracts without greeks, without open interest, not live. CPU time, cases in turn, medians.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median
from typing import Any

import numpy as np
import polars as pl

from benchmarks import dealer_loops
from benchmarks.measure import Measure
from kapman_metrics import greeks
from kapman_metrics.dealer import dealer_metrics
from kapman_metrics.frames import CHAIN_SCHEMA
from kapman_metrics.volatility import volatility_metrics

SESSION = date(2026, 5, 5)
SYMBOLS, HISTORY, ROUNDS = 100, 252, 5
DAYS = (1, 3, 8, 10, 17, 24, 31, 38, 45, 73, 101, 129, 164, 220, 255, 346, 590, 710)
STRIKES = np.linspace(0.6, 1.4, 35)
MUST = 15.0


@dataclass(frozen=True)
class Market:
    chain: pl.DataFrame
    spot: pl.DataFrame
    history: pl.DataFrame


def run() -> Iterator[Measure]:
    """The row of the issue's table; raises RuntimeError when the two ways do not give the same numbers."""
    made = market()
    chains, spots, iv, hv = _as_objects(made)

    def ours() -> tuple[pl.DataFrame, pl.DataFrame]:
        return (
            dealer_metrics(made.chain, made.spot, SESSION),
            volatility_metrics(made.chain, made.spot, made.history, SESSION),
        )

    def loops() -> tuple[dict[str, Any], dict[str, Any]]:
        return dealer_loops.dealer(chains, spots), dealer_loops.volatility(chains, spots, iv, hv)

    for frame, theirs in zip(ours(), loops(), strict=True):
        _require_equal(frame, theirs)
    gc.freeze()  # neither pays for the collector walking the other's inputs
    peers, mine = [], []
    for _ in range(ROUNDS):
        mine.append(_cpu_seconds(ours))
        peers.append(_cpu_seconds(loops))
    gc.unfreeze()
    ratio = round(median(peers) / median(mine), 1)
    peer = (
        f"plain Python loops, equal numbers: {median(peers):.2f} s CPU against {1000 * median(mine):.0f} ms for "
        f"{SYMBOLS} symbols, {made.chain.height:,} contracts"
    )
    yield Measure("dealer and volatility", ratio, "x faster", peer, f">= {MUST}", ratio >= MUST)


def _cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def market() -> Market:
    """Chains, spots and histories of the watchlist, the same at every call."""
    rng = np.random.default_rng(20260505)
    symbols = [f"S{number:03d}" for number in range(SYMBOLS)]
    prices = np.round(np.exp(rng.uniform(2.5, 6.5, SYMBOLS)), 2)
    chain = pl.concat(
        [_chain(symbol, float(price), rng) for symbol, price in zip(symbols, prices, strict=True)]
    )
    days = [SESSION - timedelta(days=back) for back in range(HISTORY, 0, -1)]
    history = pl.DataFrame(
        {
            "symbol": np.repeat(symbols, HISTORY),
            "date": days * SYMBOLS,
            "average_iv": rng.uniform(0.2, 0.6, HISTORY * SYMBOLS),
            "hv_20": rng.uniform(0.2, 0.6, HISTORY * SYMBOLS),
        }
    )
    return Market(
        chain.sort("symbol", "contract"), pl.DataFrame({"symbol": symbols, "spot": prices}), history
    )


def _chain(symbol: str, spot: float, rng: np.random.Generator) -> pl.DataFrame:
    dte, strike, kind = (
        axis.ravel()
        for axis in np.meshgrid(DAYS, np.round(spot * STRIKES, 2), ("call", "put"), indexing="ij")
    )
    count = len(dte)
    volatility = 0.2 + 0.3 * rng.random() + 0.5 * np.log(strike / spot) ** 2 + 0.02 * rng.random(count)
    years, is_call = greeks.years_to_expiry(dte), kind == "call"
    terms = (spot, strike, years, volatility)
    bare = rng.random(count) < 0.12  # as on the vendor's plan, mostly deep in the money

    def known(values: np.ndarray) -> pl.Series:
        return pl.Series(np.where(bare, np.nan, values)).fill_nan(None)

    expiration = [SESSION + timedelta(days=int(days)) for days in dte]
    contract = [
        f"O:{symbol}{day:%y%m%d}{side[0].upper()}{round(1000 * price):08d}"
        for day, side, price in zip(expiration, kind.tolist(), strike.tolist(), strict=True)
    ]
    columns = {
        "symbol": [symbol] * count,
        "contract": contract,
        "expiration": expiration,
        "strike": strike,
        "option_type": kind,
        "volume": rng.integers(0, 900, count),
        "open_interest": np.where(rng.random(count) < 0.2, 0, rng.integers(1, 5000, count)),
        "implied_volatility": known(volatility),
        "delta": known(greeks.delta(*terms, is_call)),
        "gamma": known(greeks.gamma(*terms)),
        "shares_per_contract": [100.0] * count,
        "is_standard": rng.random(count) > 0.01,
        "is_live": rng.random(count) > 0.05,
    }
    absent = {name: None for name in CHAIN_SCHEMA if name not in columns}
    return pl.DataFrame(columns).with_columns(**{k: pl.lit(v) for k, v in absent.items()}).select(
        pl.col(name).cast(dtype) for name, dtype in CHAIN_SCHEMA.items()
    )  # fmt: skip


def _as_objects(made: Market) -> tuple[dict[str, Any], dict[str, float], dict[str, Any], dict[str, Any]]:
    """What the loops read, ready in memory: converting is not timed."""
    rows = made.chain.select(
        "symbol",
        "strike",
        (pl.col("expiration") - pl.lit(SESSION)).dt.total_days(),
        pl.col("option_type") == "call",
        *("open_interest", "volume", "implied_volatility", "delta", "gamma", "shares_per_contract"),
        *("is_standard", "is_live"),
    )
    chains: dict[str, list[dealer_loops.Contract]] = {}
    for symbol, *values in rows.iter_rows():
        chains.setdefault(symbol, []).append(dealer_loops.Contract(*values))
    past = made.history.group_by("symbol", maintain_order=True).agg("average_iv", "hv_20")
    iv = dict(past.select("symbol", "average_iv").iter_rows())
    hv = dict(past.select("symbol", "hv_20").iter_rows())
    return chains, dict(made.spot.iter_rows()), iv, hv


def _require_equal(frame: pl.DataFrame, theirs: dict[str, dict[str, Any]]) -> None:
    for row in frame.iter_rows(named=True):
        for name, value in theirs[row["symbol"]].items():
            if name.endswith("_json"):
                continue
            if isinstance(value, float) and row[name] is not None:
                same = math.isclose(row[name], value, rel_tol=1e-9, abs_tol=1e-9)
            else:
                same = row[name] == value
            if not same:
                raise RuntimeError(f"{row['symbol']} {name}: {row[name]!r} here, {value!r} in loops")
