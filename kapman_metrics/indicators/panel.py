"""Bars as panels: arrays of bars x symbols, each symbol's own bars packed to the bottom row.

A session in which a symbol has no bar leaves no hole: row -1 is the symbol's latest bar, row -2 the one
before it. Rows above a symbol's first bar are NaN. Does not belong here: formulas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, wraps
from typing import Any, TypeVar

import numpy as np
import polars as pl

Array = np.ndarray
Value = TypeVar("Value")

# The recursions go bar by bar, so the cost of a numpy call must be spread over many symbols; much wider, and the
# intermediate results (504 sessions x 2,048 symbols x 8 bytes = 8 MB each) leave the last cache. Measured.
BLOCK_SYMBOLS = 2048
TURNED_AT_ONCE = 256  # so many symbols' cache lines are still there when their next bar is read

_PRICES = ("high", "low", "close", "volume")


@dataclass(frozen=True)
class Panel:
    """high, low, close, volume: float64 [bars x symbols]; year: calendar year of each bar (0 where there is
    none); count: bars of each symbol, those above the panel's top row included.

    `latest`: only the bottom row of a result is wanted, so a formula may leave out rows nothing depends on.
    """

    high: Array
    low: Array
    close: Array
    volume: Array
    year: Array
    count: Array
    latest: bool = False
    _results: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    def tail(self, rows: int) -> Panel:
        """The last `rows` bars of every symbol."""

        def cut() -> Panel:
            high, low, close, volume, year = (
                x[-rows:] for x in (self.high, self.low, self.close, self.volume, self.year)
            )
            return Panel(high, low, close, volume, year, self.count, self.latest)

        return self.remember(("tail", rows), cut)

    @property
    def first(self) -> Array:
        """Row of each symbol's first bar; negative when the panel does not reach up to it."""
        return len(self.close) - self.count

    def rows(self, wanted: int = 1) -> int | None:
        """`wanted` where only the latest bar is asked for, else None: all rows."""
        return wanted if self.latest else None

    def recent(self, x: Array, rows: int = 1) -> Array:
        """The last `rows` rows of `x` where only the latest bar is wanted, else all of it."""
        return x[-rows:] if self.latest else x

    def known_from(self, x: Array, bar: int) -> Array:
        """`x` with NaN on each symbol's first `bar` bars; the bottom row of `x` is the panel's."""
        number = np.arange(len(x))[:, None] + (self.count - len(x))
        return np.where(number < bar, np.nan, x)

    def put_first(self, x: Array, value: float) -> Array:
        """`x`, changed in place, with `value` on each symbol's first bar (if the panel reaches up to it)."""
        column = np.flatnonzero(self.first >= 0)
        x[self.first[column], column] = value
        return x

    def remember(self, key: Any, make: Callable[[], Value]) -> Value:
        """What `make` gave the first time it was asked for under `key`."""
        if key not in self._results:
            self._results[key] = make()
        return self._results[key]

    def forget(self) -> None:
        """Drops what is remembered: the next formula starts from the bars."""
        self._results.clear()


def shared(formula: Callable[..., Value]) -> Callable[..., Value]:
    """A formula several indicators use: computed once a panel and set of parameters. Nobody may change the
    result in place.
    """

    @wraps(formula)
    def once(p: Panel, *parameters: Any) -> Value:
        return p.remember((formula, parameters), lambda: formula(p, *parameters))

    return once


@dataclass(frozen=True)
class Block:
    """A panel of some symbols and where their bars stand: `values[row, column]` belongs to `bars[position]`."""

    panel: Panel
    symbol: Array  # each column's place among the symbols
    start: Array  # position of each column's first bar

    @cached_property
    def column(self) -> Array:
        return np.repeat(np.arange(len(self.symbol)), self.panel.count)

    @cached_property
    def _nth_bar(self) -> Array:
        count = self.panel.count
        return np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)

    @cached_property
    def row(self) -> Array:
        return self._nth_bar + np.repeat(len(self.panel.close) - self.panel.count, self.panel.count)

    @cached_property
    def position(self) -> Array:
        return self._nth_bar + np.repeat(self.start, self.panel.count)

    @property
    def last_position(self) -> Array:
        """Position of each column's latest bar."""
        return self.start + self.panel.count - 1


