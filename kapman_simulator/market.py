"""The generated market: bars as traded, splits, tickers, and the campaigns that are hidden in them.

A pure function of seed and date: everything is generated forward from one fixed epoch, so a market that ends
later begins with the one that ends earlier. No clock is read and no option is priced here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

import numpy as np
import polars as pl

from kapman_resources.calendar import is_early_close, session_offset, sessions_between
from kapman_simulator.campaigns import skeleton
from kapman_simulator.noise import Floats, digest, normals, stream, students
from kapman_simulator.universe import SECTORS, WATCHLIST, Member, members

EPOCH = date(2023, 1, 3)
FRACTIONAL_SINCE = date(2026, 2, 23)  # the vendor reports fractional shares from here on

_BLOCK = 48  # symbols generated at once, which bounds memory
_FREEDOM = 5.0
_ALPHA, _BETA = 0.09, 0.89
_EARNINGS_EVERY = 63
_TURNOVER_DAYS = 150  # sessions in which as many shares change hands as are outstanding
_SIC = ("7372", "4813", "5411", "1000", "1311", "6022", "2834", "3560", "5331", "4911", "6798")  # of a sector
_SPLIT_NOTICE = 15  # sessions from a price that asks for a split to its execution

BAR_SCHEMA = {
    "symbol": pl.String, "date": pl.Date, "open": pl.Float64, "high": pl.Float64, "low": pl.Float64,
    "close": pl.Float64, "volume": pl.Float64, "vwap": pl.Float64, "transactions": pl.Int64,
}  # fmt: skip
SPLIT_SCHEMA = {
    "symbol": pl.String, "execution_date": pl.Date, "split_from": pl.Float64, "split_to": pl.Float64,
}  # fmt: skip
TICKER_SCHEMA = {
    "symbol": pl.String, "name": pl.String, "type": pl.String, "primary_exchange": pl.String,
    "active": pl.Boolean, "list_date": pl.Date, "delisted": pl.Date,
    "composite_figi": pl.String, "sic_code": pl.String, "shares_outstanding": pl.Float64,
}  # fmt: skip


@dataclass(frozen=True)
class Market:
    """One seed's market from `first` to `last`; `history` always reaches back to the epoch."""

    seed: int
    first: date
    last: date
    sessions: tuple[date, ...]
    bars: pl.DataFrame
    splits: pl.DataFrame
    tickers: pl.DataFrame
    campaigns: pl.DataFrame  # symbol, date, event: what the generator put there
    history: pl.DataFrame = field(repr=False)
    members: dict[str, Member] = field(repr=False)  # of a re-used ticker the later company

    @cached_property
    def rows(self) -> dict[str, tuple[int, int]]:
        """Where a symbol's rows lie in `history`: (first row, number of rows)."""
        counts = self.history["symbol"].rle().struct.unnest()
        lengths = counts["len"].to_list()
        starts = np.concatenate(([0], np.cumsum(lengths)[:-1])).tolist() if lengths else []
        return dict(zip(counts["value"].to_list(), zip(starts, lengths, strict=True), strict=True))

    def history_of(self, symbol: str) -> pl.DataFrame:
        """All bars of one symbol since the epoch; empty for a symbol that never traded."""
        start, length = self.rows.get(symbol, (0, 0))
        return self.history.slice(start, length)


@dataclass(frozen=True)
class _Weather:
    """What all symbols share: sessions, the market's and the sectors' returns and volatilities."""

    sessions: list[date]
    market: Floats
    market_sigma: Floats
    sectors: Floats
    sector_sigma: Floats
    short_day: Floats
    fractional: np.ndarray


def generate(seed: int, last: date, symbols: int = 300, first: date | None = None) -> Market:
    """The market of `seed` up to and including `last`.

    `symbols` counts members, some of which are listed later or delisted earlier. Raises ValueError when the
    range holds no session or `symbols` is smaller than the fixed cast.
    """
    sessions = sessions_between(EPOCH, last)
    start = first or EPOCH
    if not sessions or start > sessions[-1]:
        raise ValueError(f"no session between {start} and {last}: the market begins on {EPOCH}")
    cast = members(seed, symbols)
    weather = _weather(seed, sessions)
    bars, splits, events = [], [], []
    for begin in range(0, len(cast), _BLOCK):
        block = cast[begin : begin + _BLOCK]
        frame, block_splits, block_events = _block(seed, block, weather)
        bars.append(frame)
        splits += block_splits
        events += block_events
    history = pl.concat(bars, rechunk=True)
    return Market(
        seed=seed,
        first=max(start, EPOCH),
        last=sessions[-1],
        sessions=tuple(day for day in sessions if day >= start),
        bars=history if first is None else history.filter(pl.col("date") >= start),
        splits=pl.DataFrame(splits, SPLIT_SCHEMA, orient="row").sort("execution_date", "symbol"),
        tickers=_tickers(cast, sessions),
        campaigns=pl.DataFrame(
            events, {"symbol": pl.String, "date": pl.Date, "event": pl.String}, orient="row"
        ).sort("symbol", "date"),
        history=history,
        members={member.symbol: member for member in cast},
    )


