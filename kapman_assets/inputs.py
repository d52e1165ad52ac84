"""What the tables to the right read from the tables to the left, as the frames that the pure rooms expect.

Every read is bounded by the session: nothing dated after it can enter. Does not belong here: formulas, writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import polars as pl

from kapman_metrics.adjust import unexplained_jumps
from kapman_metrics.frames import BAR_SCHEMA, CHAIN_SCHEMA, SPLIT_SCHEMA
from kapman_metrics.listings import listing_in_force
from kapman_resources.calendar import session_offset
from kapman_resources.database.core import Database
from kapman_resources.database.queries import query

_BREAK_SCHEMA = {"symbol": pl.String, "first_session": pl.Date}
_NIGHT_REACHES_BACK = 5  # sessions


def watchlist(database: Database, session: date, *, priority: str | None = None) -> list[str]:
    """Symbols to work on for a session: today's watchlist and whatever that session already holds.

    So a re-run of an old session never loses a symbol that has left the watchlist since.
    """
    return [
        r["symbol"]
        for r in database.rows(query("watchlist_of_session"), {"session": session, "priority": priority})
    ]


def history_start(session: date) -> date:
    """First day of the bars a session is computed from: a fixed anchor, so that successive sessions see one history."""
    return date(session.year - 2, 1, 1)


def raw_bars(database: Database, symbols: Sequence[str], session: date) -> pl.DataFrame:
    """Bars as traded from history_start to the session, BAR_SCHEMA, sorted by symbol and date.

    Only the listing in force at each symbol's newest bar: never two companies that shared a ticker.
    """
    params = {"symbols": list(symbols), "first": history_start(session), "last": session}
    bars = database.frame(query("bars_of_symbols"), params, BAR_SCHEMA)
    breaks = database.frame(query("listing_breaks_of_symbols"), params, _BREAK_SCHEMA)
    return listing_in_force(bars, breaks, session)


def splits(database: Database, symbols: Sequence[str], session: date) -> pl.DataFrame:
    """Splits of the symbols executed up to the session; what is on record but no split is left out."""
    return database.frame(
        query("splits_of_symbols"), {"symbols": list(symbols), "last": session}, SPLIT_SCHEMA
    )


def adjusted_bars(database: Database, symbols: Sequence[str], session: date) -> pl.DataFrame:
    """Bars of the listing in force, split-adjusted as of the session, BAR_SCHEMA, sorted by symbol and date."""
    params = {"symbols": list(symbols), "first": history_start(session), "last": session}
    return database.frame(query("adjusted_bars_of_symbols"), params, BAR_SCHEMA).sort("symbol", "date")


def market_findings(database: Database, session: date) -> pl.DataFrame:
    """unexplained_jumps of the night before the session over the whole market: symbol, date, kind, ratio.

    A symbol without a bar in the five sessions before is not judged.
    """
    params = {"first": session_offset(session, -_NIGHT_REACHES_BACK), "last": session}
    bars = database.frame(query("bars_of_sessions"), params, BAR_SCHEMA)
    today = bars.filter(pl.col("date") == session)["symbol"].to_list()
    found = unexplained_jumps(bars.filter(pl.col("symbol").is_in(today)), splits(database, today, session))
    return found.filter(pl.col("date") == session)


def chain(database: Database, session: date, symbols: Sequence[str] | None = None) -> pl.DataFrame:
    """The session's stored chains, CHAIN_SCHEMA; all underlyings unless `symbols` names some."""
    params = {"session": session, "symbols": None if symbols is None else list(symbols)}
    return database.frame(query("chain_of_session"), params, CHAIN_SCHEMA).sort("symbol", "contract")


def spot(database: Database, session: date, symbols: Sequence[str]) -> pl.DataFrame:
    """symbol, spot: the session's regular close as traded; a symbol without a bar that day is absent."""
    params = {"session": session, "symbols": list(symbols)}
    return database.frame(query("spot_of_session"), params, {"symbol": pl.String, "spot": pl.Float64})
