"""Generated option chains: smile, open interest, day bars, greeks, and the gaps the vendor leaves in them.

Each chain is a function of (seed, symbol, session) alone; what must move slowly from session to session (open
interest, liveness) is looked up by hash of contract and trade day, so no state is carried between chains.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from kapman_simulator.listings import SERIES_EXPECTED, Series, ladder, series_on
from kapman_simulator.market import Market
from kapman_simulator.noise import Floats, Hashes, digest, mix, normal, uniform
from kapman_simulator.pricing import Priced, price_options
from kapman_simulator.wire_chain import CHAIN_SCHEMA, GREEKS

RATE, DIVIDEND = 0.042, 0.006
CONTRACTS = 640
_LOOKBACK, _STRIDE = 60, 12  # sessions in which a contract's last trade is searched, and how many at once
_PAGE = 250  # where duplicates are planted, so that they fall on two pages


@dataclass(frozen=True)
class _Underlying:
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
class _Contracts:
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


def option_chain(
    market: Market, symbol: str, session: date, *, contracts_per_symbol: int = CONTRACTS
) -> pl.DataFrame:
    """The chain of one underlying as the vendor shows it after `session`'s close (wire_chain.CHAIN_SCHEMA).

    Includes the series that expires on `session`. Empty for an underlying without options or without a bar on
    that session. About `contracts_per_symbol` rows, more after large price moves.
    """
    member = market.members.get(symbol)
    underlying = _underlying(market, symbol, session) if member and member.optionable else None
    if underlying is None:
        return pl.DataFrame(schema=CHAIN_SCHEMA)
    contracts = _contracts(market.seed, symbol, session, underlying, contracts_per_symbol)
    iv = _surface(contracts, underlying, contracts.years, underlying.spot[-1])
    now = price_options(
        underlying.spot[-1], contracts.strike, contracts.years, iv, contracts.call, RATE, DIVIDEND
    )
    activity = _Activity.of(contracts, underlying)
    columns = _identity(symbol, contracts) | _day_bars(contracts, underlying, iv, activity)
    columns["open_interest"] = np.where(uniform(contracts.ident, 31) < 0.012, np.nan, activity.open_interest)
    columns |= _greeks(contracts, underlying, iv, now)
    columns["underlying_price"] = _underlying_price(market.seed, symbol, session, underlying, len(iv))
    return _with_oddities(_assemble(columns), market.seed, symbol, session)


def _underlying(market: Market, symbol: str, session: date) -> _Underlying | None:
    bars = market.history_of(symbol)
    days = bars["date"].to_list()
    if session not in days[-1:]:
        bars = bars.filter(pl.col("date") <= session)
        days = bars["date"].to_list()
    if len(days) < 30 or days[-1] != session:
        return None
    spot = bars["close"].to_numpy().copy()
    splits = market.splits.filter(pl.col("symbol") == symbol, pl.col("execution_date") <= session)
    for executed, old, new in splits.select("execution_date", "split_from", "split_to").iter_rows():
        spot[: int(np.searchsorted(np.array(days, "M8[D]"), np.datetime64(executed)))] *= old / new
    returns = np.diff(np.log(spot))
    recent = float(np.sqrt(_average(returns**2, 20)[-1] * 252))
    calm = np.clip(np.sqrt(_average(np.concatenate(([returns[0]], returns)) ** 2, 120) * 252), 0.10, 1.5)
    typical = float(calm[-1]) / np.sqrt(252)
    member = market.members[symbol]
    born = member.idiosyncratic**2 + (0.0092 * member.beta) ** 2 + (0.0062 * member.sector_load) ** 2
    return _Underlying(
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


def _contracts(
    seed: int, symbol: str, session: date, underlying: _Underlying, contracts_per_symbol: int
) -> _Contracts:
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
    return _Contracts(
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


def _surface(c: _Contracts, u: _Underlying, years: Floats, spot: Floats | float) -> Floats:
    """Implied volatility: term structure, skew that flattens in a run-up, smile, small noise."""
    longer = 1.06 * u.calm[-1]
    nearer = 1.03 * u.volatility + 0.02
    at_money = longer + (nearer - longer) * np.exp(-years / 0.28)
    moneyness = np.log(c.strike / spot) / (at_money * np.sqrt(np.maximum(years, 5 / 365)))
    slope = -0.085 + 0.05 * min(max(u.momentum, -1.0), 3.0)
    m = np.clip(moneyness, -4.0, 4.0)
    shape = 1.0 + slope * m * (years / 0.12) ** 0.12 + 0.028 * m**2
    return np.clip(at_money * shape * (1 + 0.012 * normal(c.ident, 3)), 0.05, 4.5)


@dataclass(frozen=True)
class _Activity:
    """What trading left behind: each contract's newest trade day, its volume, open interest before today."""

    last_trade: np.ndarray  # index into the underlying's days, -1 = never traded
    volume: Floats  # of the last trade day
    open_interest: Floats

    @classmethod
    def of(cls, c: _Contracts, u: _Underlying) -> _Activity:
        today = len(u.days) - 1
        last = _last_trade(c, u, np.full(len(c.strike), today))
        previous = _last_trade(c, u, last - 1)
        before = np.where(last == today, previous, last)
        held_before = _interest(c, u, before)
        change = np.abs(_interest(c, u, last) - _interest(c, u, previous))
        turnover = (
            0.05 * held_before * np.exp(0.8 * normal(mix(c.ident, u.ordinals[last].astype(np.uint64)), 7))
        )
        heat = 1.0 + 0.6 * max(abs(u.momentum) - 1.0, 0.0) * (c.call == (u.momentum > 0))
        volume = np.floor(change + heat * turnover) + 1.0
        return cls(last, volume, np.where(before >= 0, held_before, 0.0))


