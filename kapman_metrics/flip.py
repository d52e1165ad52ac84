"""The gamma flip: the price near spot at which the dealers' re-priced net gamma exposure is zero.

Every eligible contract with an implied volatility is re-priced by Black-Scholes-Merton on a grid of +-25 % around
spot; the crossing nearest spot is then located exactly. Does not belong here: which contracts are eligible
(exposure.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from kapman_metrics import greeks
from kapman_metrics.book import Array, Book
from kapman_metrics.exposure import Exposure

REACH = 0.25
GRID_STEPS = 100  # 0.5 % of spot each
NEGLIGIBLE = 1e-9
RELATIVE_PRECISION = 1e-9  # of the last Newton step; what is left after it is its square
_MOST_STEPS = 60


@dataclass(frozen=True)
class Flips:
    """One element a symbol: `level`, the flip in dollars, NaN where net exposure keeps its sign; `repriced`, contracts
    that could be re-priced; `profile` [symbols x grid], net exposure (dollars of delta per 1 % move) at the prices
    spot x `grid()`, NaN without contracts.
    """

    level: Array
    repriced: Array
    profile: Array


def grid() -> Array:
    """The prices at which a book is re-priced, as shares of spot."""
    return np.linspace(1.0 - REACH, 1.0 + REACH, GRID_STEPS + 1)


def gamma_flips(
    found: Exposure,
    rate: float = greeks.DEFAULT_RATE,
    dividend_yield: float = greeks.DEFAULT_DIVIDEND_YIELD,
) -> Flips:
    """The flip of every symbol of the book.

    A contract without implied volatility takes that of the other type at its strike and expiry; without one there
    either it cannot be re-priced and is left out (`repriced` counts those that were).
    """
    volatility = _volatility(found)
    book, rows = found.book, np.flatnonzero(found.eligible & (volatility > 0))
    owner, volatility, years = book.owner[rows], volatility[rows], greeks.years_to_expiry(book.dte[rows])
    size = (
        np.where(book.is_call, 0.01, -0.01)[rows] * book.open_interest[rows] * book.shares_per_contract[rows]
    )
    # density(d1) = exp(-x^2) with x = ln(price) * slope + offset: the factor 1 / sqrt(2) is in both
    slope = np.sqrt(0.5) / (volatility * np.sqrt(years))
    drift = (rate - dividend_yield + 0.5 * volatility**2) * years
    offset = (drift - np.log(book.strike[rows])) * slope
    scale = size * np.exp(-dividend_yield * years) * slope / np.sqrt(np.pi)
    curves = _NetExposure(owner, slope, offset, scale)
    repriced = np.bincount(owner, minlength=len(book.symbols))
    prices = book.spots[:, None] * grid()
    profile = curves.on_grid(prices, repriced)
    return Flips(_nearest_crossings(curves, prices, profile, book.spots), repriced, profile)


def _volatility(found: Exposure) -> Array:
    """Implied volatility of each contract, where it is missing that of its twin: put and call of one strike share it
    by parity, and vendors omit it on the side in the money.
    """
    book = found.book
    volatility = book.implied_volatility
    bare = np.flatnonzero(found.eligible & ~(volatility > 0))
    if not bare.size:
        return volatility
    twins = _twin_frame(book, np.flatnonzero(volatility > 0)).group_by("owner", "dte", "strike", "standard")
    known = _twin_frame(book, bare).join(
        twins.agg(pl.col("volatility").max()),
        on=["owner", "dte", "strike", "standard"],
        how="left",
        maintain_order="left",
    )
    filled = volatility.copy()
    filled[bare] = known["volatility_right"].to_numpy()
    return filled


def _twin_frame(book: Book, rows: Array) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "owner": book.owner[rows],
            "dte": book.dte[rows],
            "strike": book.strike[rows],
            "standard": book.is_standard[rows],
            "volatility": book.implied_volatility[rows],
        }
    )


@dataclass(frozen=True)
class _NetExposure:
    """Contracts sorted by their symbol; knows the signed exposure of each symbol at any price: gamma x size x price^2
    summed, with gamma = density(d1) / (price x deviation).
    """

    owner: Array
    slope: Array
    offset: Array
    scale: Array

    def on_grid(self, prices: Array, lengths: Array) -> Array:
        """Exposure at several prices of each symbol [symbols x prices]; NaN for a symbol without contracts."""
        net = np.full(prices.shape, np.nan)
        stops = np.cumsum(lengths).tolist()
        logs = np.log(prices)
        for place in np.flatnonzero(
            lengths
        ).tolist():  # the contracts of one symbol at a time stay in the cache
            part = slice(stops[place - 1] if place else 0, stops[place])
            x = np.multiply.outer(logs[place], self.slope[part])
            x += self.offset[part]
            np.multiply(x, x, out=x)
            np.negative(x, out=x)
            np.exp(x, out=x)
            np.matmul(x, self.scale[part], out=net[place])
        return net * prices

    def at(self, price: Array) -> tuple[Array, Array]:
        """Exposure at one price of each symbol, and its derivative, both divided by the price."""
        x = np.log(price)[self.owner] * self.slope + self.offset
        part = np.exp(-x * x) * self.scale
        net = np.bincount(self.owner, part, minlength=len(price))
        return net, -2.0 * np.bincount(self.owner, part * x * self.slope, minlength=len(price)) / price

    def of(self, wanted: Array) -> _NetExposure:
        """The curves of the wanted symbols (mask), numbered anew."""
        rows = np.flatnonzero(wanted[self.owner])
        renumbered = np.cumsum(wanted) - 1
        return _NetExposure(
            renumbered[self.owner[rows]], self.slope[rows], self.offset[rows], self.scale[rows]
        )


def _nearest_crossings(curves: _NetExposure, prices: Array, profile: Array, spots: Array) -> Array:
    """For each symbol the crossing nearest spot (of two as near, the lower), NaN where there is none."""
    # far from every strike the density underflows: what is left there has no meaningful sign
    felt = np.abs(profile) > NEGLIGIBLE * np.nanmax(np.abs(profile), axis=1, initial=0.0, keepdims=True)
    symbol, step = np.nonzero(felt)
    net = profile[symbol, step]
    low = np.flatnonzero((symbol[:-1] == symbol[1:]) & (np.sign(net[:-1]) != np.sign(net[1:])))
    symbol, net_low, net_high = symbol[low], net[low], net[low + 1]
    below, above = prices[symbol, step[low]], prices[symbol, step[low + 1]]
    guess = below - net_low * (above - below) / (net_high - net_low)
    order = np.lexsort((guess, np.abs(guess - spots[symbol]), symbol))
    best = order[np.diff(symbol[order], prepend=-1) != 0]
    levels = np.full(len(spots), np.nan)
    crossing = np.isin(np.arange(len(spots)), symbol)
    levels[crossing] = _located(
        curves.of(crossing), below[best], above[best], guess[best], net_high[best] > 0
    )
    return levels


def _located(curves: _NetExposure, low: Array, high: Array, guess: Array, rising: Array) -> Array:
    """Newton steps from the guesses, each kept inside its shrinking bracket, halving it otherwise."""
    price = guess
    for _ in range(_MOST_STEPS):
        net, slope = curves.at(price)
        below = (net > 0) != rising
        low, high = np.where(below, price, low), np.where(below, high, price)
        step = np.where(net == 0, 0.0, np.where(slope != 0, net / slope, np.inf))
        newton, middle = price - step, 0.5 * (low + high)
        following = np.where((newton >= low) & (newton <= high), newton, middle)
        arrived = np.abs(following - price) <= RELATIVE_PRECISION * price
        price = following
        if arrived.all():
            break
    return price
