"""Implied volatility of a chain: level, skew, term structure, put/call ratios, rank in history and regime.

All volatilities and spreads are decimals (0.35 = 35 %). Definitions: docs/domain.md, volatility metrics. Does
not belong here: indicators of price volatility (indicators/volatility.py), realised volatility (price.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from kapman_metrics.book import Array, Book, book_of
from kapman_metrics.documents import compact_json, finite
from kapman_metrics.exposure import ELIGIBLE, counts_by_reason, first_fault

SHORTEST_DTE = 7
HIGHEST_IV = 2.0
MONEYNESS = 0.20
SKEW_DELTA = 0.25
NEAR_TENOR, FAR_TENOR = 30, 90
# Where no two expiries bracket a tenor, the nearest one stands in if it is no farther than this many days.
TENOR_TOLERANCE = {NEAR_TENOR: 15, FAR_TENOR: 30}
HISTORY_SESSIONS = 252
SHORTEST_HISTORY = 20
REGIMES = ((25.0, "low"), (75.0, "normal"), (95.0, "high"))

# in this order: a contract is counted under the first reason that keeps it out of the average
_WITHOUT_USABLE_IV = ("not_standard", "not_live", "days_to_expiry", "no_iv", "iv_too_high")
EXCLUSIONS = (*_WITHOUT_USABLE_IV, "no_spot", "far_from_spot", "no_open_interest")

VOLATILITY_SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    "iv_skew_25d": pl.Float64(),
    "iv_term_structure": pl.Float64(),
    "put_call_ratio_oi": pl.Float64(),
    "put_call_ratio_volume": pl.Float64(),
    "average_iv": pl.Float64(),
    "iv_rank": pl.Float64(),
    "iv_percentile": pl.Float64(),
    "volatility_regime": pl.String(),
    "volatility_metrics_json": pl.String(),
}

_WINDOWS: dict[str, Any] = {
    "filter": {"dte_min": SHORTEST_DTE, "iv_max": HIGHEST_IV, "moneyness_max": MONEYNESS},
    "windows": {
        "skew_delta": SKEW_DELTA,
        "near_tenor": NEAR_TENOR,
        "far_tenor": FAR_TENOR,
        "near_tolerance": TENOR_TOLERANCE[NEAR_TENOR],
        "far_tolerance": TENOR_TOLERANCE[FAR_TENOR],
        "history_sessions": HISTORY_SESSIONS,
        "shortest_history": SHORTEST_HISTORY,
    },
}

Curve = list[tuple[int, float]]  # (days to expiry, implied volatility), ascending


def _first_exclusion(book: Book) -> Array:
    """For each contract the place in `EXCLUSIONS` of what keeps it out of the average, else `ELIGIBLE`."""
    volatility = book.implied_volatility
    return first_fault(
        (
            ~book.is_standard,
            ~book.is_live,
            ~(book.dte >= SHORTEST_DTE),
            ~(volatility > 0),
            volatility > HIGHEST_IV,
            np.isnan(book.spot),
            ~(np.abs(book.moneyness()) <= MONEYNESS),
            ~(book.open_interest > 0),
        )
    )


def average_iv(book: Book) -> list[float | None]:
    """Open-interest-weighted mean implied volatility of each symbol, over standard, live contracts with DTE >= 7,
    0 < IV <= 2, strike within 20 % of spot; None where there is no such contract.
    """
    held, weighted = _weights(book, _first_exclusion(book) == ELIGIBLE)
    return finite(weighted / held)


def _weights(book: Book, averaged: Array) -> tuple[Array, Array]:
    """Open interest of the averaged contracts of each symbol, and its sum of products with their volatility."""
    rows = np.flatnonzero(averaged)
    owner, held, symbols = book.owner[rows], book.open_interest[rows], len(book.symbols)
    product = held * book.implied_volatility[rows]
    return np.bincount(owner, held, minlength=symbols), np.bincount(owner, product, minlength=symbols)


@dataclass(frozen=True)
class _Expiries:
    """Contracts by expiry: of each contract of `book` its `group`, of each group the place of its symbol (`owner`)
    and its days to expiry (`dte`), ascending. `priced`: mask of the contracts with a usable volatility.
    """

    book: Book
    priced: Array
    group: Array
    owner: Array
    dte: Array

    def at_the_money(self) -> list[Curve]:
        """Implied volatility at spot, linear in strike between the strikes around spot (calls and puts of a strike
        averaged).
        """
        near = np.abs(self.book.moneyness()) <= MONEYNESS
        return self._interpolated(near, self.book.strike, self.book.spots[self.owner])

    def at_delta(self, side: Array) -> list[Curve]:
        """Implied volatility of calls or of puts (`side`: mask) at 25 delta, linear in |delta|.

        No moneyness filter: the delta itself says how far out the strike is, and of a volatile name the 25-delta
        strikes lie more than 20 % away.
        """
        chosen = side & ~np.isnan(self.book.delta)
        return self._interpolated(chosen, np.abs(self.book.delta), np.full(len(self.dte), SKEW_DELTA))

    def _interpolated(self, chosen: Array, axis: Array, at: Array) -> list[Curve]:
        """Implied volatility of the chosen contracts at `axis` = `at` (one a group), linear between the nearest below
        and above (contracts at one place averaged). Expiries without both are absent.
        """
        rows = np.flatnonzero(chosen & self.priced)
        group, place, volatility = self.group[rows], axis[rows], self.book.implied_volatility[rows]
        count = len(self.dte)

        def nearest(side: Array, pick: np.ufunc, start: float) -> tuple[Array, Array]:
            found = np.full(count, start)
            pick.at(found, group[side], place[side])
            there = np.flatnonzero(place == found[group])
            total = np.bincount(group[there], volatility[there], minlength=count)
            return found, total / np.bincount(group[there], minlength=count)

        x0, y0 = nearest(place <= at[group], np.maximum, -np.inf)
        x1, y1 = nearest(place >= at[group], np.minimum, np.inf)
        value = y0 + (y1 - y0) * np.where(x1 > x0, (at - x0) / (x1 - x0), 0.0)
        curves: list[Curve] = [[] for _ in self.book.symbols]
        for owner, dte, iv in zip(self.owner.tolist(), self.dte.tolist(), finite(value), strict=True):
            if iv is not None:
                curves[owner].append((dte, iv))
        return curves


def _expiries(book: Book, priced: Array) -> _Expiries:
    dte = np.maximum(book.dte, 0)  # what has expired is not priced
    longest = int(dte.max(initial=0)) + 1
    key = book.owner * longest + dte
    # contracts of one expiry stand together but for adjusted roots: few runs have to be sorted
    run = np.flatnonzero(np.diff(key, prepend=-1))
    expiries, of_run = np.unique(key[run], return_inverse=True)
    group = np.repeat(of_run, np.diff(run, append=len(key)))
    return _Expiries(book, priced, group, *np.divmod(expiries, longest))


def _at_tenor(curve: Curve, tenor: int) -> tuple[float | None, list[int]]:
    """(value at `tenor` days, expiries used): linear in days between the expiries around it, else the
    nearest within the tolerance.
    """
    below = [row for row in curve if row[0] <= tenor]
    above = [row for row in curve if row[0] >= tenor]
    if below and above:
        (d0, v0), (d1, v1) = below[-1], above[0]
        if d0 == d1:
            return v0, [d0]
        return v0 + (v1 - v0) * (tenor - d0) / (d1 - d0), [d0, d1]
    if curve:
        days, value = min(curve, key=lambda row: abs(row[0] - tenor))
        if abs(days - tenor) <= TENOR_TOLERANCE[tenor]:
            return value, [days]
    return None, []


@dataclass(frozen=True)
class History:
    """Earlier values of one measure: of each symbol (by its place among the symbols) the last `HISTORY_SESSIONS` that
    are known. `place[i]` is the symbol of `values[i]`.
    """

    place: Array
    values: Array
    symbols: int

    def ranked(self, today: list[float | None]) -> list[dict[str, Any]]:
        """For each symbol: `value` today, `sessions` before it, their `lowest` and `highest`, how many were `below`,
        and `rank` (place in that range) and `percentile` (share below), both 0-100.

        Rank and percentile are None without a value or below `SHORTEST_HISTORY` sessions; the rank also where all of
        them are equal. A value outside the range ranks 0 or 100.
        """
        now = np.array([np.nan if value is None else value for value in today], dtype=float)
        lowest, highest = np.full(self.symbols, np.inf), np.full(self.symbols, -np.inf)
        np.minimum.at(lowest, self.place, self.values)
        np.maximum.at(highest, self.place, self.values)
        sessions = np.bincount(self.place, minlength=self.symbols)
        below = np.bincount(self.place[self.values < now[self.place]], minlength=self.symbols)
        enough = (sessions >= SHORTEST_HISTORY) & ~np.isnan(now)
        with np.errstate(all="ignore"):
            rank = np.clip(100.0 * ((now - lowest) / (highest - lowest)), 0.0, 100.0)
            share_below = 100.0 * (below / sessions)
        columns = (
            today,
            sessions.tolist(),
            finite(lowest),
            finite(highest),
            below.tolist(),
            finite(np.where(enough & (highest > lowest), rank, np.nan)),
            finite(np.where(enough, share_below, np.nan)),
        )
        names = ("value", "sessions", "lowest", "highest", "below", "rank", "percentile")
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def regime(percentile: float | None) -> str | None:
    """low below 25, normal below 75, high below 95, else extreme."""
    if percentile is None:
        return None
    return next((name for limit, name in REGIMES if percentile < limit), "extreme")


def volatility_metrics(
    chain: pl.DataFrame, spot: pl.DataFrame, history: pl.DataFrame, as_of: date
) -> pl.DataFrame:
    """One row per symbol of the chain, columns of `VOLATILITY_SCHEMA`.

    `history`: symbol, date, average_iv, hv_20 of stored sessions. Only rows before `as_of` count as history
    (the last 252 with a value); of a row dated `as_of` only hv_20 is read, for the regime when implied
    history is too short. iv_skew_25d and iv_term_structure are decimals (positive: puts dearer, far dearer);
    ratios are put / call over the live contracts, null when the call side is 0; iv_rank and iv_percentile
    0-100, null below 20 earlier sessions. volatility_metrics_json holds the inputs from which each can be redone.
    """
    with np.errstate(all="ignore"):
        book = book_of(chain, spot, as_of)
        excluded = _first_exclusion(book)
        parts = (_level(book, excluded), _sides(book), _curves(book, excluded))
        standings = _standings(book.symbols, [level["average_iv"] for level in parts[0]], history, as_of)
    rows = []
    for symbol, price, *found in zip(book.symbols, finite(book.spots), *parts, standings, strict=True):
        document = {**_WINDOWS, "as_of": as_of.isoformat(), "spot": price}
        for part in found:
            document |= part
        numbers = (document.get(name) for name in tuple(VOLATILITY_SCHEMA)[1:-1])
        rows.append((symbol, *numbers, compact_json(document)))
    return pl.DataFrame(rows, schema=VOLATILITY_SCHEMA, orient="row")


def _level(book: Book, excluded: Array) -> list[dict[str, Any]]:
    """The average with what it is made of, and why the other contracts are not in it."""
    held, weighted = _weights(book, excluded == ELIGIBLE)
    columns = {
        "contracts": np.bincount(book.owner, minlength=len(book.symbols)).tolist(),
        "contracts_with_iv": book.count(book.implied_volatility > 0).tolist(),
        "contracts_averaged": book.count(excluded == ELIGIBLE).tolist(),
        "contracts_excluded": counts_by_reason(book, excluded, EXCLUSIONS),
        "averaged_oi": finite(held),
        "averaged_iv_x_oi": finite(weighted),
        "average_iv": finite(weighted / held),
    }
    return _records(columns)


def _sides(book: Book) -> list[dict[str, Any]]:
    """Puts against calls, over live contracts: what is left of a split's old strikes is no position of today."""
    symbols = len(book.symbols)
    kind = 4 * book.owner + 2 * book.is_live + book.is_call

    def totals(values: Array) -> Array:
        """[symbols x 4]: puts and calls not live, puts and calls live."""
        return np.bincount(kind, np.where(np.isnan(values), 0.0, values), minlength=4 * symbols).reshape(
            symbols, 4
        )

    reported = book.count(~np.isnan(book.open_interest)) > 0
    held = np.where(reported[:, None], totals(book.open_interest), np.nan)
    traded = totals(book.volume)
    names = ("put_oi_not_live", "call_oi_not_live", "put_oi", "call_oi")
    columns: dict[str, list[Any]] = {name: finite(column) for name, column in zip(names, held.T, strict=True)}
    columns |= {"put_volume": finite(traded[:, 2]), "call_volume": finite(traded[:, 3])}
    for name in ("oi", "volume"):
        pairs = zip(columns[f"put_{name}"], columns[f"call_{name}"], strict=True)
        columns[f"put_call_ratio_{name}"] = [puts / calls if calls else None for puts, calls in pairs]
    return _records(columns)