def _trades(c: _Contracts, u: _Underlying, which: np.ndarray, when: np.ndarray) -> np.ndarray:
    """Whether contract `which[i]` traded on session number `when[i]`."""
    age = u.ordinals[when] - c.listed[which]
    tenor = np.maximum((c.expiration[which].astype("i8") + 719163) - u.ordinals[when], 1) / 365.0
    distance = np.log(c.strike[which] / u.centre[when]) / (u.calm[when] * np.sqrt(tenor) + 0.04)
    otm = np.where(c.call[which], distance, -distance)
    busy = np.clip(np.log10(max(u.dollars, 1e6)) / 10 + np.where(c.monthly[which], 0.15, 0.0), 0.5, 1.1)
    bell = np.exp(-0.5 * (np.where(otm > 0, otm, otm * 1.7) / 1.9) ** 2)
    chance = np.clip(busy * bell, 0.12, 0.98)
    dead = uniform(c.ident[which], 11) < np.where(bell < 0.35, 0.26, 0.015)
    luck = uniform(mix(c.ident[which], u.ordinals[when].astype(np.uint64)), 13)
    return (luck < chance) & ~dead & (age >= 0)


def _last_trade(c: _Contracts, u: _Underlying, start: np.ndarray) -> np.ndarray:
    """Index of each contract's newest trade day at or before `start`; -1 when there is none in reach."""
    found = np.full(len(c.strike), -1)
    pending = np.flatnonzero(start >= 0)
    for back in range(0, _LOOKBACK, _STRIDE):
        if not len(pending):
            break
        at = start[pending, None] - back - np.arange(_STRIDE)
        hits = _trades(c, u, pending[:, None], np.maximum(at, 0)) & (at >= 0)
        hit, first = hits.any(axis=1), hits.argmax(axis=1)
        found[pending[hit]] = at[hit, first[hit]]
        pending = pending[~hit]
    return found


