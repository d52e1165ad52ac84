"""Dealer positioning from a stored chain: gamma exposure, walls, gamma flip, pressure index, and the chain's
daily summary.

Definitions: docs/domain.md, dealer positioning. Does not belong here: what a contract's exposure is and which
contracts count (exposure.py), re-pricing (flip.py), implied-volatility averages (volatility.py), cleaning (chain.py).
"""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import polars as pl

from kapman_metrics import greeks
from kapman_metrics.book import Array, Book, book_of
from kapman_metrics.documents import compact_json, finite, significant
from kapman_metrics.exposure import (
    EXCLUSIONS,
    LONGEST_DTE,
    PROXIMITY_WIDTH,
    WALL_REACH,
    Exposure,
    Strikes,
    Walls,
    by_strike,
    contract_exposure,
    counts_by_reason,
    exposure_of,
    walls,
)
from kapman_metrics.flip import REACH, Flips, gamma_flips
from kapman_metrics.volatility import average_iv

__all__ = ["DEALER_SCHEMA", "SIGN_CONVENTION", "contract_exposure", "dealer_metrics", "options_daily_summary"]

SIGN_CONVENTION = "calls +, puts -"
WALLS_KEPT = 3
NEUTRAL_DGPI = 10.0
FULL_CONTRACTS, LIMITED_CONTRACTS = 25, 5
EXPOSURE_DIGITS, PROFILE_DIGITS = 10, 6  # significant, in documents

DEALER_SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    "gex_total": pl.Float64(),
    "gex_net": pl.Float64(),
    "gamma_flip_level": pl.Float64(),
    "call_wall_primary": pl.Float64(),
    "call_wall_primary_oi": pl.Int64(),
    "put_wall_primary": pl.Float64(),
    "put_wall_primary_oi": pl.Int64(),
    "dgpi": pl.Float64(),
    "dealer_position": pl.String(),
    "dealer_metrics_json": pl.String(),
}

_STRIKE_COLUMNS = ("strike", "call_exposure", "put_exposure", "call_oi", "put_oi")

# what every document repeats, so that its numbers can be redone without this program
_CONVENTIONS: dict[str, Any] = {
    "sign_convention": SIGN_CONVENTION,
    "exposure_unit": "USD of delta per 1 % move",
    "rate": greeks.DEFAULT_RATE,
    "dividend_yield": greeks.DEFAULT_DIVIDEND_YIELD,
    "strike_columns": _STRIKE_COLUMNS,
    "days_per_year": greeks.DAYS_PER_YEAR,
    "shortest_days": greeks.SHORTEST_DAYS,
    "windows": {
        "dte": [0, LONGEST_DTE],
        "wall_reach": WALL_REACH,
        "proximity_width": PROXIMITY_WIDTH,
        "flip_reach": REACH,
        "neutral_dgpi": NEUTRAL_DGPI,
        "full_contracts": FULL_CONTRACTS,
        "limited_contracts": LIMITED_CONTRACTS,
    },
}


