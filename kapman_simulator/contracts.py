"""What a chain is made of before it is priced: the underlying's past and the contracts listed on a session.

Prices, greeks and what trading left behind are made from these elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from kapman_simulator.listings import SERIES_EXPECTED, Series, ladder, series_on
from kapman_simulator.market import Market
from kapman_simulator.noise import Floats, Hashes, digest, mix

HISTORY = 30  # sessions an underlying must have traded before options are listed on it


@dataclass(frozen=True)
class Underlying:
    """Price history on the session's split basis, last element = the session."""

    days: list[date]
    ordinals: np.ndarray
    spot: Floats
    centre: Floats  # slow average the open interest gathers around
    volatility: float  # recent, annual
    calm: Floats  # long-run, annual, as known on each day
    nature: float  # annual volatility that the symbol was born with
    momentum: float  # five-session return in units of its expected size
    dollars: float


@dataclass(frozen=True)
class Contracts:
    """Parallel arrays, one element a contract."""

    expiration: np.ndarray  # datetime64[D]
    listed: np.ndarray  # ordinals
    strike: Floats
    call: np.ndarray
    monthly: np.ndarray
    leaps: np.ndarray
    step: Floats
    years: Floats
    ident: Hashes

    def of(self, chosen: np.ndarray) -> Contracts:
        """The contracts for which the mask is true."""
        return Contracts(*(getattr(self, column.name)[chosen] for column in fields(self)))


def underlying_on(market: Market, symbol: str, session: date) -> Underlying | None:
    """The underlying as of `session`; None without options, without a bar there or with too short a past."""
    member = market.members.get(symbol)
    if member is None or not member.optionable:
        return None
    bars = market.history_of(symbol)
    days = bars["date"].to_list()
    if session not in days[-1:]:
        bars = bars.filter(pl.col("date") <= session)
        days = bars["date"].to_list()
    if len(days) < HISTORY or days[-1] != session:
        return None
    spot = bars["close"].to_numpy().copy()
    splits = market.splits.filter(pl.col("symbol") == symbol, pl.col("execution_date") <= session)
    for executed, old, new in splits.select("execution_date", "split_from", "split_to").iter_rows():
        spot[: int(np.searchsorted(np.array(days, "M8[D]"), np.datetime64(executed)))] *= old / new
    returns = np.diff(np.log(spot))
    recent = float(np.sqrt(_average(returns**2, 20)[-1] * 252))
    calm = np.clip(np.sqrt(_average(np.concatenate(([returns[0]], returns)) ** 2, 120) * 252), 0.10, 1.5)
    typical = float(calm[-1]) / np.sqrt(252)
    born = member.idiosyncratic**2 + (0.0092 * member.beta) ** 2 + (0.0062 * member.sector_load) ** 2
    return Underlying(
        days=days,
        ordinals=np.array([day.toordinal() for day in days]),
        spot=spot,
        centre=_average(spot, 40),
        volatility=min(max(recent, 0.08), 2.0),
        calm=calm,
        nature=float(np.sqrt(252 * born)),
        momentum=float(returns[-5:].sum()) / (typical * np.sqrt(5)),
        dollars=member.dollars,
    )


def _average(values: Floats, span: int) -> Floats:
    """Exponential average with the given span, started at the mean of the first values."""
    weight, level = 2.0 / (span + 1), float(values[:span].mean())
    path = []
    for value in values.tolist():
        level += weight * (value - level)
        path.append(level)
    return np.array(path)


def contracts_on(
    seed: int, symbol: str, session: date, underlying: Underlying, contracts_per_symbol: int
) -> Contracts:
    """What is listed on `session`, about `contracts_per_symbol` of them, expirations in order."""
    wanted = max(contracts_per_symbol // (2 * SERIES_EXPECTED), 3)
    parts: list[tuple[Series, Floats]] = []
    for series in series_on(session):
        strikes = ladder(series, underlying.days, underlying.spot, underlying.nature, wanted)
        parts.append((series, np.concatenate((strikes, strikes))))
    sizes = [len(strikes) for _, strikes in parts]

    def spread(values: list[object], kind: str) -> np.ndarray:
        return np.repeat(np.array(values, kind), sizes)

    strike = np.concatenate([strikes for _, strikes in parts])
    call = np.concatenate([np.arange(size) < size // 2 for size in sizes])
    expiration = spread([series.expiration for series, _ in parts], "M8[D]")
    days_left = (expiration - np.datetime64(session)).astype(float)
    ident = mix(
        digest(seed, symbol),
        expiration.astype(np.int64).astype(np.uint64),
        np.round(strike * 1000).astype(np.uint64),
        call.astype(np.uint64),
    )
    return Contracts(
        expiration=expiration,
        listed=spread([series.listed.toordinal() for series, _ in parts], "i8"),
        strike=strike,
        call=call,
        monthly=spread([series.monthly for series, _ in parts], "?"),
        leaps=spread([series.leaps for series, _ in parts], "?"),
        step=spread(
            [float(strikes[1] - strikes[0]) if len(strikes) > 2 else 1.0 for _, strikes in parts], "f8"
        ),
        years=np.maximum(days_left, 0.25) / 365.0,
        ident=ident,
    )


def identity(symbol: str, c: Contracts) -> dict[str, Any]:
    """The chain's identifying columns."""
    root = symbol.replace(".", "")
    days, which = np.unique(c.expiration, return_inverse=True)
    labels = [day.strftime("%y%m%d") for day in days.tolist()]
    stamps = [labels[at] for at in which.tolist()]
    thousandths = np.round(c.strike * 1000).astype(int).tolist()
    names = [
        f"O:{root}{stamp}{'C' if call else 'P'}{cents:08d}"
        for stamp, call, cents in zip(stamps, c.call.tolist(), thousandths, strict=True)
    ]
    return {
        "symbol": [symbol] * len(names),
        "contract": names,
        "expiration": c.expiration,
        "strike": c.strike,
        "option_type": np.where(c.call, "call", "put").tolist(),
        "shares_per_contract": np.full(len(names), 100.0),
    }