def _interest(c: _Contracts, u: _Underlying, when: np.ndarray) -> Floats:
    """Open interest at the end of session `when` (0 where -1): grows with age, gathers on round strikes."""
    at = np.maximum(when, 0)
    years = np.maximum((c.expiration.astype("i8") + 719163) - u.ordinals[at], 1) / 365.0
    distance = np.log(c.strike / u.centre[at]) / (u.calm[at] * np.sqrt(np.minimum(years, 0.5)) + 0.05)
    otm = np.where(c.call, distance, -distance)
    bell = np.exp(-0.5 * ((otm - 0.55) / np.where(otm > 0.55, 1.15, 0.8)) ** 2)
    round_strike = np.where(
        c.strike % (c.step * 10) == 0, 4.0, np.where(c.strike % (c.step * 4) == 0, 2.2, 1.0)
    )
    tenor = np.where(c.leaps, 2.2, np.where(c.monthly, 2.8, 0.7))
    size = 260.0 * (max(u.dollars, 1e6) / 1e9) ** 0.55
    age = (u.ordinals[at] - c.listed).astype(float)
    ramp = 0.12 + 1.0 - np.exp(-np.maximum(age, 0) / np.where(c.monthly, 45.0, 14.0))
    week = u.ordinals[at] / 10.0
    knot = np.floor(week)
    here = normal(mix(c.ident, knot.astype(np.uint64)), 17)
    there = normal(mix(c.ident, (knot + 1).astype(np.uint64)), 17)
    wave = np.exp(0.16 * (here + (week - knot) * (there - here)))
    taste = np.exp(1.0 * normal(c.ident, 19))
    held = size * bell * round_strike * tenor * ramp * wave * taste + 9.0 * uniform(c.ident, 21) * ramp
    return np.where(when >= 0, np.floor(held), 0.0)


def _identity(symbol: str, c: _Contracts) -> dict[str, Any]:
    root = symbol.replace(".", "")
    stamps = [day.strftime("%y%m%d") for day in c.expiration.tolist()]
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


def _day_bars(c: _Contracts, u: _Underlying, iv: Floats, activity: _Activity) -> dict[str, Any]:
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


def _greeks(c: _Contracts, u: _Underlying, iv: Floats, now: Priced) -> dict[str, Floats]:
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
    values = dict(zip(GREEKS, (delta, gamma, now.theta, vega), strict=True))
    greeks = {name: np.where(missing, np.nan, value) for name, value in values.items()}
    return greeks | {"implied_volatility": np.where(without_iv, np.nan, iv)}


def _underlying_price(
    seed: int, symbol: str, session: date, u: _Underlying, count: int
) -> list[float | None]:
    """An after-hours print near the close; now and then null, now and then not in the plan."""
    key = mix(digest(seed, symbol, session, "print"))
    kind = float(uniform(key, 1))
    price = round(float(u.spot[-1]) * float(np.exp(0.002 * normal(key, 3))), 2)
    return [None if kind < 0.08 else float("nan") if kind < 0.12 else price] * count


def _assemble(columns: dict[str, Any]) -> pl.DataFrame:
    count = len(columns["contract"])
    present = [
        pl.Series(name, columns[name], dtype=kind, strict=False)
        if name in columns
        else pl.Series(name, [None], dtype=kind).new_from_index(0, count)
        for name, kind in CHAIN_SCHEMA.items()
    ]
    frame = pl.DataFrame(present)
    optional = [n for n, kind in CHAIN_SCHEMA.items() if kind == pl.Float64 and n != "underlying_price"]
    return frame.with_columns(pl.col(optional).fill_nan(None)).sort("contract")


def _with_oddities(chain: pl.DataFrame, seed: int, symbol: str, session: date) -> pl.DataFrame:
    """Contracts left over from a corporate action, and rows that appear on two pages."""
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
    if digest(seed, symbol, session, "duplicates") % 4 == 0 and chain.height > _PAGE:
        again = chain.slice(_PAGE - 1, 1).with_columns(
            pl.lit(None, pl.Float64).alias(name) for name in GREEKS
        )
        chain = pl.concat([chain.head(_PAGE), again, chain.slice(_PAGE)])
    return chain
