"""Generated option chains: smile, day bars, greeks, and the gaps the vendor leaves in them.

Each chain is a function of (seed, symbol, session) alone; its listing is in contracts.py, what trading left
behind in activity.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from kapman_simulator.activity import Activity, trades
from kapman_simulator.contracts import Contracts, Underlying, contracts_on, identity, underlying_on
from kapman_simulator.market import BAR_SCHEMA, Market
from kapman_simulator.noise import Floats, digest, mix, normal, uniform
from kapman_simulator.pricing import Priced, price_options
from kapman_simulator.wire_chain import CHAIN_SCHEMA, GREEKS

RATE, DIVIDEND = 0.042, 0.006
CONTRACTS = 640
_LOT = 6  # contracts in one trade, about
_PAGE = 250  # where duplicates are planted, so that they fall on two pages


def option_chain(
    market: Market, symbol: str, session: date, *, contracts_per_symbol: int = CONTRACTS
) -> pl.DataFrame:
    """The chain of one underlying as the vendor shows it after `session`'s close (wire_chain.CHAIN_SCHEMA).

    Includes the series that expires on `session`. Empty for an underlying without options or without a bar on
    that session. About `contracts_per_symbol` rows, more after large price moves.
    """
    underlying = underlying_on(market, symbol, session)
    if underlying is None:
        return pl.DataFrame(schema=CHAIN_SCHEMA)
    contracts = contracts_on(market.seed, symbol, session, underlying, contracts_per_symbol)
    iv = _surface(contracts, underlying, contracts.years, underlying.spot[-1])
    now = price_options(
        underlying.spot[-1], contracts.strike, contracts.years, iv, contracts.call, RATE, DIVIDEND
    )
    activity = Activity.of(contracts, underlying)
    columns = identity(symbol, contracts) | _day_bars(contracts, underlying, iv, activity)
    columns["open_interest"] = np.where(uniform(contracts.ident, 31) < 0.012, np.nan, activity.open_interest)
    columns |= _greeks(contracts, underlying, iv, now)
    columns["underlying_price"] = _underlying_price(market.seed, symbol, session, underlying, len(iv))
    chain = _with_adjusted(_assemble(columns), market.seed, symbol, session)
    return _with_duplicate(chain, market.seed, symbol, session)


def option_bars(
    market: Market, symbol: str, session: date, *, contracts_per_symbol: int = CONTRACTS
) -> pl.DataFrame:
    """The bars of the contracts that traded on `session` (BAR_SCHEMA, `symbol` = contract), sorted by contract.

    The day bars that `option_chain` shows for that session, made without pricing the rest of the chain.
    """
    underlying = underlying_on(market, symbol, session)
    if underlying is None:
        return pl.DataFrame(schema=BAR_SCHEMA)
    listed = contracts_on(market.seed, symbol, session, underlying, contracts_per_symbol)
    everyone = np.arange(len(listed.strike))
    traded = listed.of(trades(listed, underlying, everyone, np.full(len(everyone), len(underlying.days) - 1)))
    iv = _surface(traded, underlying, traded.years, underlying.spot[-1])
    columns = identity(symbol, traded) | _day_bars(traded, underlying, iv, Activity.of(traded, underlying))
    frame = _assemble(columns, {name: CHAIN_SCHEMA[name] for name in columns})
    bars = day_bars_of(_with_adjusted(frame, market.seed, symbol, session), session)
    return bars.with_columns(transactions=(pl.col("volume") / _LOT).ceil().cast(pl.Int64))


def day_bars_of(chain: pl.DataFrame, session: date) -> pl.DataFrame:
    """The day bars in a chain that belong to `session`, each contract once, as BAR_SCHEMA sorted by contract.

    Where a recorded chain knows the close only, it stands for the other prices. No chain counts transactions.
    """
    prices = {name: pl.coalesce(f"day_{name}", "day_close") for name in ("open", "high", "low", "close")}
    bars = chain.filter(pl.col("day_session") == session, pl.col("day_volume") > 0, pl.col("day_close") > 0)
    return (
        bars.unique("contract", keep="first", maintain_order=True)
        .sort("contract")
        .select(
            symbol="contract", date="day_session", **prices, volume="day_volume", vwap="day_vwap",
            transactions=pl.lit(None, pl.Int64),
        )
    )  # fmt: skip


def _surface(c: Contracts, u: Underlying, years: Floats, spot: Floats | float) -> Floats:
    """Implied volatility: term structure, skew that flattens in a run-up, smile, small noise."""
    longer = 1.06 * u.calm[-1]
    nearer = 1.03 * u.volatility + 0.02
    at_money = longer + (nearer - longer) * np.exp(-years / 0.28)
    moneyness = np.log(c.strike / spot) / (at_money * np.sqrt(np.maximum(years, 5 / 365)))
    slope = -0.085 + 0.05 * min(max(u.momentum, -1.0), 3.0)
    m = np.clip(moneyness, -4.0, 4.0)
    shape = 1.0 + slope * m * (years / 0.12) ** 0.12 + 0.028 * m**2
    return np.clip(at_money * shape * (1 + 0.012 * normal(c.ident, 3)), 0.05, 4.5)


def _day_bars(c: Contracts, u: Underlying, iv: Floats, activity: Activity) -> dict[str, Any]:
    """Each contract's newest day bar, priced at a random moment of its own trade day."""
    last = np.maximum(activity.last_trade, 0)
    key = mix(c.ident, u.ordinals[last].astype(np.uint64))
    years = np.maximum((c.expiration.astype("i8") + 719163) - u.ordinals[last], 0.25) / 365.0
    wiggle = u.volatility / np.sqrt(252) * 0.45
    spot = u.spot[last] * np.exp(wiggle * normal(key, 23))
    close = price_options(spot, c.strike, years, iv, c.call, RATE, DIVIDEND).price
    tick = np.where(close < 3.0, 0.01, 0.05)
    close = np.maximum(np.round(close * (1 + 0.02 * normal(key, 25)) / tick) * tick, 0.01)
    stretch = 0.04 + 0.10 * uniform(key, 27)
    opened = np.maximum(np.round(close * np.exp(stretch * normal(key, 29)), 2), 0.01)
    single = activity.volume < 2
    opened = np.where(single, close, opened)
    high = np.where(single, close, np.round(np.maximum(opened, close) * (1 + stretch / 2), 2))
    low = np.where(
        single, close, np.maximum(np.round(np.minimum(opened, close) * (1 - stretch / 2), 2), 0.01)
    )
    traded = activity.last_trade >= 0

    def known(values: Floats, digits: int) -> Floats:
        return np.where(traded, np.round(values, digits), np.nan)

    sign = np.where(c.call, 1.0, -1.0)
    sessions = np.array(u.days, "M8[D]")[last]
    return {
        "day_open": known(opened, 2),
        "day_high": known(high, 2),
        "day_low": known(low, 2),
        "day_close": known(close, 2),
        "day_volume": known(activity.volume, 0),
        "day_vwap": known((high + low + close) / 3, 4),
        "day_session": np.where(traded, sessions, np.datetime64("NaT")),
        "break_even": known(c.strike + sign * close, 4),
    }


