"""Gamma exposure of every contract, which contracts count and why others do not, its sums by strike, and walls.

Exposure = gamma x open interest x shares x spot^2 x 0.01: dollars of delta per 1 % move of the underlying, calls +,
puts - (dealers long the calls, short the puts). Definitions: docs/domain.md, dealer positioning. Does not belong
here: what a snapshot says of a symbol (dealer.py), the re-priced flip (flip.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TypedDict

import numpy as np
import polars as pl

from kapman_metrics.book import Array, Book, book_of, in_order
from kapman_metrics.frames import CHAIN_SCHEMA, with_schema

LONGEST_DTE = 90
WALL_REACH = 0.20  # walls stand within this share of spot
PROXIMITY_WIDTH = 0.05  # standard deviation of the proximity weight, as a share of spot

# in this order: a contract is counted under the first reason that excludes it
EXCLUSIONS = ("not_standard", "not_live", "days_to_expiry", "no_gamma", "no_open_interest", "no_spot")
ELIGIBLE = -1


@dataclass(frozen=True)
class Exposure:
    """One element a contract of `book`: `excluded` (place in `EXCLUSIONS`, or `ELIGIBLE`), `signed` (dollars of delta
    per 1 % move, 0 where excluded), `weight` (proximity of the strike to spot, 0..1, NaN without spot).
    """

    book: Book
    excluded: Array
    signed: Array
    weight: Array

    @property
    def eligible(self) -> Array:
        return self.excluded == ELIGIBLE


def exposure_of(book: Book) -> Exposure:
    """The exposure of every contract of the book."""
    faults = (
        ~book.is_standard,
        ~book.is_live,
        ~((book.dte >= 0) & (book.dte <= LONGEST_DTE)),
        np.isnan(book.gamma),
        ~(book.open_interest > 0),
        np.isnan(book.spot),
    )
    excluded = first_fault(faults)
    side = np.where(book.is_call, 1.0, -1.0)
    size = book.gamma * book.open_interest * book.shares_per_contract * book.spot**2 * 0.01
    weight = np.exp(-0.5 * (book.moneyness() / PROXIMITY_WIDTH) ** 2)
    return Exposure(book, excluded, np.where(excluded == ELIGIBLE, side * size, 0.0), weight)


def first_fault(faults: tuple[Array, ...]) -> Array:
    """Place of the first mask that is true for each element, `ELIGIBLE` where none is."""
    found = np.full(len(faults[0]), ELIGIBLE, dtype=np.int8)
    for place in reversed(range(len(faults))):
        found[faults[place]] = place
    return found


def counts_by_reason(book: Book, codes: Array, reasons: tuple[str, ...]) -> list[dict[str, int]]:
    """For each symbol: how many contracts fell out under each reason."""
    kinds = len(reasons)
    out = codes != ELIGIBLE
    cells = np.bincount(book.owner[out] * kinds + codes[out], minlength=len(book.symbols) * kinds)
    return [dict(zip(reasons, row, strict=True)) for row in cells.reshape(-1, kinds).tolist()]


def contract_exposure(chain: pl.DataFrame, spot: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """The CHAIN frame sorted by symbol and contract, with what exposure is made of.

    Added: `spot`, `dte`, `excluded` (first reason of `EXCLUSIONS`, null when eligible), `exposure` (signed
    dollars of delta per 1 % move, null when excluded), `weight` (proximity of the strike to spot, 0..1).
    """
    found = exposure_of(book_of(chain, spot, as_of))
    reason = pl.Series(found.excluded).replace_strict(
        list(range(len(EXCLUSIONS))), EXCLUSIONS, default=None, return_dtype=pl.String
    )
    return (
        in_order(with_schema(chain, CHAIN_SCHEMA, "the chain"))
        .with_columns(
            spot=pl.Series(found.book.spot).fill_nan(None),
            dte=pl.Series(found.book.dte, dtype=pl.Int64),
            excluded=reason,
            exposure=pl.Series(found.signed),
            weight=pl.Series(found.weight).fill_nan(None),
        )
        .with_columns(exposure=pl.when(pl.col("excluded").is_null()).then("exposure"))
    )


@dataclass(frozen=True)
class Strikes:
    """Eligible sums by strike, sorted by symbol and strike; puts' exposure is negative. `start[i]:start[i + 1]` are
    the rows of symbol i.
    """

    owner: Array
    start: Array
    strike: Array
    call_exposure: Array
    put_exposure: Array
    call_oi: Array
    put_oi: Array

    def rows(self, owner: int) -> slice:
        """Where the strikes of a symbol stand."""
        return slice(int(self.start[owner]), int(self.start[owner + 1]))


def by_strike(found: Exposure) -> Strikes:
    """Sums of the eligible contracts of each strike."""
    book = found.book
    rows = np.flatnonzero(found.eligible)
    rows = rows[np.lexsort((book.strike[rows], book.owner[rows]))]
    owner, strike, is_call = book.owner[rows], book.strike[rows], book.is_call[rows]
    held, signed = book.open_interest[rows], found.signed[rows]
    first = np.flatnonzero((np.diff(owner, prepend=-1) != 0) | (np.diff(strike, prepend=0.0) != 0))

    def total(values: Array, side: Array) -> Array:
        return np.add.reduceat(np.where(side, values, 0.0), first) if len(first) else np.empty(0)

    return Strikes(
        owner=owner[first],
        start=np.searchsorted(owner[first], np.arange(len(book.symbols) + 1)),
        strike=strike[first],
        call_exposure=total(signed, is_call),
        put_exposure=total(signed, ~is_call),
        call_oi=np.rint(total(held, is_call)).astype(np.int64),
        put_oi=np.rint(total(held, ~is_call)).astype(np.int64),
    )


class Wall(TypedDict):
    """A strike in dollars, its open interest in contracts, its exposure unsigned."""

    strike: float
    open_interest: int
    exposure: float


@dataclass(frozen=True)
class Walls:
    """Strikes of one side that can be walls, sorted by symbol; of each symbol the most open interest first, ties to
    the strike nearer spot. `exposure` is unsigned. `start[i]:start[i + 1]` are the rows of symbol i.
    """

    start: Array
    strike: Array
    open_interest: Array
    exposure: Array
    distance: Array  # of the strike from spot

    def of(self, owner: int, most: int) -> list[Wall]:
        """The first `most` walls of a symbol."""
        stop = min(int(self.start[owner + 1]), int(self.start[owner]) + most)
        return [self._row(row) for row in range(int(self.start[owner]), stop)]

    def strongest(self, owner: int) -> Wall | None:
        """The wall of a symbol with the most exposure; ties go to the strike nearer spot."""
        rows = slice(int(self.start[owner]), int(self.start[owner + 1]))
        if rows.start == rows.stop:
            return None
        return self._row(rows.start + int(np.lexsort((self.distance[rows], -self.exposure[rows]))[0]))

    def _row(self, row: int) -> Wall:
        return {
            "strike": float(self.strike[row]),
            "open_interest": int(self.open_interest[row]),
            "exposure": float(self.exposure[row]),
        }


def walls(strikes: Strikes, spots: Array, option_type: str) -> Walls:
    """Calls at or above spot, puts at or below, within `WALL_REACH` of spot, by open interest of eligible contracts."""
    spot = spots[strikes.owner]
    is_call = option_type == "call"
    held = strikes.call_oi if is_call else strikes.put_oi
    exposure = strikes.call_exposure if is_call else -strikes.put_exposure
    beyond = strikes.strike >= spot if is_call else strikes.strike <= spot
    found = np.flatnonzero((held > 0) & beyond & (np.abs(strikes.strike / spot - 1.0) <= WALL_REACH))
    distance = np.abs(strikes.strike - spot)
    ranked = found[np.lexsort((distance[found], -held[found], strikes.owner[found]))]
    start = np.searchsorted(strikes.owner[ranked], np.arange(len(spots) + 1))
    return Walls(start, strikes.strike[ranked], held[ranked], exposure[ranked], distance[ranked])
