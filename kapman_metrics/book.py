"""A chain as arrays: what dealer and volatility metrics read of every contract of all symbols, in one fixed order.

Sums over the order symbol, contract give the same bytes however the rows came. Does not belong here: which
contracts count for what (exposure.py, volatility.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from kapman_metrics.frames import CHAIN_SCHEMA, with_schema

Array = np.ndarray

_READ = (
    "symbol", "contract", "expiration", "strike", "option_type", "volume", "open_interest", "implied_volatility",
    "delta", "gamma", "shares_per_contract", "is_standard", "is_live",
)  # fmt: skip
_NUMBERS = (
    "strike",
    "volume",
    "open_interest",
    "implied_volatility",
    "delta",
    "gamma",
    "shares_per_contract",
)
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Book:
    """`symbols` sorted, `spots` one a symbol; all else one element a contract, sorted by symbol and contract.

    Prices in dollars, `dte` in calendar days, NaN where the chain has no number (`spot`: no price above 0).
    `owner` is the contract's place among the symbols.
    """

    symbols: list[str]
    spots: Array
    owner: Array
    spot: Array
    dte: Array
    is_call: Array
    is_standard: Array
    is_live: Array
    strike: Array
    volume: Array
    open_interest: Array
    implied_volatility: Array
    delta: Array
    gamma: Array
    shares_per_contract: Array

    def count(self, chosen: Array) -> Array:
        """Chosen contracts (mask) of each symbol."""
        return np.bincount(self.owner, chosen, minlength=len(self.symbols)).astype(np.int64)

    def total(self, values: Array, chosen: Array) -> Array:
        """Sum of the values of the chosen contracts (mask) of each symbol, 0 where there are none."""
        return np.bincount(self.owner, np.where(chosen, values, 0.0), minlength=len(self.symbols))

    def moneyness(self) -> Array:
        """strike / spot - 1, NaN without spot."""
        return self.strike / self.spot - 1.0


def in_order(chain: pl.DataFrame) -> pl.DataFrame:
    """The chain's rows in the order of a book."""
    symbol, contract = pl.col("symbol"), pl.col("contract")
    follows = (symbol > symbol.shift()) | ((symbol == symbol.shift()) & (contract >= contract.shift()))
    # stored chains come sorted, and sorting 125,000 rows of text again costs more than the metrics
    return chain if chain.select(follows.all()).item() else chain.sort("symbol", "contract")


def book_of(chain: pl.DataFrame, spot: pl.DataFrame, as_of: date) -> Book:
    """The book of a CHAIN and a SPOT frame (symbol, spot: of several rows the last counts).

    Raises ValueError naming the columns that the chain lacks; prices of the contracts are not asked for.
    """
    rows = in_order(with_schema(chain, {name: CHAIN_SCHEMA[name] for name in _READ}, "the chain"))
    runs = rows["symbol"].rle().struct
    symbols, lengths = runs.field("value").to_list(), runs.field("len").to_numpy()
    prices = {name: price for name, price in spot.select("symbol", "spot").iter_rows() if _is_price(price)}
    spots = np.array([prices.get(symbol, np.nan) for symbol in symbols], dtype=float)
    owner = np.repeat(np.arange(len(symbols)), lengths)
    flags = {name: rows[name].fill_null(False).to_numpy() for name in ("is_standard", "is_live")}
    return Book(
        symbols=symbols,
        spots=spots,
        owner=owner,
        spot=spots[owner],
        dte=rows["expiration"].to_physical().to_numpy() - (as_of - _EPOCH).days,
        is_call=(rows["option_type"] == "call").to_numpy(),
        **flags,
        **{name: rows[name].to_numpy() for name in _NUMBERS},
    )


def _is_price(value: float | None) -> bool:
    return value is not None and 0.0 < value < float("inf")