def _weather(seed: int, sessions: list[date]) -> _Weather:
    count = len(sessions)
    u = np.stack([stream(seed, "factor", k).random((count, 2)) for k in range(SECTORS + 1)], axis=1)
    shocks = students(u[:, :, 0], u[:, :, 1], _FREEDOM)
    base = np.array([0.0092, *([0.0062] * SECTORS)])
    returns, sigma = _garch(shocks, base)
    return _Weather(
        sessions=sessions,
        market=returns[:, 0] + 0.00035,
        market_sigma=sigma[:, 0],
        sectors=returns[:, 1:],
        sector_sigma=sigma[:, 1:],
        short_day=np.array([0.5 if is_early_close(day) else 1.0 for day in sessions]),
        fractional=np.array([day >= FRACTIONAL_SINCE for day in sessions]),
    )


def _garch(shocks: Floats, base: Floats) -> tuple[Floats, Floats]:
    """GARCH(1, 1) returns (sessions x series) around the daily volatilities `base`; capped at 16 x."""
    variance = base**2
    long_run = variance * (1 - _ALPHA - _BETA)
    ceiling = 16 * variance
    returns, sigma = np.empty_like(shocks), np.empty_like(shocks)
    for t, shock in enumerate(shocks):
        sigma[t] = np.sqrt(variance)
        returns[t] = sigma[t] * shock
        variance = np.minimum(long_run + _ALPHA * returns[t] ** 2 + _BETA * variance, ceiling)
    return returns, sigma


def _smooth(shocks: Floats, memory: float) -> Floats:
    level, path = np.zeros(shocks.shape[1]), np.empty_like(shocks)
    for t, shock in enumerate(shocks):
        level = memory * level + shock
        path[t] = level
    return path


def _block(
    seed: int, block: list[Member], weather: _Weather
) -> tuple[pl.DataFrame, list[tuple[str, date, float, float]], list[tuple[str, date, str]]]:
    count, width = len(weather.sessions), len(block)
    u = np.empty((count, width, 10))
    for j, member in enumerate(block):
        u[:, j, :] = stream(seed, "bars", member.identity).random((count, 10))
    logs, volume = _random_bars(seed, block, weather, u)
    events: list[tuple[str, date, str]] = []
    for j, member in enumerate(block):
        if member.campaigns:
            events += _campaign_bars(seed, member, weather, u[:, j, :8], logs[:, :, j], volume[:, j])
    factor, splits = _split_factors(block, weather.sessions, logs[3], u[:, :, 9])
    columns = _as_traded(block, weather, logs, volume, factor, u)
    traded = (u[:, :, 6] >= np.array([m.silent for m in block])) & _listed(block, count)
    return _frame(block, weather.sessions, columns, traded), splits, events


def _listed(block: list[Member], count: int) -> np.ndarray:
    t = np.arange(count)[:, None]
    return (t >= np.array([m.listed for m in block])) & (t < np.array([m.delisted for m in block]))


def _random_bars(seed: int, block: list[Member], weather: _Weather, u: Floats) -> tuple[Floats, Floats]:
    """Log open, high, low, close (4 x sessions x symbols, before splits) and share volumes."""
    own = np.array([m.idiosyncratic for m in block])
    beta, load = np.array([m.beta for m in block]), np.array([m.sector_load for m in block])
    sector = [m.sector for m in block]
    idio, idio_sigma = _garch(students(u[:, :, 0], u[:, :, 1], _FREEDOM), own)
    jump = _earnings(seed, block, u, own)
    sigma = np.sqrt(
        idio_sigma**2
        + (beta * weather.market_sigma[:, None]) ** 2
        + (load * weather.sector_sigma[:, sector]) ** 2
    )
    move = beta * weather.market[:, None] + load * weather.sectors[:, sector] + idio + jump - sigma**2 / 2
    gap_noise, volume_noise = normals(u[:, :, 2], u[:, :, 3])
    gap = 0.3 * (move - jump) + 0.2 * sigma * gap_noise + jump
    close = np.log([m.price for m in block]) + np.cumsum(move, axis=0)
    opened = close - move + gap
    inside = move - gap
    # extremes of a Brownian path that is pinned at open and close
    high = opened + (inside + np.sqrt(inside**2 - 2 * (0.75 * sigma) ** 2 * np.log1p(-u[:, :, 4]))) / 2
    low = opened + (inside - np.sqrt(inside**2 - 2 * (0.75 * sigma) ** 2 * np.log1p(-u[:, :, 5]))) / 2
    typical = np.sqrt(own**2 + (beta * 0.0092) ** 2 + (load * 0.0062) ** 2)
    stretch = np.log(np.maximum(high - low, 0.1 * typical) / (1.2 * typical))
    tide = _smooth(0.16 * volume_noise, 0.8)
    shares = np.array([m.dollars / m.price for m in block])
    attention = np.where(jump != 0, 0.9, 0.0)
    volume = shares * np.exp(0.55 * stretch + tide + attention) * weather.short_day[:, None]
    return np.stack([opened, high, low, close]), volume


