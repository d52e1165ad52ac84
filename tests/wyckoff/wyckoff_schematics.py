"""Seeded labelled price series for the engine's tests: Wyckoff schematics, failed structures and controls.

A series is a path of legs in log price (unit: one daily sigma) with noise, dressed into bars whose range and
volume follow what the schematic says of each leg. Labels name the bar an event was built on. Nothing here
imports the engine.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import polars as pl

SIGMA = 0.018
TOLERANCE = 3
DECISION_BARS = 15
BREAKS = (
    "SOS",
    "SOW",
)  # in the builder's own (unmirrored) coordinates every other label but these is an extreme
TOPS = ("AR", "AR_DIST")


@dataclass(frozen=True)
class Series:
    """One symbol's bars with the events it was built from, [(code, bar)], and the phase letter of every
    bar.
    """

    symbol: str
    bars: pl.DataFrame
    labels: list[tuple[str, int]]
    phases: list[str]


class _Builder:
    """Collects bars leg by leg. `mirror` turns the chart upside down in log price."""

    def __init__(self, rng: np.random.Generator, noise: float, mirror: bool = False) -> None:
        self.rng, self.noise, self.sign = rng, noise, -1 if mirror else 1
        self.path: list[float] = [0.0]
        self.volume: list[float] = [1.0]
        self.spread: list[float] = [1.0]
        self.location: list[float] = [0.5]
        self.labels: list[tuple[str, int]] = []
        self.letters: list[str] = ["C"]
        self.letter = "C"

    @property
    def here(self) -> int:
        return len(self.path) - 1

    def leg(
        self, to: float, bars: int, volume: float = 1.0, spread: float = 1.0, location: float = 0.5
    ) -> None:
        """Noisy bridge from the present price to `to`; the last bar lands on it."""
        steps = self.rng.normal(0, self.noise, bars)
        walk = np.cumsum(steps)
        bridge = walk - np.linspace(1 / bars, 1, bars) * walk[-1]
        start = self.path[-1]
        self.path += (start + np.linspace(1 / bars, 1, bars) * (to - start) + bridge).tolist()
        self.volume += [volume] * bars
        self.spread += [spread] * bars
        self.location += [location] * bars
        self.letters += [self.letter] * bars

    def mark(self, code: str, volume: float, spread: float, location: float) -> None:
        self.labels.append((code, self.here))
        self.volume[-1], self.spread[-1], self.location[-1] = volume, spread, location

    def build(self, symbol: str, wildness: float = 0.22) -> Series:
        n, rng = len(self.path), self.rng
        path = np.array(self.path)
        close = path.copy()
        opened = np.concatenate(([path[0]], path[:-1])) + rng.normal(0, 0.25, n)
        body_top, body_low = np.maximum(opened, close), np.minimum(opened, close)
        extra = np.abs(rng.normal(0.45, 0.2, n)) * np.array(self.spread)
        where = np.array(self.location)
        low = body_low - extra * np.where(where > 0.5, 1.4, 0.8)
        high = body_top + extra * np.where(where > 0.5, 0.6, 1.2)
        for code, bar in self.labels:
            width = 1.6 * self.spread[bar]
            if code in BREAKS:  # the path is the close of the breaking bar
                low[bar] = path[bar] - self.location[bar] * width
            elif code in TOPS:  # the path is the extreme; neighbours stay inside it
                low[bar] = path[bar] - width
                near = slice(max(0, bar - 3), bar + 4)
                for values in (opened, high, low, close):
                    values[near] = np.minimum(values[near], path[bar] - 0.05)
            else:
                low[bar] = path[bar]
                near = slice(max(0, bar - 3), bar + 4)
                for values in (opened, high, low, close):
                    values[near] = np.maximum(values[near], path[bar] + 0.05)
                low[bar] = path[bar]
            high[bar] = low[bar] + width
            close[bar] = low[bar] + self.location[bar] * width
            opened[bar] = min(max(opened[bar], low[bar]), high[bar])
        lift = np.exp(rng.normal(0, wildness, n)) * np.array(self.volume)
        arrays = {"open": opened, "high": high, "low": low, "close": close}
        if self.sign < 0:
            arrays = {"open": -opened, "high": -low, "low": -high, "close": -close}
        price = {name: 100.0 * np.exp(SIGMA * values) for name, values in arrays.items()}
        return Series(symbol, frame(symbol, **price, volume=1e6 * lift), self.labels, self.letters)


def frame(
    symbol: str, open: np.ndarray, high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray
):
    """BARS frame on consecutive weekdays from 2020-01-01."""
    start = dt.date(2020, 1, 1)
    days = pl.date_range(start, start + dt.timedelta(days=2 * len(close) + 10), eager=True)
    days = days.filter(days.dt.weekday() <= 5)[: len(close)]
    high, low = np.maximum.reduce([open, high, close]), np.minimum.reduce([open, low, close])
    return pl.DataFrame(
        {
            "symbol": [symbol] * len(close),
            "date": days,
            "open": open,
            "high": high,
            "low": low,
            "close": close,
            "volume": volume,
        }
    )


def schematic(
    seed: int, *, distribution: bool = False, false_break: bool = True, noise: float = 0.5
) -> Series:
    """Accumulation (or its mirror): decline, SC, AR, ST, swings, SPRING and TEST (or LPS), SOS, BU, trend."""
    rng = np.random.default_rng(seed)
    b = _Builder(rng, noise, mirror=distribution)
    weaker = 0.75 if distribution else 1.0  # buying climaxes run on less volume
    code = (lambda up, down: down) if distribution else (lambda up, down: up)
    depth, height = rng.uniform(18, 26), rng.uniform(8, 12)
    b.leg(0.0, 75, 1.0)
    b.letter = "B" if distribution else "E"
    b.leg(-0.65 * depth, int(rng.integers(40, 60)), 1.0)
    b.leg(-0.78 * depth, 4, 1.3, 1.2)
    b.mark(code("PS", "PSY"), 1.8 * weaker, 1.5, 0.5)
    b.leg(-0.65 * depth, 5, 1.0)
    b.leg(-depth, 8, 1.4, 1.3)
    b.mark(code("SC", "BC"), 3.2 * weaker, 2.6, rng.uniform(0.3, 0.6))
    support = -depth
    b.letter = "D" if distribution else "A"
    top = support + height
    b.leg(top, int(rng.integers(6, 10)), 1.2, 1.1)
    b.mark(code("AR", "AR_DIST"), 0.9, 1.0, 0.5)
    b.leg(support + rng.uniform(0.08, 0.2) * height, int(rng.integers(8, 12)), 0.8)
    b.mark(code("ST", "ST_DIST"), 0.7, 0.8, 0.6)
    for _ in range(int(rng.integers(1, 3))):
        b.leg(support + rng.uniform(0.75, 0.9) * height, int(rng.integers(8, 13)), 0.9)
        b.leg(support + rng.uniform(0.25, 0.4) * height, int(rng.integers(8, 13)), 0.8)
    b.leg(support + rng.uniform(0.6, 0.85) * height, int(rng.integers(7, 11)), 0.9)
    if false_break:
        b.leg(support - rng.uniform(0.4, 1.2), int(rng.integers(7, 11)), 0.8)
        b.mark(code("SPRING", "UTAD"), 0.8, 1.2, 0.75)
        b.leg(support + 0.35 * height, 4, 1.1)
        b.leg(support + 0.14 * height, 4, 0.6, 0.8)
        b.mark(code("TEST", "LPSY"), 0.5, 0.7, 0.6)
    else:
        b.leg(support + rng.uniform(0.32, 0.42) * height, int(rng.integers(6, 9)), 0.7, 0.8)
        b.mark(code("LPS", "LPSY"), 0.6, 0.8, 0.6)
    b.leg(top - 1.0, int(rng.integers(6, 9)), 1.2, 1.1)
    b.leg(top + 0.9, 1, 1.9, 1.7, 0.8)
    b.mark(code("SOS", "SOW"), 2.1, 1.8, 0.85)
    b.letter = "E" if distribution else "B"
    b.leg(top + 2.5, 3, 1.3, 1.1)
    b.leg(top + 0.4, 5, 0.7, 0.8)
    b.mark(code("BU", "LPSY"), 0.6, 0.8, 0.6)
    b.leg(top + 0.7 * height, 20, 1.0)
    b.leg(top + 1.1 * height, 25, 1.0)
    kind = ("D" if distribution else "A") + ("F" if false_break else "L")
    return b.build(f"{kind}{seed}")


def failed_accumulation(seed: int, noise: float = 0.5) -> Series:
    """SC, AR, ST, then support gives way: the range resolves downwards with a SOW."""
    rng = np.random.default_rng(seed)
    b = _Builder(rng, noise)
    depth, height = rng.uniform(18, 26), rng.uniform(8, 12)
    b.leg(0.0, 75)
    b.letter = "E"
    b.leg(-0.65 * depth, int(rng.integers(45, 65)))
    b.leg(-depth, 9, 1.4, 1.3)
    b.mark("SC", 3.2, 2.6, 0.4)
    b.letter, support = "A", -depth
    b.leg(support + height, int(rng.integers(6, 10)), 1.1)
    b.mark("AR", 0.9, 1.0, 0.5)
    b.leg(support + 0.15 * height, int(rng.integers(8, 12)), 0.8)
    b.mark("ST", 0.7, 0.8, 0.6)
    b.leg(support + 0.8 * height, 10, 0.9)
    b.leg(support + 0.3 * height, 10, 0.9)
    b.leg(support + 0.55 * height, 7, 0.8)
    b.leg(support + 0.3, 6, 1.2, 1.1)
    b.leg(support - 1.2, 1, 2.0, 1.8, 0.15)
    b.mark("SOW", 2.1, 1.8, 0.15)
    b.letter = "E"
    b.leg(support - 0.8 * height, 30, 1.0)
    return b.build(f"X{seed}")


def control(seed: int, kind: str, bars: int = 500) -> Series:
    """A series with no structure in it: 'walk', 'garch', 'uptrend', 'downtrend', 'gaps', 'illiquid'."""
    rng = np.random.default_rng(seed)
    shocks = rng.standard_t(4, bars) / np.sqrt(2.0) if kind in ("garch", "gaps") else rng.normal(0, 1, bars)
    level = np.ones(bars)
    if kind == "garch":
        for i in range(1, bars):
            level[i] = np.sqrt(0.06 + 0.09 * (level[i - 1] * shocks[i - 1]) ** 2 + 0.85 * level[i - 1] ** 2)
    drift = {"uptrend": 0.15, "downtrend": -0.15}.get(kind, 0.0)
    moves = drift + level * shocks
    if kind == "gaps":
        moves += np.where(rng.random(bars) < 0.02, rng.normal(0, 5, bars), 0.0)
    path = np.cumsum(moves)
    opened = np.concatenate(([0.0], path[:-1])) + rng.normal(0, 0.25, bars)
    if kind == "gaps":
        opened = np.where(np.abs(moves) > 4, path, opened)
    high = np.maximum(opened, path) + np.abs(rng.normal(0.45, 0.2, bars)) * level
    low = np.minimum(opened, path) - np.abs(rng.normal(0.45, 0.2, bars)) * level
    volume = 1e6 * np.exp(rng.normal(0, 0.3, bars)) * (0.6 + 0.4 * np.abs(moves))
    if kind == "illiquid":
        idle = rng.random(bars) < 0.6
        volume = np.where(idle, 0.0, 300.0)
        path = np.round(path * 0.1) * 4
        opened, high, low = path, path, path
    price = {
        k: 50 * np.exp(SIGMA * x)
        for k, x in zip(("open", "high", "low", "close"), (opened, high, low, path), strict=True)
    }
    letter = {"uptrend": "B", "downtrend": "E"}.get(kind, "C")
    return Series(f"C{kind}{seed}", frame(f"C{kind}{seed}", **price, volume=volume), [], [letter] * bars)


def score(
    series: list[Series], events: pl.DataFrame, codes: tuple[str, ...]
) -> dict[str, tuple[float, float, float, int]]:
    """(precision, recall, F1, labels) per code over first publications, matched within 3 bars and decided
    within 15.
    """
    first = events.group_by("symbol", "event", "event_date").agg(pl.col("detected_at").min())
    hits, said, labelled = (dict.fromkeys(codes, 0) for _ in range(3))
    for one in series:
        at = {day: i for i, day in enumerate(one.bars["date"].to_list())}
        rows = first.filter(pl.col("symbol") == one.symbol)
        found = [
            (e, at[d], at[k]) for e, d, k in rows.select("event", "event_date", "detected_at").iter_rows()
        ]
        for code in codes:
            want = [bar for label, bar in one.labels if label == code]
            have = [(bar, known) for event, bar, known in found if event == code]
            labelled[code] += len(want)
            said[code] += len(have)
            for bar in want:
                decision = (
                    2 * DECISION_BARS if code in ("PS", "PSY") else DECISION_BARS
                )  # known only with the climax
                match = [x for x in have if abs(x[0] - bar) <= TOLERANCE and x[1] - bar <= decision]
                if match:
                    have.remove(match[0])
                    hits[code] += 1
    result = {}
    for code in codes:
        precision = hits[code] / said[code] if said[code] else 0.0
        recall = hits[code] / labelled[code] if labelled[code] else 0.0
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        result[code] = (precision, recall, f1, labelled[code])
    return result
