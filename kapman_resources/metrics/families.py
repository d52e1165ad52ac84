"""The four families of a snapshot's metrics: their formulas, what these read, and the tool that answers for each.

Local computation, the MCP server and its client share this list. Does not belong here: formulas (kapman_metrics),
how answers travel (wire).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any, Protocol

import polars as pl

from kapman_metrics.dealer import dealer_metrics
from kapman_metrics.frames import BAR_SCHEMA, CHAIN_SCHEMA
from kapman_metrics.indicators import SURFACE, technical_snapshot
from kapman_metrics.price import price_metrics
from kapman_metrics.volatility import volatility_metrics

SPOT_SCHEMA = {"symbol": pl.String(), "spot": pl.Float64()}
HISTORY_SCHEMA = {
    "symbol": pl.String(), "date": pl.Date(), "average_iv": pl.Float64(), "hv_20": pl.Float64(),
}  # fmt: skip

Facts = dict[str, Any]


class MetricInputs(Protocol):
    """What the metrics of one session are computed from, frames in the shapes of kapman_metrics.

    `bars` are split-adjusted as of the session, `spot` is its regular close, `history` the average_iv and hv_20 of
    earlier sessions.
    """

    @property
    def session(self) -> date: ...
    @property
    def bars(self) -> pl.DataFrame: ...
    @property
    def chain(self) -> pl.DataFrame: ...
    @property
    def spot(self) -> pl.DataFrame: ...
    @property
    def history(self) -> pl.DataFrame: ...


@dataclass(frozen=True)
class Family:
    """One family of metrics and the MCP tool that answers for it.

    `compute`: one row a symbol, its JSON document in the column `document` with at least `document_keys`.
    `computed_from`: symbol -> what its numbers rest on, so that two sides can tell whether they hold the same data;
    symbols without `source` are absent.
    """

    tool: str
    source: str
    document: str
    compute: Callable[[MetricInputs], pl.DataFrame]
    computed_from: Callable[[MetricInputs], dict[str, Facts]]
    document_keys: frozenset[str] = frozenset()

    @cached_property
    def schema(self) -> dict[str, pl.DataType]:
        """Columns and types of `compute`, the symbol first and the document last."""
        return dict(self.compute(_Nothing()).schema)


class _Nothing:
    """Inputs without a row."""

    session = date(2020, 1, 2)
    bars = pl.DataFrame(schema=BAR_SCHEMA)
    chain = pl.DataFrame(schema=CHAIN_SCHEMA)
    spot = pl.DataFrame(schema=SPOT_SCHEMA)
    history = pl.DataFrame(schema=HISTORY_SCHEMA)


def _from_bars(given: MetricInputs) -> dict[str, Facts]:
    newest = pl.col("date").arg_max()
    facts = given.bars.group_by("symbol").agg(
        pl.len().alias("bars"),
        pl.col("date").get(newest).dt.to_string().alias("newest_bar"),
        pl.col("close").get(newest),
    )
    return _by_symbol(facts)


def _from_chain(given: MetricInputs) -> dict[str, Facts]:
    return _by_symbol(_chain_facts(given))


def _from_chain_and_history(given: MetricInputs) -> dict[str, Facts]:
    sessions = given.history.group_by("symbol").agg(pl.len().alias("history_sessions"))
    facts = _chain_facts(given).join(sessions, on="symbol", how="left")
    return _by_symbol(facts.with_columns(pl.col("history_sessions").fill_null(0)))


def _chain_facts(given: MetricInputs) -> pl.DataFrame:
    counted = given.chain.group_by("symbol").agg(pl.len().alias("contracts"), pl.col("open_interest").sum())
    return counted.join(given.spot, on="symbol", how="left")


def _by_symbol(facts: pl.DataFrame) -> dict[str, Facts]:
    return {row.pop("symbol"): row for row in facts.to_dicts()}


FAMILIES: tuple[Family, ...] = (
    Family(
        tool="get_all_ta_indicators",
        source="bar",
        document="technical_indicators_json",
        compute=lambda given: technical_snapshot(given.bars, given.session),
        computed_from=_from_bars,
        document_keys=frozenset(SURFACE),
    ),
    Family(
        tool="get_dealer_metrics",
        source="option chain",
        document="dealer_metrics_json",
        compute=lambda given: dealer_metrics(given.chain, given.spot, given.session),
        computed_from=_from_chain,
    ),
    Family(
        tool="get_volatility_metrics",
        source="option chain",
        document="volatility_metrics_json",
        compute=lambda given: volatility_metrics(given.chain, given.spot, given.history, given.session),
        computed_from=_from_chain_and_history,
    ),
    Family(
        tool="get_price_metrics",
        source="bar",
        document="price_metrics_json",
        compute=lambda given: price_metrics(given.bars, given.session),
        computed_from=_from_bars,
    ),
)
