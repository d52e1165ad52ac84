"""Wyckoff campaigns: price and volume skeletons of accumulation, markup, distribution and markdown.

Levels are in units of the symbol's typical daily range (log price), times in sessions. Every campaign lasts
equally long and the symbols start evenly shifted, so that at any date some of them stand at a spring, a
breakout, a climax or a breakdown. Detection of such structures is the product's work and not known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from kapman_simulator.noise import Floats, normals, stream

LENGTH = 224  # sessions from one selling climax to the next
EXTREME_EVERY = 3  # one campaign in so many ends in a climax that earns nearly every point


@dataclass(frozen=True)
class Knot:
    """A bar the schematic prescribes: which side touches `level`, on what volume and range, closing where."""

    at: int
    level: float
    side: str  # "low" and "high" touch the level; "close" ends on it
    volume: float
    spread: float
    location: float
    event: str = ""

    @property
    def close(self) -> float:
        if self.side == "low":
            return self.level + self.location * self.spread
        if self.side == "high":
            return self.level - (1.0 - self.location) * self.spread
        return self.level


def _accumulation(u: Floats, start: int, floor: float, height: float, spring: bool) -> list[Knot]:
    jitter = (u * 4).astype(int) - 2
    ceiling = floor + height
    climax = start + 12
    reaction = climax + 9 + int(jitter[0])
    test = reaction + 9 + int(jitter[1])
    knots = [
        Knot(climax, floor, "low", 3.3, 2.8, 0.45, "SC"),
        Knot(reaction, ceiling, "high", 1.1, 1.1, 0.6, "AR"),
        Knot(test, floor + 0.10 * height, "low", 0.75, 0.9, 0.6, "ST"),
        Knot(start + 37, floor + 0.72 * height, "high", 0.8, 1.0, 0.5),
        Knot(start + 44, floor + 0.16 * height, "low", 0.62, 0.9, 0.6),
        Knot(start + 50, floor + 0.80 * height, "high", 0.85, 1.0, 0.5),
    ]
    if spring:
        depth = 0.5 + 0.5 * float(u[2])
        effort = 1.5 if u[3] > 0.75 else 0.8
        knots += [
            Knot(start + 58, floor - depth, "low", effort, 1.5 + depth, 0.82, "SPRING"),
            Knot(start + 61, floor + 0.36 * height, "high", 1.05, 1.0, 0.6),
            Knot(start + 65, floor + 0.15 * height, "low", 0.5, 0.7, 0.65, "TEST"),
        ]
    else:
        knots += [
            Knot(start + 58, floor + 0.24 * height, "low", 0.6, 0.8, 0.6, "LPS"),
            Knot(start + 63, floor + 0.85 * height, "high", 1.0, 1.0, 0.6),
            Knot(start + 67, floor + 0.50 * height, "low", 0.55, 0.8, 0.6, "LPS"),
        ]
    return [
        *knots,
        Knot(start + 73, ceiling + 0.7, "close", 2.3, 2.0, 0.88, "SOS"),
        Knot(start + 75, ceiling + 1.7, "high", 1.5, 1.2, 0.6),
        Knot(start + 81, ceiling + 0.1, "low", 0.6, 0.7, 0.6, "BU"),
    ]


def _markup(start: int, ceiling: float, rise: float) -> list[Knot]:
    return [
        Knot(start + 96, ceiling + 0.46 * rise, "high", 1.2, 1.1, 0.5),
        Knot(start + 103, ceiling + 0.30 * rise, "low", 0.7, 0.9, 0.6),
        Knot(start + 117, ceiling + 0.70 * rise, "high", 1.25, 1.2, 0.4),
        Knot(start + 124, ceiling + 0.55 * rise, "low", 0.75, 1.0, 0.6),
        Knot(start + 133, ceiling + 0.86 * rise, "close", 1.6, 1.5, 0.8),
        Knot(start + 136, ceiling + rise, "high", 2.8, 2.7, 0.2, "BC"),
    ]


def _blow_off(start: int, ceiling: float, rise: float, unit: float) -> list[Knot]:
    """A parabolic end: new high on thin volume, two surging days, then a failing, wide, heavy bar."""

    def percent(change: float) -> float:
        return float(np.log1p(change)) / unit

    shelf = ceiling + 0.60 * rise
    fresh = shelf + 0.6
    surge = fresh + max(percent(0.062), 2.2)
    second = surge + percent(0.041)
    top = second + percent(0.040)
    wide = percent(0.055)
    return [
        Knot(start + 96, ceiling + 0.46 * rise, "high", 1.2, 1.1, 0.5),
        Knot(start + 103, ceiling + 0.30 * rise, "low", 0.7, 0.9, 0.6),
        Knot(start + 120, shelf, "high", 1.2, 1.0, 0.6),
        Knot(start + 121, shelf - 2.2, "close", 4.2, 2.4, 0.1),
        Knot(start + 123, shelf - 3.0, "low", 0.6, 0.9, 0.5),
        Knot(start + 133, fresh, "close", 0.45, 0.8, 0.85),
        Knot(start + 134, surge, "close", 2.1, surge - fresh + 0.3, 0.93),
        Knot(start + 135, second, "close", 2.7, second - surge + 0.3, 0.9),
        Knot(start + 136, top, "high", 4.0, wide, 0.08, "BC"),
    ]


def _distribution(u: Floats, start: int, top: float, height: float) -> list[Knot]:
    jitter = (u * 4).astype(int) - 2
    floor = top - height
    reaction = start + 144 + int(jitter[0])
    test = reaction + 9 + int(jitter[1])
    return [
        Knot(reaction, floor, "low", 1.4, 1.4, 0.4, "AR_DIST"),
        Knot(test, top - 0.10 * height, "high", 0.8, 0.9, 0.4, "ST_DIST"),
        Knot(start + 161, floor + 0.2 * height, "low", 0.85, 1.0, 0.5),
        Knot(start + 168, top - 0.2 * height, "high", 0.7, 0.9, 0.5),
        Knot(start + 174, floor + 0.18 * height, "low", 0.9, 1.0, 0.5),
        Knot(start + 182, top + 0.7, "high", 1.3, 2.2, 0.18, "UTAD"),
        Knot(start + 191, floor - 0.7, "close", 2.2, 2.0, 0.12, "SOW"),
        Knot(start + 197, floor + 0.12 * height, "high", 0.6, 0.8, 0.4, "LPSY"),
    ]


def _markdown(start: int, floor: float, next_floor: float) -> list[Knot]:
    drop = floor - next_floor
    return [
        Knot(start + 206, floor - 0.42 * drop, "low", 1.3, 1.2, 0.4),
        Knot(start + 211, floor - 0.26 * drop, "high", 0.7, 0.9, 0.4),
        Knot(start + 219, floor - 0.72 * drop, "low", 1.2, 1.2, 0.4),
        Knot(start + 223, floor - 0.58 * drop, "high", 0.7, 0.9, 0.4),
        Knot(start + 228, next_floor + 0.14 * drop, "low", 1.8, 1.6, 0.5, "PS"),
        Knot(start + 232, next_floor + 0.26 * drop, "high", 0.8, 0.9, 0.4),
    ]


@cache
def knots_of(seed: int, symbol: str, place: int, places: int, unit: float, cycles: int) -> tuple[Knot, ...]:
    """The first `cycles` campaigns of one symbol, shifted by `place` of `places`."""
    start = -LENGTH + (place * LENGTH) // places - 40
    floor = 0.0
    knots: list[Knot] = []
    for cycle in range(cycles):
        u = stream(seed, "campaign", symbol, cycle).random(16)
        height, rise = 7.2 + 1.6 * float(u[4]), 13.0 + 5.0 * float(u[5])
        ceiling = floor + height
        knots += _accumulation(u, start, floor, height, spring=bool(u[6] < 0.7))
        extreme = (cycle + place) % EXTREME_EVERY == 0
        knots += _blow_off(start, ceiling, rise, unit) if extreme else _markup(start, ceiling, rise)
        top = knots[-1].level
        depth = 7.0 + 1.5 * float(u[7])
        knots += _distribution(u[8:], start, top, depth)
        # a campaign ends a little higher than it began, but a price far from home is drawn back
        change = -2.0 + 8.0 * float(u[12]) - 0.25 * floor
        next_floor = min(floor + change, top - depth - 8.0)
        knots += _markdown(start, top - depth, next_floor)
        floor = next_floor
        start += LENGTH
    return tuple(knots)


@dataclass(frozen=True)
class Skeleton:
    """Log prices (in units) and volume factors of consecutive sessions, and the labelled bars among them."""

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    events: tuple[tuple[int, str], ...]


def skeleton(
    seed: int, symbol: str, place: int, places: int, unit: float, u: Floats, market: Floats
) -> Skeleton:
    """Bars of one symbol from its uniforms (sessions x 8) and the market's standardised returns."""
    count = len(u)
    knots = knots_of(seed, symbol, place, places, unit, count // LENGTH + 4)
    at = np.array([knot.at for knot in knots])
    level = np.array([knot.level for knot in knots])
    bars = np.arange(count)
    right = np.searchsorted(at, bars, side="left")
    left = right - 1
    near = np.minimum(at[right] - bars, bars - at[left])
    close = np.interp(bars, at, np.array([knot.close for knot in knots]))
    close += _wander(u, market) * np.minimum(1.0, near / 3.0)
    lowest, highest = np.minimum(level[left], level[right]), np.maximum(level[left], level[right])
    close = np.where(
        near > 0, np.clip(close, lowest + 0.12, np.maximum(highest - 0.12, lowest + 0.12)), close
    )
    before = np.concatenate(([close[0]], close[:-1]))
    opened = before + 0.2 * (close - before) + 0.16 * normals(u[:, 2], u[:, 3])[0]
    width = np.sqrt((close - opened) ** 2 - 2 * 0.3**2 * np.log(np.stack([1 - u[:, 4], 1 - u[:, 5]])))
    high = np.maximum(opened + (close - opened + width[0]) / 2, np.maximum(opened, close))
    low = np.minimum(opened + (close - opened - width[1]) / 2, np.minimum(opened, close))
    # between two prescribed bars neither extreme is exceeded: a test stays a test
    high = np.maximum(np.minimum(high, highest - 0.03), np.maximum(opened, close))
    low = np.minimum(np.maximum(low, lowest + 0.03), np.minimum(opened, close))
    activity = np.interp(bars, at, np.log([_ambient(knot) for knot in knots]))
    volume = activity + 0.30 * np.log(np.maximum(high - low, 0.15)) + 0.17 * normals(u[:, 6], u[:, 7])[0]
    _prescribe(knots, opened, high, low, volume, u)
    events = tuple((k.at, k.event) for k in knots if k.event and 0 <= k.at < count)
    return Skeleton(opened, high, low, close, np.exp(volume), events)


def _ambient(knot: Knot) -> float:
    """Volume between the prescribed bars: a climax is a peak of one to three bars, not a new level."""
    return float(min(max(knot.volume, 0.5), 1.35))


def _wander(u: Floats, market: Floats) -> Floats:
    """Mean-reverting noise around the skeleton, partly shared with the market."""
    shocks = 0.30 * (0.45 * np.clip(market, -4, 4) + 0.9 * normals(u[:, 0], u[:, 1])[0])
    level, noise = 0.0, np.empty(len(shocks))
    for bar, shock in enumerate(shocks):
        level = 0.72 * level + shock
        noise[bar] = level
    return noise


def _prescribe(
    knots: tuple[Knot, ...], opened: Floats, high: Floats, low: Floats, volume: Floats, u: Floats
) -> None:
    """Write the prescribed bars over the interpolated ones; the heavy ones raise their neighbours' volume."""
    for knot in knots:
        bar = knot.at
        if 0 <= bar < len(opened):
            bottom = knot.close - knot.location * knot.spread
            opened[bar] = float(np.clip(opened[bar], bottom, bottom + knot.spread))
            low[bar], high[bar] = bottom, bottom + knot.spread
            volume[bar] = np.log(knot.volume) + 0.12 * (u[bar, 6] - 0.5)
        if knot.volume > 1.7 and knot.event in ("SC", "BC", "SOS", "SOW"):
            # also for a bar just beyond the end, or the last bar would change when the market grows
            for neighbour, share in ((bar - 1, 0.5), (bar + 1, 0.35)):
                if 0 <= neighbour < len(volume):
                    volume[neighbour] = max(volume[neighbour], np.log(1 + share * (knot.volume - 1)))