def usable_bars(bars: pl.DataFrame) -> pl.DataFrame:
    """Bars sorted by symbol and date without rows that lack high, low, close or volume (such a day has no
    bar). Bars that come so are returned as they are: checking is cheap, sorting millions of them is not.
    """
    complete = bars.select(
        pl.all_horizontal(pl.col(name).cast(pl.Float64).is_finite() for name in _PRICES).fill_null(False)
    ).to_series()
    if not complete.all():
        bars = bars.filter(complete)
    return bars if _is_sorted(bars) else bars.sort("symbol", "date")


def _is_sorted(bars: pl.DataFrame) -> bool:
    runs = bars["symbol"].rle().struct
    names = runs.field("value")
    if not (names.slice(1) > names.head(max(len(names) - 1, 0))).all():
        return False
    days = bars["date"].to_physical().to_numpy()
    goes_back = np.flatnonzero(days[1:] < days[:-1]) + 1
    return bool(np.isin(goes_back, np.cumsum(_lengths(bars))).all())


def latest_positions(bars: pl.DataFrame) -> Array:
    """Row of each symbol's latest bar in `bars` (as `usable_bars` gives them)."""
    return np.cumsum(_lengths(bars)) - 1


def _lengths(bars: pl.DataFrame) -> Array:
    return bars["symbol"].rle().struct.field("len").to_numpy().astype(np.int64)


def blocks(
    bars: pl.DataFrame, symbols_per_block: int = BLOCK_SYMBOLS, latest: bool = False
) -> Iterator[Block]:
    """Panels over `bars` (as `usable_bars` gives them), symbols of similar length together.

    Formulas work column by column, so the grouping cannot change a value.
    """
    if bars.is_empty():
        return
    _keep_memory()
    lengths = _lengths(bars)
    starts = np.cumsum(lengths) - lengths
    fields = [bars[name].cast(pl.Float64).to_numpy() for name in _PRICES]
    years = _years(bars["date"])

    by_length = np.argsort(lengths, kind="stable")
    for cut in range(0, len(lengths), symbols_per_block):
        members = by_length[cut : cut + symbols_per_block]
        start, count = starts[members], lengths[members]
        high, low, close, volume = (_packed(values, start, count, np.nan) for values in fields)
        panel = Panel(high, low, close, volume, _packed(years, start, count, 0), count, latest)
        yield Block(panel, members, start)


def _keep_memory() -> None:
    """Lets glibc keep freed arrays for the next ones: it would hand each back to the system and have every page
    of its successor zeroed, which costs more than the arithmetic. Freeing a block just under 32 MB raises its
    limits; nothing happens with another allocator.
    """
    np.empty(31 << 20, np.uint8)


def _years(dates: pl.Series) -> Array:
    days = dates.to_physical().to_numpy()
    oldest = days.min()
    calendar = pl.Series(np.arange(oldest, days.max() + 1, dtype=np.int32)).cast(pl.Date)
    return calendar.dt.year().to_numpy().astype(np.int16)[days - oldest]


def _packed(values: Array, start: Array, count: Array, nothing: float) -> Array:
    """[bars x symbols]: column i ends with values[start[i] : start[i] + count[i]], `nothing` above."""
    height, width = int(count.max()), len(start)
    if start[0] + height * width == start[-1] + count[-1] and (np.diff(start) == height).all():
        lines = values[start[0] : start[0] + height * width].reshape(width, height)
    else:
        lines = np.full((width, height), nothing, values.dtype)
        for line, first, length in zip(lines, start.tolist(), count.tolist(), strict=True):
            line[height - length :] = values[first : first + length]
    packed = np.empty((height, width), values.dtype)
    for cut in range(0, width, TURNED_AT_ONCE):
        packed[:, cut : cut + TURNED_AT_ONCE] = lines[cut : cut + TURNED_AT_ONCE].T
    return packed
