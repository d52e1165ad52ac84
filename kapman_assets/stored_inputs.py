"""What a session's metrics are computed from, read when it is first needed: for the asset and for `kapman mcp`.

Both read here, so both compute the same numbers. Does not belong here: formulas, writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import polars as pl

from kapman_assets import inputs
from kapman_metrics.adjust import adjust_for_splits
from kapman_metrics.price import hv_history
from kapman_resources.calendar import session_offset
from kapman_resources.database.core import Database
from kapman_resources.database.queries import query
from kapman_resources.metrics.families import HISTORY_SCHEMA

HISTORY_SESSIONS = 252


@dataclass(frozen=True)
class StoredInputs:
    """The symbols' inputs as stored for one session; nothing dated after it can enter."""

    database: Database
    symbols: Sequence[str]
    session: date

    @cached_property
    def raw_bars(self) -> pl.DataFrame:
        return inputs.raw_bars(self.database, self.symbols, self.session)

    @cached_property
    def splits(self) -> pl.DataFrame:
        return inputs.splits(self.database, self.symbols, self.session)

    @cached_property
    def bars(self) -> pl.DataFrame:
        """Split-adjusted as of the session."""
        return adjust_for_splits(self.raw_bars, self.splits, self.session)

    @cached_property
    def chain(self) -> pl.DataFrame:
        return inputs.chain(self.database, self.session, self.symbols)

    @cached_property
    def spot(self) -> pl.DataFrame:
        return inputs.spot(self.database, self.session, self.symbols)

    @cached_property
    def history(self) -> pl.DataFrame:
        """symbol, date, average_iv, hv_20 of stored snapshots, and hv_20 from the bars for sessions without one."""
        params = {
            "symbols": list(self.symbols),
            "session": self.session,
            "first": session_offset(self.session, -HISTORY_SESSIONS),
        }
        stored = self.database.frame(query("volatility_history"), params, HISTORY_SCHEMA)
        from_bars = hv_history(self.bars, self.session, sessions=HISTORY_SESSIONS).select(
            "symbol", "date", pl.lit(None, pl.Float64).alias("average_iv"), "hv_20"
        )
        missing = from_bars.join(stored, on=["symbol", "date"], how="anti")
        return _of_one_listing(pl.concat([stored, missing]), self.bars)


def _of_one_listing(history: pl.DataFrame, bars: pl.DataFrame) -> pl.DataFrame:
    """Without what was stored of a company that had the ticker before the listing that `bars` begin with."""
    first = bars.group_by("symbol").agg(pl.col("date").min().alias("first"))
    kept = history.join(first, on="symbol", how="left", maintain_order="left")
    return kept.filter(pl.col("first").is_null() | (pl.col("date") >= pl.col("first"))).drop("first")