def _earnings(seed: int, block: list[Member], u: Floats, own: Floats) -> Floats:
    """Overnight jumps once a quarter, on a day of its own for each symbol."""
    t = np.arange(len(u))[:, None]
    phase = np.array([digest(seed, "earnings", m.identity) % _EARNINGS_EVERY for m in block])
    due = (t % _EARNINGS_EVERY == phase) & np.array([m.earnings for m in block])
    return np.where(due, 2.2 * own * normals(u[:, :, 8], u[:, :, 7])[0], 0.0)


def _campaign_bars(
    seed: int, member: Member, weather: _Weather, u: Floats, logs: Floats, volume: Floats
) -> list[tuple[str, date, str]]:
    """Replace one symbol's random bars by its campaigns (in place); returns its labelled bars."""
    place = (WATCHLIST.index(member.symbol) * 5 + digest(seed, "offset")) % len(WATCHLIST)
    pulse = (weather.market - 0.00035) / weather.market_sigma
    unit = member.idiosyncratic
    bars = skeleton(seed, member.symbol, place, len(WATCHLIST), unit, u, pulse)
    home = np.log(member.price)
    logs[:] = home + unit * np.stack([bars.open, bars.high, bars.low, bars.close])
    volume[:] = member.dollars / member.price * bars.volume * weather.short_day
    return [(member.symbol, weather.sessions[at], event) for at, event in bars.events]


def _split_factors(
    block: list[Member], sessions: list[date], close: Floats, luck: Floats
) -> tuple[Floats, list[tuple[str, date, float, float]]]:
    """Cumulative new shares per original share (sessions x symbols), and the splits, announced ones too."""
    factor, splits = np.ones_like(close), []
    for j, member in enumerate(block):
        t = max(member.listed, 0)
        while True:
            price = np.exp(close[t:, j]) / factor[-1, j]
            asking = np.flatnonzero((price > member.split_above) | (price < 1.1))
            if not len(asking) or member.kind in ("WARRANT", "UNIT"):
                break
            at = t + int(asking[0])
            old, new = _ratio(float(price[asking[0]]), member.split_above, float(luck[at, j]))
            t = at + _SPLIT_NOTICE
            if t >= min(member.delisted, 10**8):
                break
            executed = sessions[t] if t < len(sessions) else session_offset(sessions[at], _SPLIT_NOTICE)
            splits.append((member.symbol, executed, float(old), float(new)))
            if t >= len(sessions):
                break
            factor[t:, j] *= new / old
    return factor, splits


def _ratio(price: float, ceiling: float, luck: float) -> tuple[int, int]:
    if price > ceiling:
        return ((1, 2), (1, 3), (1, 4), (1, 5), (1, 10), (2, 3))[int(luck * 6)]
    return ((10, 1), (15, 1), (20, 1), (25, 1), (8, 1))[int(luck * 5)]


def _as_traded(
    block: list[Member], weather: _Weather, logs: Floats, volume: Floats, factor: Floats, u: Floats
) -> dict[str, Floats]:
    prices = np.exp(logs) / factor
    digits = np.where(prices[3] >= 1.0, 100.0, 10_000.0)
    opened, high, low, close = np.maximum(np.round(prices * digits), 1.0) / digits
    vwap = np.clip((high + low + 2 * close) / 4 + 0.1 * (u[:, :, 7] - 0.5) * (high - low), low, high)
    shares = volume * factor
    fractional = np.array([m.fractional for m in block])[None, :] & weather.fractional[:, None]
    shares = np.where(fractional, np.round(shares, 6), np.maximum(np.round(shares), 1.0))
    trades = np.maximum(1, np.round(shares / (60.0 + 80.0 * u[:, :, 8])))
    return {
        "open": opened, "high": high, "low": low, "close": close,
        "volume": shares, "vwap": np.round(vwap, 4), "transactions": trades,
    }  # fmt: skip


def _frame(
    block: list[Member], sessions: list[date], columns: dict[str, Floats], traded: np.ndarray
) -> pl.DataFrame:
    keep = traded.T  # symbol-major, so that the frame is sorted by symbol and date
    who, when = np.nonzero(keep)
    names = pl.Series("symbol", [m.symbol for m in block], pl.String)
    days = pl.Series("date", sessions, pl.Date)
    return pl.DataFrame(
        [names.gather(who), days.gather(when), *(pl.Series(k, v.T[keep]) for k, v in columns.items())]
    ).cast({"transactions": pl.Int64})


def _tickers(cast: list[Member], sessions: list[date]) -> pl.DataFrame:
    rows = []
    for member in cast:
        if member.listed < len(sessions):
            gone = sessions[member.delisted] if member.delisted < len(sessions) else None
            since = sessions[member.listed] if member.listed else None
            shares = float(round(_TURNOVER_DAYS * member.dollars / member.price))
            rows.append(
                (member.symbol, member.name, member.kind, member.exchange, gone is None, since, gone,
                 member.composite_figi, _SIC[member.sector] if member.earnings else None, shares)
            )  # fmt: skip
    return pl.DataFrame(rows, TICKER_SCHEMA, orient="row")
