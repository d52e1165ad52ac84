"""Splits and tickers of the vendor's reference endpoints as frames, every listed entry in its place.

Does not belong here: which of two contradicting entries is right (kapman_metrics.adjust).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from datetime import date
from typing import Any

import polars as pl

from kapman_resources.market_data.protocol import SPLIT_SCHEMA, TICKER_SCHEMA, NotEntitled
from kapman_resources.market_data.rest_transport import NotThere, RestTransport, all_of
from kapman_resources.market_data.rest_wire import number, row_page, text

log = logging.getLogger(__name__)


async def splits(transport: RestTransport, since: date, until: date) -> pl.DataFrame:
    """Splits of all symbols in SPLIT_SCHEMA, doubled entries included.

    The deprecated endpoint answers where the new one is absent or not in the plan. Entries without ticker, date or
    ratio are left out and counted in a warning.
    """
    span = {"execution_date.gte": str(since), "execution_date.lte": str(until)}
    try:
        listed = await _rows(transport, "/stocks/v1/splits", span | {"limit": "5000"})
    except (NotThere, NotEntitled):
        listed = await _rows(transport, "/v3/reference/splits", span | {"limit": "1000"})
    whole = [split for split in map(_split, listed) if split is not None]
    if len(whole) < len(listed):
        log.warning(
            "%d of %d split entries between %s and %s lack a ticker, a date or a ratio and were left out",
            len(listed) - len(whole), len(listed), since, until,
        )  # fmt: skip
    within = [split for split in whole if since <= split[1] <= until]
    return pl.DataFrame(within, schema=SPLIT_SCHEMA, orient="row")


async def tickers(transport: RestTransport) -> pl.DataFrame:
    """The stock market's listings in TICKER_SCHEMA, active before delisted, all of a re-used symbol."""
    path = "/v3/reference/tickers"
    ask = {"market": "stocks", "limit": "1000"}
    active, delisted = await all_of(
        _rows(transport, path, ask | {"active": living}) for living in ("true", "false")
    )
    listed = [_ticker(entry, True) for entry in active] + [_ticker(entry, False) for entry in delisted]
    return pl.DataFrame([entry for entry in listed if entry[0]], schema=TICKER_SCHEMA, orient="row")


async def _rows(transport: RestTransport, path: str, params: Mapping[str, str]) -> list[dict[str, Any]]:
    return [row async for page in transport.pages(path, params, row_page) for row in page]


def _split(entry: dict[str, Any]) -> tuple[str, date, float, float, str | None] | None:
    symbol, executed = text(entry.get("ticker")), _day(entry.get("execution_date"))
    before, after = number(entry.get("split_from")), number(entry.get("split_to"))
    if not symbol or executed is None or not _is_ratio(before) or not _is_ratio(after):
        return None
    assert before is not None and after is not None
    return symbol, executed, before, after, text(entry.get("adjustment_type"))


def _is_ratio(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and value > 0


def _ticker(entry: dict[str, Any], living: bool) -> tuple[Any, ...]:
    active = entry.get("active")
    return (
        text(entry.get("ticker")),
        text(entry.get("name")),
        text(entry.get("type")),
        text(entry.get("primary_exchange")),
        active if isinstance(active, bool) else living,
        _day(entry.get("delisted_utc")),
        text(entry.get("composite_figi")),
    )


def _day(value: object) -> date | None:
    """The date at the head of a date or an instant; None for everything else."""
    try:
        return date.fromisoformat(value[:10]) if isinstance(value, str) else None
    except ValueError:
        return None
