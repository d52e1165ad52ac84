"""What may come in through a URL: symbols, sessions, allow-listed filter values. The rest is refused.

Does not belong here: whether a symbol or session is stored (queries), and how a refusal looks (errors).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, HTTPException, Path, Query

from kapman_dashboard.vocabulary import DIRECTIONS, SIGNALS, STRATEGIES
from kapman_resources.calendar import FIRST_YEAR, LAST_YEAR

SYMBOL_PATTERN = r"^[A-Za-z][A-Za-z0-9.\-]{0,19}$"
_SYMBOL = re.compile(SYMBOL_PATTERN + r"\Z")


def _refuse(message: str) -> HTTPException:
    return HTTPException(status_code=422, detail=message)


def checked_symbol(
    symbol: Annotated[str, Path(description="vendor's symbol, case-sensitive, such as BRK.B")],
) -> str:
    """The symbol of the path; 422 when it cannot be one."""
    if not _SYMBOL.match(symbol):
        raise _refuse(
            f"{symbol[:40]!r} is not a ticker symbol: a letter, then up to 19 letters, digits, . or -"
        )
    return symbol


def checked_session(
    session: Annotated[
        str | None, Query(description="as-of session YYYY-MM-DD; without it the newest stored")
    ] = None,
) -> date | None:
    """The as-of session asked for, None for the newest; 422 for no date or one outside the calendar."""
    if session is None or session == "":
        return None
    try:
        asked = date.fromisoformat(session) if re.fullmatch(r"\d{4}-\d{2}-\d{2}", session) else None
    except ValueError:
        asked = None
    if asked is None:
        raise _refuse(f"session={session[:40]!r} is not a date: write it like 2026-05-05")
    if not FIRST_YEAR <= asked.year <= LAST_YEAR:
        raise _refuse(f"session={session} is outside the calendar's {FIRST_YEAR}..{LAST_YEAR}")
    return asked


@dataclass(frozen=True)
class Filters:
    """The filters of Today; None means all. They never hide the critical banner."""

    portfolio: str | None = None
    signal: str | None = None
    direction: str | None = None
    strategy: str | None = None

    @property
    def any(self) -> bool:
        return bool(self.portfolio or self.signal or self.direction or self.strategy)

    def query_string(self, session: date | None) -> str:
        """These filters and the session as '?...', empty when nothing is set."""
        pairs = [(name, value) for name, value in vars(self).items() if value]
        if session is not None:
            pairs.append(("session", session.isoformat()))
        return "?" + urlencode(pairs) if pairs else ""


def _one_of(name: str, value: str | None, allowed: dict[str, object]) -> str | None:
    if value is None or value == "":
        return None
    if value not in allowed:
        raise _refuse(f"{name}={value[:40]!r} is not one of {', '.join(allowed)}")
    return value


def checked_filters(
    portfolio: Annotated[str | None, Query(max_length=200)] = None,
    signal: str | None = None,
    direction: str | None = None,
    strategy: str | None = None,
) -> Filters:
    """Filter values from the allow-lists; empty text is no filter, anything else 422."""
    if portfolio and "\x00" in portfolio:
        raise _refuse("portfolio holds a NUL character")
    return Filters(
        portfolio=portfolio or None,
        signal=_one_of("signal", signal, dict(SIGNALS)),
        direction=_one_of("direction", direction, dict(DIRECTIONS)),
        strategy=_one_of("strategy", strategy, dict(STRATEGIES)),
    )


Symbol = Annotated[str, Depends(checked_symbol)]
AskedSession = Annotated[date | None, Depends(checked_session)]
AskedFilters = Annotated[Filters, Depends(checked_filters)]
Limit = Annotated[int, Query(ge=1, le=500)]
