"""Geometry of the price chart that the template draws as SVG: line, volume, range box, levels, marks.

Coordinates only; does not belong here: which levels exist (the snapshot) and how they look (the stylesheet).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import ceil, floor, log10
from typing import Any

from kapman_dashboard import formats

WIDTH, HEIGHT = 720.0, 340.0
LEFT, RIGHT, TOP = 8.0, 126.0, 16.0
PRICE_BOTTOM, VOLUME_TOP, VOLUME_BOTTOM = 262.0, 274.0, 314.0
LABEL_STEP = 17.0  # labels nearer than this would touch on a phone
LETTER = 11.0
REACH = 0.6  # a level farther than this share of the price range beyond it is named, not drawn


@dataclass(frozen=True)
class Level:
    """A horizontal line: its name, the name where room is short, price and CSS class."""

    name: str
    short: str
    value: float
    kind: str


@dataclass(frozen=True)
class DrawnLevel:
    level: Level
    y: float
    label_y: float


@dataclass(frozen=True)
class Box:
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Mark:
    """An event on its bar."""

    code: str
    x: float
    y: float
    text_y: float
    failed: bool
    title: str


@dataclass(frozen=True)
class Tick:
    at: float
    text: str


@dataclass(frozen=True)
class PriceChart:
    line: str
    area: str
    volumes: tuple[Box, ...]
    last: Mark
    price_ticks: tuple[Tick, ...]
    day_ticks: tuple[Tick, ...]
    levels: tuple[DrawnLevel, ...]
    outside: tuple[Level, ...]
    range_box: Box | None
    marks: tuple[Mark, ...]
    summary: str
    right: float = WIDTH - RIGHT


def _nice_step(span: float, count: int) -> float:
    rough = span / count
    power = 10.0 ** floor(log10(rough))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)


def _spread(wanted: Sequence[float], lowest: float, highest: float) -> list[float]:
    """The wanted label positions moved apart by LABEL_STEP, in order, inside the frame."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = [0.0] * len(wanted)
    floor_at = lowest
    for i in order:
        placed[i] = max(wanted[i], floor_at)
        floor_at = placed[i] + LABEL_STEP
    ceiling = highest
    for i in reversed(order):
        placed[i] = min(placed[i], ceiling)
        ceiling = placed[i] - LABEL_STEP
    return placed


class _Scale:
    def __init__(self, bars: Sequence[Mapping[str, Any]], values: Sequence[float]) -> None:
        low, high = min(values), max(values)
        margin = 0.04 * (high - low) or 0.02 * high
        self.low, self.high = low - margin, high + margin
        self.step = (WIDTH - LEFT - RIGHT) / max(len(bars) - 1, 1)

    def x(self, index: float) -> float:
        return round(LEFT + index * self.step, 1)

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(PRICE_BOTTOM - share * (PRICE_BOTTOM - TOP), 1)


def price_chart(
    bars: Sequence[Mapping[str, Any]],
    levels: Sequence[Level],
    support: float | None,
    resistance: float | None,
    range_start: date | None,
    events: Sequence[Mapping[str, Any]],
) -> PriceChart | None:
    """The chart of `bars` (date, close, volume, low, high; oldest first); None with fewer than two bars.

    `events` need type, event_date, status and confidence; those outside the bars are left out.
    """
    if len(bars) < 2:
        return None
    closes = [bar["close"] for bar in bars]
    low, high = min(closes), max(closes)
    reach = REACH * (high - low) or 0.05 * high
    near = [level for level in levels if low - reach <= level.value <= high + reach]
    edges = [
        edge for edge in (support, resistance) if edge is not None and low - reach <= edge <= high + reach
    ]
    scale = _Scale(bars, [*closes, *edges, *(level.value for level in near)])

    points = [f"{scale.x(i)},{scale.y(close)}" for i, close in enumerate(closes)]
    line = "M" + " L".join(points)
    area = f"{line} L{scale.x(len(bars) - 1)},{PRICE_BOTTOM} L{scale.x(0)},{PRICE_BOTTOM} Z"
    return PriceChart(
        line=line,
        area=area,
        volumes=_volumes(bars, scale),
        last=Mark("", scale.x(len(bars) - 1), scale.y(closes[-1]), 0.0, False, formats.price(closes[-1])),
        price_ticks=_price_ticks(scale),
        day_ticks=_day_ticks(bars, scale),
        levels=_levels([*near, Level("Close", "", closes[-1], "close")], scale),
        outside=tuple(level for level in levels if level not in near),
        range_box=_range_box(bars, scale, support, resistance, range_start),
        marks=_marks(bars, scale, events),
        summary=(
            f"Close from {formats.price(closes[0])} on {formats.day(bars[0]['date'])} "
            f"to {formats.price(closes[-1])} on {formats.day(bars[-1]['date'])}, "
            f"lowest {formats.price(low)}, highest {formats.price(high)}"
        ),
    )