def _greeks(c: Contracts, u: Underlying, iv: Floats, now: Priced) -> dict[str, Floats]:
    """Greeks and IV with the vendor's gaps: none where a deep price has no time value, noise at the edge."""
    spot = float(u.spot[-1])
    intrinsic = np.where(c.call, spot - c.strike, c.strike - spot)
    time_value = (now.price - np.maximum(intrinsic, 0)) / spot
    hopeless = (intrinsic > 0.05 * spot) & (time_value < np.where(c.call, 0.01, 0.0006))
    missing = hopeless & (uniform(c.ident, 41) < np.where(c.call, 0.78, 0.12)) | (
        uniform(c.ident, 43) < 0.004
    )
    saturated = c.call & (now.delta > 0.9985)
    delta = np.where(saturated & (uniform(c.ident, 45) < 0.5), 1.0000000000065, now.delta)
    flat = now.gamma < 1e-7
    gamma = np.where(flat & (uniform(c.ident, 47) < 0.5), -1.4e-9 * uniform(c.ident, 49), now.gamma)
    vega = np.where(flat & (uniform(c.ident, 51) < 0.4), -6e-4 * uniform(c.ident, 53), now.vega)
    without_iv = (missing & (uniform(c.ident, 55) < 0.7)) | (uniform(c.ident, 57) < 0.03)
    values = dict(zip((*GREEKS, "rho"), (delta, gamma, now.theta, vega, now.rho), strict=True))
    greeks = {name: np.where(missing, np.nan, value) for name, value in values.items()}
    return greeks | {"implied_volatility": np.where(without_iv, np.nan, iv)}


def _underlying_price(seed: int, symbol: str, session: date, u: Underlying, count: int) -> list[float | None]:
    """An after-hours print near the close; now and then null, now and then not in the plan."""
    key = mix(digest(seed, symbol, session, "print"))
    kind = float(uniform(key, 1))
    price = round(float(u.spot[-1]) * float(np.exp(0.002 * normal(key, 3))), 2)
    return [None if kind < 0.08 else float("nan") if kind < 0.12 else price] * count


def _assemble(
    columns: dict[str, Any], schema: Mapping[str, type[pl.DataType]] = CHAIN_SCHEMA
) -> pl.DataFrame:
    count = len(columns["contract"])
    present = [
        pl.Series(name, columns[name], dtype=kind, strict=False)
        if name in columns
        else pl.Series(name, [None], dtype=kind).new_from_index(0, count)
        for name, kind in schema.items()
    ]
    frame = pl.DataFrame(present)
    optional = [n for n, kind in schema.items() if kind == pl.Float64 and n != "underlying_price"]
    return frame.with_columns(pl.col(optional).fill_nan(None)).sort("contract")


def _with_adjusted(chain: pl.DataFrame, seed: int, symbol: str, session: date) -> pl.DataFrame:
    """Contracts left over from a corporate action, on some underlyings."""
    if digest(seed, symbol, "adjusted") % 5 == 0:
        alive = chain.filter(pl.col("expiration") > session)
        chosen = [digest(seed, contract) % 97 == 0 for contract in alive["contract"].to_list()]
        # a digit behind the root and ten shares a contract: the deliverable after a 1-for-10 reverse split
        left_over = alive.filter(pl.Series(chosen, dtype=pl.Boolean)).with_columns(
            contract=pl.col("contract").str.replace(r"(\d{6}[CP]\d{8})$", "1${1}"),
            shares_per_contract=pl.lit(10.0),
            option_type=pl.when(pl.col("strike") % 4 == 0).then(pl.lit("other")).otherwise("option_type"),
        )
        chain = pl.concat([chain, left_over]).sort("contract")
    return chain


def _with_duplicate(chain: pl.DataFrame, seed: int, symbol: str, session: date) -> pl.DataFrame:
    """On some sessions a row that appears on two pages, the second time without greeks."""
    if digest(seed, symbol, session, "duplicates") % 4 == 0 and chain.height > _PAGE:
        again = chain.slice(_PAGE - 1, 1).with_columns(
            pl.lit(None, pl.Float64).alias(name) for name in GREEKS
        )
        chain = pl.concat([chain.head(_PAGE), again, chain.slice(_PAGE)])
    return chain