def _curves(book: Book, excluded: Array) -> list[dict[str, Any]]:
    """Skew at 30 days and term structure, with the volatilities and expiries they come from."""
    priced = (excluded == ELIGIBLE) | (excluded >= len(_WITHOUT_USABLE_IV))
    expiries = _expiries(book, priced)
    curves = expiries.at_delta(~book.is_call), expiries.at_delta(book.is_call), expiries.at_the_money()
    found = []
    for puts, calls, at_money in zip(*curves, strict=True):
        skew, of_skew = _skew(puts, calls)
        term, of_term = _term_structure(at_money)
        found.append(
            {
                "iv_skew_25d": skew,
                "skew": of_skew,
                "iv_term_structure": term,
                "term_structure": of_term,
            }
        )
    return found


def _skew(puts: Curve, calls: Curve) -> tuple[float | None, dict[str, Any] | None]:
    """IV(25-delta put) - IV(25-delta call) at 30 days, over the expiries that have both."""
    call_iv = dict(calls)
    both = [(days, put, call_iv[days]) for days, put in puts if days in call_iv]
    put_at, used = _at_tenor([(days, put) for days, put, _ in both], NEAR_TENOR)
    call_at, _ = _at_tenor([(days, call) for days, _, call in both], NEAR_TENOR)
    if put_at is None or call_at is None:
        return None, None
    document = {
        "put_25d_iv": put_at,
        "call_25d_iv": call_at,
        "dte_used": used,
        "by_expiry": [row for row in both if row[0] in used],
    }
    return put_at - call_at, document