def _volumes(bars: Sequence[Mapping[str, Any]], scale: _Scale) -> tuple[Box, ...]:
    most = max(bar["volume"] or 0.0 for bar in bars)
    if not most:
        return ()
    width = max(round(scale.step * 0.64, 1), 0.6)
    found = []
    for i, bar in enumerate(bars):
        height = round((bar["volume"] or 0.0) / most * (VOLUME_BOTTOM - VOLUME_TOP), 1)
        found.append(Box(round(scale.x(i) - width / 2, 1), round(VOLUME_BOTTOM - height, 1), width, height))
    return tuple(found)


def _price_ticks(scale: _Scale) -> tuple[Tick, ...]:
    step = _nice_step(scale.high - scale.low, 5)
    first = ceil(scale.low / step)
    digits = 0 if step >= 1 and step == int(step) else 2
    values = [k * step for k in range(first, floor(scale.high / step) + 1)]
    return tuple(Tick(scale.y(value), formats.fixed(value, digits)) for value in values)


def _day_ticks(bars: Sequence[Mapping[str, Any]], scale: _Scale) -> tuple[Tick, ...]:
    """The first bar of each month, months whose label would touch the one before left out."""
    found: list[Tick] = []
    for i, bar in enumerate(bars):
        if i and bar["date"].month != bars[i - 1]["date"].month:
            at = scale.x(i)
            if (not found or at - found[-1].at >= 52) and at <= WIDTH - RIGHT - 24:
                found.append(
                    Tick(at, f"{bar['date']:%b}" + (f" {bar['date']:%Y}" if bar["date"].month == 1 else ""))
                )
    return tuple(found)


def _levels(levels: Sequence[Level], scale: _Scale) -> tuple[DrawnLevel, ...]:
    heights = [scale.y(level.value) for level in levels]
    labels = _spread(heights, TOP, PRICE_BOTTOM)
    return tuple(
        DrawnLevel(level, y, round(label, 1)) for level, y, label in zip(levels, heights, labels, strict=True)
    )


def _range_box(
    bars: Sequence[Mapping[str, Any]],
    scale: _Scale,
    support: float | None,
    resistance: float | None,
    start: date | None,
) -> Box | None:
    if support is None or resistance is None or resistance <= support:
        return None
    first = next((i for i, bar in enumerate(bars) if start is not None and bar["date"] >= start), 0)
    top = max(scale.y(min(resistance, scale.high)), TOP)
    bottom = min(scale.y(max(support, scale.low)), PRICE_BOTTOM)
    if bottom <= top:
        return None
    x = scale.x(first)
    return Box(x, top, round(scale.x(len(bars) - 1) - x, 1), round(bottom - top, 1))


def _is_low(bars: Sequence[Mapping[str, Any]], index: int) -> bool:
    """Whether the close stands under its neighbours', so that a label below it stays clear of the line."""
    around = [bar["close"] for bar in bars[max(index - 3, 0) : index + 4]]
    return bars[index]["close"] < sum(around) / len(around)


def _touches(mark: Mark, code: str, x: float, text_y: float) -> bool:
    """Whether a new label would touch the mark's, at the letter size of a phone."""
    return (
        abs(mark.x - x) < LETTER * (len(mark.code) + len(code)) / 2
        and abs(mark.text_y - text_y) < LABEL_STEP - 1
    )


def _marks(
    bars: Sequence[Mapping[str, Any]], scale: _Scale, events: Sequence[Mapping[str, Any]]
) -> tuple[Mark, ...]:
    place = {bar["date"].isoformat(): i for i, bar in enumerate(bars)}
    found: list[Mark] = []
    for event in sorted(events, key=lambda e: str(e.get("event_date"))):
        index = place.get(str(event.get("event_date")))
        if index is None:
            continue
        code = str(event.get("type"))
        x, y = scale.x(index), scale.y(bars[index]["close"])
        away = 1 if _is_low(bars, index) else -1
        text_y = y + (17 if away > 0 else -9)
        while any(_touches(mark, code, x, text_y) for mark in found):
            text_y += away * LABEL_STEP
        found.append(
            Mark(
                code=code,
                x=x,
                y=y,
                text_y=round(min(max(text_y, 10.0), PRICE_BOTTOM + 8), 1),
                failed=event.get("status") in ("failed", "superseded"),
                title=f"{event.get('type')} {formats.day(event.get('event_date'))}, {event.get('status')}, "
                f"confidence {formats.percent(event.get('confidence'), 0)}",
            )
        )
    return tuple(found)
