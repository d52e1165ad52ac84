"""Numbers, dates and legs as text. One dash for everything that is missing, never an empty cell.

Text only; does not belong here: HTML, and which number is shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from kapman_resources.calendar import NEW_YORK, sessions_between

MISSING = "—"
_MAGNITUDES = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))


def is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def fixed(value: float | None, digits: int = 2, *, signed: bool = False) -> str:
    """1,234.50 with a real minus sign; `signed` puts + before what is above zero."""
    if is_missing(value):
        return MISSING
    text = f"{value:{'+' if signed else ''},.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def price(value: float | None) -> str:
    """USD with two decimals, four under a dollar."""
    if is_missing(value):
        return MISSING
    assert value is not None
    return fixed(value, 2 if abs(value) >= 1 or value == 0 else 4)


def premium(value: float | None) -> str:
    """USD per share with the half cents that midpoints have: 8.35, 4.075."""
    if is_missing(value):
        return MISSING
    text = f"{value:,.4f}"
    return text[:-2] if text.endswith("00") else text.rstrip("0")


def percent(value: float | None, digits: int = 1, *, signed: bool = False) -> str:
    """A decimal share as percent: 0.354 -> 35.4 %."""
    if is_missing(value):
        return MISSING
    assert value is not None
    return fixed(100.0 * value, digits, signed=signed) + " %"


def compact(value: float | None, digits: int = 2, *, signed: bool = False) -> str:
    """1.23 B, 45.6 K; below a thousand a whole number."""
    if is_missing(value):
        return MISSING
    assert value is not None
    for size, letter in _MAGNITUDES:
        if abs(value) >= size:
            return f"{fixed(value / size, digits, signed=signed)} {letter}"
    return fixed(value, 0, signed=signed)


def whole(value: float | None) -> str:
    return fixed(value, 0)


def plain(value: float | None) -> str:
    """A strike: 290, 292.5."""
    return MISSING if is_missing(value) else f"{value:g}"


def as_date(value: date | str | None) -> date | None:
    """A date as it is or from ISO text; None for text that is no date."""
    if isinstance(value, str):
        try:
            return date.fromisoformat(value[:10])
        except ValueError:
            return None
    return value


def day(value: date | str | None) -> str:
    """Tue 5 May 2026."""
    found = as_date(value)
    return MISSING if found is None else f"{found:%a} {found.day} {found:%b %Y}"


def short_day(value: date | str | None) -> str:
    """5 May."""
    found = as_date(value)
    return MISSING if found is None else f"{found.day} {found:%b}"


def eastern(value: datetime | None) -> str:
    """Wed 6 May 04:03 ET."""
    if value is None:
        return MISSING
    local = value.astimezone(NEW_YORK)
    return f"{local:%a} {local.day} {local:%b %H:%M} ET"


def sessions_since(then: date | str | None, now: date) -> int | None:
    """Trading sessions from one day to another, 0 for the same one; None when the first is not known."""
    found = as_date(then)
    if found is None or found > now:
        return None
    return max(len(sessions_between(found, now)) - 1, 0)


def counted(number: int | None, noun: str) -> str:
    """1 session, 2 sessions."""
    return MISSING if number is None else f"{number:,} {noun}{'' if number == 1 else 's'}"


def leg(row: Mapping[str, Any]) -> str:
    """buy 1 AAPL 2026-06-19 290 call at 8.35 (mid)."""
    source = {"day_close": "day close"}.get(row["price_source"], row["price_source"])
    return (
        f"{row['side']} {row['quantity']} {row['symbol']} {row['expiration']} {plain(row['strike'])} "
        f"{row['option_type']} at {premium(row['price'])} ({source})"
    )