def _term_structure(at_money: Curve) -> tuple[float | None, dict[str, Any] | None]:
    """ATM IV at 90 days minus at 30 days; null when both would come from one and the same expiry."""
    near, near_used = _at_tenor(at_money, NEAR_TENOR)
    far, far_used = _at_tenor(at_money, FAR_TENOR)
    document = {
        "atm_iv_30d": near,
        "atm_iv_90d": far,
        "dte_used_30d": near_used,
        "dte_used_90d": far_used,
        "by_expiry": at_money,
    }
    if near is None or far is None or near_used == far_used == near_used[:1]:
        return None, document if at_money else None
    return far - near, document


def _standings(
    symbols: list[str], levels: list[float | None], history: pl.DataFrame, as_of: date
) -> list[dict[str, Any]]:
    """Rank and percentile of today's level in its history, and the regime: from it, or from realised volatility
    while implied history is too short.
    """
    rows = history.select("symbol", "date", pl.col("average_iv", "hv_20").cast(pl.Float64))
    today = dict(rows.filter(pl.col("date") == as_of).select("symbol", "hv_20").iter_rows())
    earlier = rows.filter(pl.col("date") < as_of).sort("symbol", "date")
    implied = _history(symbols, earlier, "average_iv").ranked(levels)
    realised = _history(symbols, earlier, "hv_20").ranked([today.get(symbol) for symbol in symbols])
    found = []
    for iv, hv in zip(implied, realised, strict=True):
        source = "average_iv" if iv["percentile"] is not None else "hv_20"
        judged = iv["percentile"] if iv["percentile"] is not None else hv["percentile"]
        found.append(
            {
                "iv_rank": iv.pop("rank"),
                "iv_percentile": iv["percentile"],
                "iv_history": iv,
                "iv_history_sessions": iv["sessions"],
                "hv_history": hv,
                "hv_history_sessions": hv["sessions"],
                "volatility_regime": regime(judged),
                "regime_from": None if judged is None else source,
                "regime_percentile": judged,
            }
        )
    return found


def _history(symbols: list[str], earlier: pl.DataFrame, measure: str) -> History:
    """The last known values of the measure; `earlier` sorted by symbol and date."""
    known = earlier.filter(pl.col(measure).is_finite())
    kept = known.select("symbol", measure).group_by("symbol", maintain_order=True).tail(HISTORY_SESSIONS)
    places = {symbol: place for place, symbol in enumerate(symbols)}
    runs = kept["symbol"].rle().struct
    owners = [places.get(symbol, -1) for symbol in runs.field("value")]
    place = np.repeat(np.array(owners, dtype=np.int64), runs.field("len").to_numpy())
    return History(place[place >= 0], kept[measure].to_numpy()[place >= 0], len(symbols))


def _records(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
