"""Bars as panels: arrays of sessions x symbols, each symbol's own bars packed to the bottom row.

A session in which a symbol has no bar leaves no hole: row -1 is the symbol's latest bar, row -2 the one
before it. Rows above a symbol's first bar are NaN. Does not belong here: formulas.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

Array = np.ndarray

# 256 symbols x 504 sessions x 8 bytes = 1 MB a field: a handful of fields fit the second-level cache.
BLOCK_SYMBOLS = 256

_PRICES = ("high", "low", "close", "volume")


@dataclass(frozen=True)
class Panel:
    """high, low, close, volume: float64 [sessions x symbols]; year: calendar year of each bar (0 where
    there is none).
    """

    high: Array
    low: Array
    close: Array
    volume: Array
    year: Array

    def tail(self, rows: int) -> Panel:
        """The last `rows` bars of every symbol."""
        return Panel(
            self.high[-rows:], self.low[-rows:], self.close[-rows:], self.volume[-rows:], self.year[-rows:]
        )


@dataclass(frozen=True)
class Block:
    """A panel of some symbols and the positions of their bars: `values[row, column]` belongs to
    `bars[position]`.
    """

    panel: Panel
    row: Array
    column: Array
    position: Array
    symbol: Array  # each column's place among the symbols
    last_position: Array  # of each column's latest bar


def usable_bars(bars: pl.DataFrame) -> pl.DataFrame:
    """Bars sorted by symbol and date without rows that lack high, low, close or volume (such a day has no
    bar).
    """
    complete = pl.all_horizontal(pl.col(name).cast(pl.Float64).is_finite() for name in _PRICES)
    return bars.filter(complete).sort("symbol", "date")


def blocks(bars: pl.DataFrame, symbols_per_block: int = BLOCK_SYMBOLS) -> Iterator[Block]:
    """Panels over `bars` (as `usable_bars` gives them), symbols of similar length together.

    Formulas work column by column, so the grouping cannot change a value.
    """
    if bars.is_empty():
        return
    lengths = bars.group_by("symbol", maintain_order=True).len()["len"].to_numpy().astype(np.int64)
    starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
    fields = [bars[name].cast(pl.Float64).to_numpy() for name in _PRICES]
    years = bars["date"].dt.year().to_numpy()

    by_length = np.argsort(lengths, kind="stable")
    for cut in range(0, len(lengths), symbols_per_block):
        members = by_length[cut : cut + symbols_per_block]
        count = lengths[members]
        height = int(count.max())
        nth_bar = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        column = np.repeat(np.arange(len(members)), count)
        row = nth_bar + np.repeat(height - count, count)
        position = nth_bar + np.repeat(starts[members], count)

        arrays = []
        for field in fields:
            array = np.full((height, len(members)), np.nan)
            array[row, column] = field[position]
            arrays.append(array)
        year = np.zeros((height, len(members)), np.int32)
        year[row, column] = years[position]
        high, low, close, volume = arrays
        panel = Panel(high, low, close, volume, year)
        yield Block(panel, row, column, position, members, starts[members] + count - 1)
