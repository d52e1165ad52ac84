"""The gamma flip: the price near spot at which the dealers' re-priced net gamma exposure is zero.

Every eligible contract with an implied volatility is re-priced by Black-Scholes-Merton on a grid of +-25 %
around spot; the crossing nearest spot is then located exactly. Does not belong here: which contracts are
eligible (dealer.py).
"""

from __future__ import annotations

import numpy as np
import polars as pl

from kapman_metrics import greeks
from kapman_metrics.normal import Array

REACH = 0.25
GRID_STEPS = 100  # 0.5 % of spot each
NEGLIGIBLE = 1e-9
_HALVINGS = 40


def gamma_flip_levels(
    eligible: pl.DataFrame,
    rate: float = greeks.DEFAULT_RATE,
    dividend_yield: float = greeks.DEFAULT_DIVIDEND_YIELD,
) -> dict[str, tuple[float | None, int]]:
    """symbol -> (flip price or None, contracts re-priced).

    `eligible`: rows of `dealer.contract_exposure` with an exposure. A contract without implied volatility
    cannot be re-priced and is left out (the count says how many were not).
    """
    usable = eligible.filter(pl.col("parity_iv") > 0)
    if usable.is_empty():
        return {}
    usable = usable.sort("symbol", maintain_order=True)
    lengths = usable.group_by("symbol", maintain_order=True).len()
    side = np.where((usable["option_type"] == "call").to_numpy(), 1.0, -1.0)
    size = side * (usable["open_interest"] * usable["shares_per_contract"]).to_numpy() * 0.01
    strike = usable["strike"].to_numpy()
    years = greeks.years_to_expiry(usable["dte"].to_numpy())
    volatility = usable["parity_iv"].to_numpy()
    spot = usable["spot"].to_numpy()

    levels: dict[str, tuple[float | None, int]] = {}
    start = 0
    for symbol, count in lengths.iter_rows():
        part = slice(start, start + count)
        start += count
        book = _Book(strike[part], years[part], volatility[part], size[part], rate, dividend_yield)
        levels[symbol] = (_nearest_crossing(book, float(spot[part][0])), count)
    return levels


class _Book:
    """Contracts of one symbol; knows the net exposure at any price of the underlying."""

    def __init__(
        self, strike: Array, years: Array, volatility: Array, size: Array, rate: float, dividend_yield: float
    ) -> None:
        deviation = volatility * np.sqrt(years)
        drift = (rate - dividend_yield + 0.5 * volatility**2) * years
        self._inverse_deviation = 1.0 / deviation
        # d1 = (ln price + offset) / deviation
        self._offset = drift - np.log(strike)
        self._scale = size * np.exp(-dividend_yield * years) * self._inverse_deviation / np.sqrt(2.0 * np.pi)

    def net_exposure(self, prices: Array) -> Array:
        """Signed exposure at each price: gamma x size x price^2, with gamma = density(d1) / (price x
        deviation).
        """
        d1 = (np.log(prices)[:, None] + self._offset) * self._inverse_deviation
        return prices * (np.exp(-0.5 * d1 * d1) @ self._scale)


def _nearest_crossing(book: _Book, spot: float) -> float | None:
    prices = spot * np.linspace(1.0 - REACH, 1.0 + REACH, GRID_STEPS + 1)
    net = book.net_exposure(prices)
    # far from every strike the density underflows: what is left there has no meaningful sign
    felt = np.flatnonzero(np.abs(net) > NEGLIGIBLE * np.abs(net).max())
    before, after = felt[:-1], felt[1:]
    crossed = np.flatnonzero(np.sign(net[before]) != np.sign(net[after]))
    levels = [_locate(book, prices[before[i]], prices[after[i]]) for i in crossed]
    return min(levels, key=lambda level: (abs(level - spot), level), default=None)


def _locate(book: _Book, low: float, high: float) -> float:
    below = float(np.sign(book.net_exposure(np.array([low]))[0]))
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        if float(np.sign(book.net_exposure(np.array([middle]))[0])) == below:
            low = middle
        else:
            high = middle
    return float(0.5 * (low + high))