def dealer_metrics(chain: pl.DataFrame, spot: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """One row per symbol of the chain (CHAIN and SPOT frames), columns of `DEALER_SCHEMA`.

    gex_total = sum of |exposure|, gex_net = signed sum, both in dollars of delta per 1 % move; walls and
    gamma_flip_level in price; dgpi -100..100; dealer_position "long_gamma" | "short_gamma" | "neutral". Null:
    everything for a symbol without spot or without an eligible contract, a wall where no strike qualifies,
    the flip where net exposure keeps its sign within 25 % of spot. dealer_metrics_json holds the convention,
    the inputs, what was eligible and excluded and why, and the sums by strike from which every number can be redone.
    """
    with np.errstate(all="ignore"):
        found = exposure_of(book_of(chain, spot, as_of))
        sums = _sums(found)
        strikes = by_strike(found)
        sides = [walls(strikes, found.book.spots, kind) for kind in ("call", "put")]
        flipped = gamma_flips(found)
        documents = _documents(found, strikes, sides, sums, flipped, as_of)
    rows = [
        (symbol, *_columns(document)) for symbol, document in zip(found.book.symbols, documents, strict=True)
    ]
    return pl.DataFrame(rows, schema=DEALER_SCHEMA, orient="row")


def _columns(document: dict[str, Any]) -> tuple[Any, ...]:
    """The columns of a row after its symbol, out of its document."""
    primary = [document[side][0] if document[side] else None for side in ("call_walls", "put_walls")]
    levels = [
        value
        for wall in primary
        for value in ((wall["strike"], wall["open_interest"]) if wall else (None, None))
    ]
    names = ("gex_total", "gex_net", "gamma_flip_level")
    ends = (document["dgpi"], document["dealer_position"], compact_json(document))
    return (*(document[name] for name in names), *levels, *ends)


def _sums(found: Exposure) -> dict[str, list[float | None]]:
    """Per symbol: exposure in total, net, of calls, of puts, and near the price; null without an eligible contract."""
    rows = np.flatnonzero(found.eligible)
    owner, signed, weight = found.book.owner[rows], found.signed[rows], found.weight[rows]
    is_call = found.book.is_call[rows]
    parts = {
        "gex_total": np.abs(signed),
        "gex_net": signed,
        "gex_calls": np.where(is_call, signed, 0.0),
        "gex_puts": np.where(is_call, 0.0, signed),
        "dgpi_near_net": signed * weight,
        "dgpi_near_total": np.abs(signed) * weight,
    }
    symbols = len(found.book.symbols)
    counted = np.bincount(owner, minlength=symbols) > 0
    return {
        name: finite(np.where(counted, np.bincount(owner, values, minlength=symbols), np.nan))
        for name, values in parts.items()
    }


def _documents(
    found: Exposure,
    strikes: Strikes,
    sides: list[Walls],
    sums: dict[str, list[float | None]],
    flipped: Flips,
    as_of: date,
) -> list[dict[str, Any]]:
    book = found.book
    calls, puts = sides
    contracts = np.bincount(book.owner, minlength=len(book.symbols)).tolist()
    eligible = book.count(found.eligible).tolist()
    excluded = counts_by_reason(book, found.excluded, EXCLUSIONS)
    spots = finite(book.spots)
    strike_rows = _strike_rows(strikes)
    levels, repriced = finite(flipped.level), flipped.repriced.tolist()
    profiles = _profiles(flipped, spots)
    documents = []
    for owner, spot in enumerate(spots):
        own = {name: values[owner] for name, values in sums.items()}
        dgpi = _dgpi(own["dgpi_near_net"], own["dgpi_near_total"])
        documents.append(
            {
                **_CONVENTIONS,
                "as_of": as_of.isoformat(),
                "spot": spot,
                "usability": _usability(eligible[owner]),
                "contracts": contracts[owner],
                "contracts_eligible": eligible[owner],
                "contracts_excluded": excluded[owner],
                "contracts_repriced": repriced[owner],
                **own,
                "dgpi": dgpi,
                "dgpi_log": _dgpi_log(own["gex_net"]),
                "dealer_position": _position(dgpi),
                "gamma_flip_level": levels[owner],
                "gamma_flip_profile": profiles[owner],
                "gamma_flip_strike": _ladder_crossing(strikes, owner, spot),
                "call_walls": calls.of(owner, WALLS_KEPT),
                "put_walls": puts.of(owner, WALLS_KEPT),
                "call_wall_by_exposure": calls.strongest(owner),
                "put_wall_by_exposure": puts.strongest(owner),
                "strikes": strike_rows[strikes.rows(owner)],
            }
        )
    return documents


def _dgpi(net: float | None, total: float | None) -> float | None:
    # the share first: 100 x net / total may come out one rounding above 100
    return 100.0 * (net / total) if net is not None and total else None


def _position(dgpi: float | None) -> str | None:
    if dgpi is None:
        return None
    if abs(dgpi) < NEUTRAL_DGPI:
        return "neutral"
    return "long_gamma" if dgpi > 0 else "short_gamma"


def _usability(eligible: int) -> str:
    if eligible >= FULL_CONTRACTS:
        return "full"
    return "limited" if eligible >= LIMITED_CONTRACTS else "invalid"


def _dgpi_log(net: float | None) -> float | None:
    """The older form, kept for comparison; it saturates."""
    if net is None:
        return None
    return float(np.clip(np.sign(net) * 10.0 * np.log10(abs(net) + 1.0), -100.0, 100.0))


def _profiles(flipped: Flips, spots: list[float | None]) -> list[dict[str, Any] | None]:
    """Net exposure on the grid around spot, as the flip was looked for; prices are equally spaced."""
    symbols, steps = flipped.profile.shape
    numbers = significant(flipped.profile.ravel(), PROFILE_DIGITS)
    rows = (numbers[place * steps : (place + 1) * steps] for place in range(symbols))
    return [
        {"from": spot * (1.0 - REACH), "to": spot * (1.0 + REACH), "net_exposure": row}
        if repriced and spot
        else None
        for row, repriced, spot in zip(rows, flipped.repriced.tolist(), spots, strict=True)
    ]


def _ladder_crossing(strikes: Strikes, owner: int, spot: float | None) -> float | None:
    """Strike nearest spot at which net exposure summed from the lowest strike up changes sign."""
    rows = strikes.rows(owner)
    if spot is None or rows.start == rows.stop:
        return None
    running = np.cumsum(strikes.call_exposure[rows] + strikes.put_exposure[rows])
    signed = np.flatnonzero(running)
    crossed = signed[1:][np.diff(np.sign(running[signed])) != 0]
    if not crossed.size:
        return None
    levels = strikes.strike[rows][crossed]
    return float(levels[np.abs(levels - spot).argmin()])


def _strike_rows(strikes: Strikes) -> list[tuple[Any, ...]]:
    """The sums of every strike in the order of `_STRIKE_COLUMNS`, from which the totals, walls, pressure index and
    ladder crossing can be added up again.
    """
    exposures = (significant(x, EXPOSURE_DIGITS) for x in (strikes.call_exposure, strikes.put_exposure))
    held = (strikes.call_oi.tolist(), strikes.put_oi.tolist())
    return list(zip(strikes.strike.tolist(), *exposures, *held, strict=True))


def options_daily_summary(chain: pl.DataFrame, spot: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """One row per symbol of the chain: totals over all its stored contracts, walls and exposure over the
    eligible ones.

    symbol; total_call_oi, total_put_oi (null where no contract has one), total_call_volume, total_put_volume
    (contracts that traded in the session; 0 when none did); weighted_avg_iv (as average_iv of volatility.py);
    top_call_strike_1..3, top_put_strike_1..3, top_call_oi_1..3, top_put_oi_1..3 (walls, null without spot);
    total_call_gamma, total_put_gamma, total_call_delta, total_put_delta (greek x open interest x shares,
    summed: shares of delta, and of delta per dollar); calculated_gex, calculated_net_gex (gex_total, gex_net
    of `dealer_metrics`); contract_count, contracts_with_greeks.
    """
    with np.errstate(all="ignore"):
        found = exposure_of(book_of(chain, spot, as_of))
        book, sums = found.book, _sums(found)
        strikes = by_strike(found)
        sides = {"call": book.is_call, "put": ~book.is_call}
        columns: dict[str, Any] = {"symbol": book.symbols}
        for kind, side in sides.items():
            columns[f"total_{kind}_oi"] = _open_interest(book, side)
            columns[f"total_{kind}_volume"] = _whole(book.total(book.volume, side & ~np.isnan(book.volume)))
            columns |= _top(walls(strikes, book.spots, kind), kind, len(book.symbols))
            for greek in ("gamma", "delta"):
                columns[f"total_{kind}_{greek}"] = _held(book, greek, side)
        columns["weighted_avg_iv"] = average_iv(book)
    columns["calculated_gex"], columns["calculated_net_gex"] = sums["gex_total"], sums["gex_net"]
    columns["contract_count"] = book.count(np.ones(len(book.owner), bool)).tolist()
    columns["contracts_with_greeks"] = book.count(~np.isnan(book.gamma) & ~np.isnan(book.delta)).tolist()
    return pl.DataFrame({name: columns[name] for name in _SUMMARY_SCHEMA}, schema=_SUMMARY_SCHEMA)


_RANKS = range(1, WALLS_KEPT + 1)
_SUMMARY_SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    **{f"total_{kind}_oi": pl.Int64() for kind in ("call", "put")},
    **{f"total_{kind}_volume": pl.Int64() for kind in ("call", "put")},
    "weighted_avg_iv": pl.Float64(),
    **{f"top_call_strike_{rank}": pl.Float64() for rank in _RANKS},
    **{f"top_call_oi_{rank}": pl.Int64() for rank in _RANKS},
    **{f"top_put_strike_{rank}": pl.Float64() for rank in _RANKS},
    **{f"top_put_oi_{rank}": pl.Int64() for rank in _RANKS},
    **{f"total_{kind}_gamma": pl.Float64() for kind in ("call", "put")},
    **{f"total_{kind}_delta": pl.Float64() for kind in ("call", "put")},
    "calculated_gex": pl.Float64(),
    "calculated_net_gex": pl.Float64(),
    "contract_count": pl.Int64(),
    "contracts_with_greeks": pl.Int64(),
}


def _whole(values: Array) -> list[int | None]:
    return [None if value is None else round(value) for value in finite(values)]


def _open_interest(book: Book, side: Array) -> list[int | None]:
    """A chain with open interest but without contracts of one side has 0 there, not an unknown."""
    known = ~np.isnan(book.open_interest)
    return _whole(np.where(book.count(known) > 0, book.total(book.open_interest, known & side), np.nan))


def _held(book: Book, greek: str, side: Array) -> list[float | None]:
    values = getattr(book, greek) * book.open_interest * book.shares_per_contract
    known = side & ~np.isnan(values)
    return finite(np.where(book.count(known) > 0, book.total(values, known), np.nan))


def _top(found: Walls, kind: str, symbols: int) -> dict[str, list[Any]]:
    kept = [found.of(owner, WALLS_KEPT) for owner in range(symbols)]
    columns: dict[str, list[Any]] = {}
    for rank in _RANKS:
        nth = [walls[rank - 1] if len(walls) >= rank else None for walls in kept]
        columns[f"top_{kind}_strike_{rank}"] = [wall["strike"] if wall else None for wall in nth]
        columns[f"top_{kind}_oi_{rank}"] = [wall["open_interest"] if wall else None for wall in nth]
    return columns
