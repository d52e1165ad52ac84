"""The vendor's historical open interest and greeks of option contracts (2026), whose field names no stored page shows.

Every plausible name is accepted, an absent endpoint is a missing entitlement. Does not belong here: solving greeks from
prices (kapman_metrics).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import polars as pl

from kapman_metrics.option_history import roots_of
from kapman_resources.market_data.protocol import (
    OPTION_HISTORY_SCHEMA,
    NotEntitled,
    VendorAnswerError,
)
from kapman_resources.market_data.rest_transport import NotThere, RestTransport, all_of
from kapman_resources.market_data.rest_wire import number, row_page, text

OPEN_INTEREST, ANALYTICS = "/options/v1/open-interest", "/options/v1/analytics"
_LIMIT = "250"  # the highest that is within every documented maximum
_GREEKS = ("delta", "gamma", "theta", "vega")
_CONTRACT = ("ticker", "contract", "options_ticker")
_DATE = ("date", "session", "session_date")


async def option_history(transport: RestTransport, session: date, symbols: Sequence[str]) -> pl.DataFrame:
    """OPTION_HISTORY_SCHEMA, one row a contract that either endpoint knows. Raises VendorError subclasses."""
    roots = sorted({root for symbol in symbols for root in roots_of(symbol)})
    interest, analytics = await all_of(
        _rows(transport, path, session, roots) for path in (OPEN_INTEREST, ANALYTICS)
    )
    held = _frame(interest, {"open_interest": ("open_interest", "oi", "value")})
    priced = _frame(
        analytics,
        {"implied_volatility": ("implied_volatility", "iv"), **{name: (name,) for name in _GREEKS}},
    )
    joined = held.join(priced, on="contract", how="full", coalesce=True)
    return joined.select(OPTION_HISTORY_SCHEMA.keys()).sort("contract")


async def _rows(
    transport: RestTransport, path: str, session: date, roots: Sequence[str]
) -> list[dict[str, Any]]:
    """The session's rows of all roots; a root that the vendor does not know has none."""
    answers = await all_of(_rows_of_root(transport, path, session, root) for root in roots)
    found = [rows for rows in answers if rows is not None]
    if roots and not found:
        raise NotEntitled(f"{path}: the vendor does not offer it under this key (HTTP 404)")
    return [row for rows in found for row in rows]


async def _rows_of_root(
    transport: RestTransport, path: str, session: date, root: str
) -> list[dict[str, Any]] | None:
    ask = {"root": root, "date": str(session), "limit": _LIMIT}
    try:
        rows = [row async for page in transport.pages(path, ask, row_page) for row in page]
    except NotThere:
        return None
    others = {str(named)[:10] for row in rows if (named := _first(row, _DATE)) is not None} - {str(session)}
    if others:
        raise VendorAnswerError(
            f"{path}: asked for {session} of {root}, the answer is for {', '.join(sorted(others))}: "
            "the vendor did not keep to the date"
        )
    return rows


def _frame(rows: Sequence[dict[str, Any]], fields: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """contract and one number a field, null where the vendor has none; of a contract listed twice the last."""
    flat = [row | greeks if isinstance(greeks := row.get("greeks"), dict) else row for row in rows]
    named = [(contract, row) for row in flat if (contract := text(_first(row, _CONTRACT)))]
    columns: dict[str, list[Any]] = {"contract": [contract for contract, _ in named]}
    for field, names in fields.items():
        columns[field] = [number(_first(row, names)) for _, row in named]
    frame = pl.DataFrame(columns, schema={name: OPTION_HISTORY_SCHEMA[name] for name in columns})
    return frame.unique("contract", keep="last", maintain_order=True)


def _first(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)
