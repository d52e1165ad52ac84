"""Dealer and volatility metrics as plain Python loops over the contracts, the peer of dealer_bench.

Written as one would without arrays: one pass a symbol for each number, constants of a contract computed once, the
flip's crossing by Newton steps. Same definitions, same numbers. Does not belong here: anything the product uses.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple


class Contract(NamedTuple):
    strike: float
    dte: int
    is_call: bool
    open_interest: float | None
    volume: float | None
    iv: float | None
    delta: float | None
    gamma: float | None
    shares: float
    is_standard: bool
    is_live: bool


RATE = 0.04
DAYS = 365.0


def dealer(chains: Mapping[str, Sequence[Contract]], spots: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """symbol -> the columns of a dealer row."""
    return {symbol: _dealer(chain, spots[symbol]) for symbol, chain in chains.items()}


def _dealer(chain: Sequence[Contract], spot: float) -> dict[str, Any]:
    excluded: dict[str, int] = defaultdict(int)
    total = net = near_net = near_total = 0.0
    by_strike: dict[float, list[float]] = {}
    eligible = []
    per_gamma = spot * spot * 0.01
    for c in chain:
        if not c.is_standard:
            excluded["not_standard"] += 1
        elif not c.is_live:
            excluded["not_live"] += 1
        elif not 0 <= c.dte <= 90:
            excluded["days_to_expiry"] += 1
        elif c.gamma is None:
            excluded["no_gamma"] += 1
        elif not c.open_interest:
            excluded["no_open_interest"] += 1
        else:
            eligible.append(c)
            exposure = c.gamma * c.open_interest * c.shares * per_gamma
            weight = math.exp(-0.5 * ((c.strike / spot - 1.0) / 0.05) ** 2)
            sums = by_strike.setdefault(c.strike, [0.0, 0.0, 0.0, 0.0])
            total += exposure
            near_total += weight * exposure
            if c.is_call:
                net += exposure
                near_net += weight * exposure
                sums[0] += exposure
                sums[2] += c.open_interest
            else:
                net -= exposure
                near_net -= weight * exposure
                sums[1] -= exposure
                sums[3] += c.open_interest
    strikes = [(strike, *by_strike[strike]) for strike in sorted(by_strike)]
    calls = sorted(
        (-row[3], row[0] - spot, row[0]) for row in strikes if row[3] and 0 <= row[0] / spot - 1 <= 0.2
    )
    puts = sorted(
        (-row[4], spot - row[0], row[0]) for row in strikes if row[4] and -0.2 <= row[0] / spot - 1 <= 0
    )
    flip, profile = _flip(eligible, spot)
    dgpi = 100.0 * (near_net / near_total) if near_total else None
    document = {
        "excluded": excluded,
        "strikes": strikes,
        "profile": profile,
        "calls": calls[:3],
        "puts": puts[:3],
    }
    return {
        "gex_total": total,
        "gex_net": net,
        "gamma_flip_level": flip,
        "call_wall_primary": calls[0][2] if calls else None,
        "call_wall_primary_oi": round(-calls[0][0]) if calls else None,
        "put_wall_primary": puts[0][2] if puts else None,
        "put_wall_primary_oi": round(-puts[0][0]) if puts else None,
        "dgpi": dgpi,
        "dealer_position": _position(dgpi),
        "dealer_metrics_json": json.dumps(document),
    }


def _position(dgpi: float | None) -> str | None:
    if dgpi is None:
        return None
    return "neutral" if abs(dgpi) < 10 else "long_gamma" if dgpi > 0 else "short_gamma"


def gamma(price: float, strike: float, years: float, iv: float) -> float:
    """Black-Scholes gamma of one contract."""
    deviation = iv * math.sqrt(years)
    d1 = (math.log(price / strike) + (RATE + 0.5 * iv * iv) * years) / deviation
    return math.exp(-0.5 * d1 * d1) / (math.sqrt(2.0 * math.pi) * price * deviation)


def net_exposure(contracts: Sequence[Contract], price: float) -> float:
    """Signed exposure of the contracts, re-priced at a price of the underlying."""
    net = 0.0
    for c in contracts:
        size = (
            gamma(price, c.strike, max(c.dte, 0.25) / DAYS, c.iv)
            * c.open_interest
            * c.shares
            * price**2
            * 0.01
        )
        net += size if c.is_call else -size
    return net


def _flip(eligible: Sequence[Contract], spot: float) -> tuple[float | None, list[float]]:
    contracts = [c for c in eligible if c.iv]
    prices = [spot * (0.75 + 0.5 * step / 100) for step in range(101)]
    profile = [net_exposure(contracts, price) for price in prices]
    largest = max(map(abs, profile))
    felt = [step for step, net in enumerate(profile) if abs(net) > 1e-9 * largest]
    best = None
    for low, high in pairwise(felt):
        if (profile[low] > 0) != (profile[high] > 0):
            share = profile[low] / (profile[low] - profile[high])
            guess = prices[low] + share * (prices[high] - prices[low])
            if best is None or abs(guess - spot) < abs(best[0] - spot):
                best = (guess, prices[low], prices[high])
    return (None if best is None else _locate(contracts, best[1], best[2])), profile


def _locate(contracts: Sequence[Contract], low: float, high: float) -> float:
    """False position with the Illinois rule, to the last digits."""
    at_low, at_high, kept = net_exposure(contracts, low), net_exposure(contracts, high), 0
    price = low
    for _ in range(60):
        earlier, price = price, (low * at_high - high * at_low) / (at_high - at_low)
        net = net_exposure(contracts, price)
        if net == 0.0 or abs(price - earlier) <= 1e-12 * price:
            break
        if (net > 0) == (at_high > 0):
            high, at_high = price, net
            at_low *= 0.5 if kept == 1 else 1.0
            kept = 1
        else:
            low, at_low = price, net
            at_high *= 0.5 if kept == -1 else 1.0
            kept = -1
    return price


def volatility(
    chains: Mapping[str, Sequence[Contract]],
    spots: Mapping[str, float],
    iv_history: Mapping[str, Sequence[float]],
    hv_history: Mapping[str, Sequence[float]],
) -> dict[str, dict[str, Any]]:
    """symbol -> the columns of a volatility row. Histories: earlier values, oldest first."""
    return {
        symbol: _volatility(chain, spots[symbol], iv_history.get(symbol, ()), hv_history.get(symbol, ()))
        for symbol, chain in chains.items()
    }


def _volatility(
    chain: Sequence[Contract], spot: float, earlier_iv: Sequence[float], earlier_hv: Sequence[float]
) -> dict[str, Any]:
    held = weighted = 0.0
    oi, volume = {True: 0.0, False: 0.0}, {True: 0.0, False: 0.0}
    at_money: dict[int, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    by_delta: dict[bool, dict[int, dict[float, list[float]]]] = {
        side: defaultdict(lambda: defaultdict(list)) for side in (True, False)
    }
    for c in chain:
        if c.is_live:
            oi[c.is_call] += c.open_interest or 0.0
            volume[c.is_call] += c.volume or 0.0
        if not (c.is_standard and c.is_live and c.dte >= 7 and c.iv and 0 < c.iv <= 2):
            continue
        if c.delta is not None:
            by_delta[c.is_call][c.dte][abs(c.delta)].append(c.iv)
        if abs(c.strike / spot - 1) <= 0.2:
            at_money[c.dte][c.strike].append(c.iv)
            if c.open_interest:
                held += c.open_interest
                weighted += c.open_interest * c.iv
    curve = _curve(at_money, spot)
    puts, calls = _curve(by_delta[False], 0.25), dict(_curve(by_delta[True], 0.25))
    both = [(days, put, calls[days]) for days, put in puts if days in calls]
    put_at, _ = _tenor([(days, put) for days, put, _ in both], 30, 15)
    call_at, _ = _tenor([(days, call) for days, _, call in both], 30, 15)
    near, near_used = _tenor(curve, 30, 15)
    far, far_used = _tenor(curve, 90, 30)
    one_expiry = near_used == far_used and len(near_used) == 1
    level = weighted / held if held else None
    rank, percentile = _rank(level, earlier_iv[-252:])
    judged = percentile if percentile is not None else _rank(None, earlier_hv[-252:])[1]
    return {
        "iv_skew_25d": None if put_at is None or call_at is None else put_at - call_at,
        "iv_term_structure": None if near is None or far is None or one_expiry else far - near,
        "put_call_ratio_oi": oi[False] / oi[True] if oi[True] else None,
        "put_call_ratio_volume": volume[False] / volume[True] if volume[True] else None,
        "average_iv": level,
        "iv_rank": rank,
        "iv_percentile": percentile,
        "volatility_regime": _regime(judged),
        "volatility_metrics_json": json.dumps(
            {"by_expiry": curve, "by_delta": both, "oi": list(oi.values())}
        ),
    }


def _curve(groups: Mapping[int, Mapping[float, Sequence[float]]], at: float) -> list[tuple[int, float]]:
    found = []
    for days in sorted(groups):
        places = groups[days]
        below, above = [x for x in places if x <= at], [x for x in places if x >= at]
        if not below or not above:
            continue
        x0, x1 = max(below), min(above)
        y0, y1 = sum(places[x0]) / len(places[x0]), sum(places[x1]) / len(places[x1])
        found.append((days, y0 + (y1 - y0) * ((at - x0) / (x1 - x0) if x1 > x0 else 0.0)))
    return found


def _tenor(curve: Sequence[tuple[int, float]], tenor: int, tolerance: int) -> tuple[float | None, list[int]]:
    below, above = [row for row in curve if row[0] <= tenor], [row for row in curve if row[0] >= tenor]
    if below and above:
        (d0, v0), (d1, v1) = below[-1], above[0]
        return (v0, [d0]) if d0 == d1 else (v0 + (v1 - v0) * (tenor - d0) / (d1 - d0), [d0, d1])
    if curve:
        days, value = min(curve, key=lambda row: abs(row[0] - tenor))
        if abs(days - tenor) <= tolerance:
            return value, [days]
    return None, []


def _rank(value: float | None, earlier: Sequence[float]) -> tuple[float | None, float | None]:
    if value is None or len(earlier) < 20:
        return None, None
    lowest, highest = min(earlier), max(earlier)
    percentile = 100.0 * (sum(1 for past in earlier if past < value) / len(earlier))
    if highest == lowest:
        return None, percentile
    return min(max(100.0 * ((value - lowest) / (highest - lowest)), 0.0), 100.0), percentile


def _regime(percentile: float | None) -> str | None:
    if percentile is None:
        return None
    return (
        "low"
        if percentile < 25
        else "normal"
        if percentile < 75
        else "high"
        if percentile < 95
        else "extreme"
    )
