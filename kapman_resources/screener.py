"""Screens over the whole market: a screen's tree becomes one query of allow-listed columns and bound parameters.

No word of the user's reaches the text of the query. Does not belong here: the language (kapman_metrics.screening), how
an answer is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from typing import Any

import polars as pl
import psycopg
from psycopg import sql

from kapman_metrics import screening
from kapman_metrics.indicators import SNAPSHOT_COLUMNS
from kapman_metrics.screen_words import ScreenError
from kapman_metrics.screening import Kind
from kapman_metrics.universe import UNIVERSE_COLUMNS
from kapman_resources.database.core import Database
from kapman_resources.database.queries import query

# the specification's names of what the surface calls otherwise
_SNAPSHOT_NAMES = {name: output for name, output in SNAPSHOT_COLUMNS.items() if name != output}
# known of watchlist symbols only
_WATCHLIST_NUMBERS = (
    "phase_score", "phase_confidence", "primary_event_confidence", "bc_score", "spring_score", "composite_score",
    "gex_total", "gex_net", "gamma_flip_level", "call_wall_primary", "call_wall_primary_oi", "put_wall_primary",
    "put_wall_primary_oi", "dgpi", "iv_skew_25d", "iv_term_structure", "put_call_ratio_oi", "put_call_ratio_volume",
    "average_iv", "iv_rank", "iv_percentile", "iv_hv_diff",
)  # fmt: skip
_WATCHLIST_TEXTS = (
    "wyckoff_phase", "phase_sub_stage", "primary_event", "dealer_position", "volatility_regime", "data_quality",
)  # fmt: skip


@dataclass(frozen=True)
class ScreenColumn:
    """A column a screen may speak of; `watchlist`: null for every symbol without a snapshot."""

    kind: Kind
    stored_as: str
    watchlist: bool = False

    @property
    def sql(self) -> sql.Composable:
        place = sql.Identifier("s" if self.watchlist else "u", self.stored_as)
        kind = "float8" if self.kind == "number" else "text"
        return sql.SQL("{}::{}").format(place, sql.SQL(kind))


COLUMNS: dict[str, ScreenColumn] = {
    "symbol": ScreenColumn("text", "symbol"),
    **{name: ScreenColumn("number", name) for name in UNIVERSE_COLUMNS},
    **{name: ScreenColumn("number", stored) for name, stored in _SNAPSHOT_NAMES.items()},
    **{name: ScreenColumn("number", name, watchlist=True) for name in _WATCHLIST_NUMBERS},
    **{name: ScreenColumn("text", name, watchlist=True) for name in _WATCHLIST_TEXTS},
}
_KINDS: Mapping[str, Kind] = {name: column.kind for name, column in COLUMNS.items()}
_SHOWN_ALWAYS = ("symbol", "close")


class NothingComputed(ValueError):
    """The session has no indicators; the message says what to run."""


class NoSuchScreen(ValueError):
    """No screen is saved under the name; the message names those that are near."""


@dataclass(frozen=True)
class SavedScreen:
    name: str
    expression: str
    sort: str | None = None
    limit: int | None = None


def screen(
    database: Database,
    expression: str,
    session: date | None = None,
    sort: str | None = None,
    limit: int | None = None,
) -> pl.DataFrame:
    """The symbols of the session (default: the newest with indicators) for which the expression is true.

    Columns: symbol, close, then those the expression and `sort` (`column` or `column:desc`, nulls last; default:
    symbol) speak of; numbers as Float64. A comparison with a missing value, and a division by zero, is not true.
    Raises ScreenError for what is not in the language, NothingComputed for a session without rows.
    """
    condition = screening.parse(expression, _KINDS)
    order = screening.parse_sort(sort, _KINDS) if sort else screening.Sort("symbol", False)
    names = list(dict.fromkeys((*_SHOWN_ALWAYS, *screening.columns_of(condition), order.column)))
    session = session or newest_session(database)
    text, params = _compiled(condition, names, order)
    try:
        with database.transaction() as connection:
            rows = connection.execute(text, params | {"session": session, "limit": limit}).fetchall()
    except psycopg.errors.NumericValueOutOfRange as error:
        raise ScreenError(
            "this arithmetic leaves the range of numbers", expression, 0, len(expression)
        ) from error
    if not rows:
        _require_rows(database, session)
    types = {name: pl.Float64 if _KINDS[name] == "number" else pl.String for name in names}
    return pl.DataFrame(rows, schema=types, orient="row")


def newest_session(database: Database) -> date:
    """The newest session with indicators; raises NothingComputed when there is none."""
    found = database.value("SELECT session_of(max(time)) FROM universe_indicators")
    if found is None:
        raise NothingComputed("no indicators of the market are stored yet: run `./kapman run`")
    return found


def _require_rows(database: Database, session: date) -> None:
    stored = "SELECT EXISTS (SELECT FROM universe_indicators WHERE time = session_time(%s))"
    if database.value(stored, (session,)):
        return
    loaded = database.value(query("loaded_bar_files"), {"first": session, "last": session})
    only = " --only universe_indicators" if loaded else ""
    raise NothingComputed(
        f"no indicators of the market are stored for {session}: run `./kapman run --session {session}{only}`"
    )


# -- saved screens ----------------------------------------------------------------------------------------------------


def save(database: Database, saved: SavedScreen) -> None:
    """Stores the screen, in place of one of the same name. Raises ScreenError for what `screen` would refuse."""
    screening.parse(saved.expression, _KINDS)
    if saved.sort:
        screening.parse_sort(saved.sort, _KINDS)
    database.execute(query("save_screen"), vars(saved))


def saved_screens(database: Database) -> list[SavedScreen]:
    """All of them, by name."""
    stored = "SELECT name, expression, sort, row_limit FROM saved_screens ORDER BY name"
    return [SavedScreen(*row.values()) for row in database.rows(stored)]


def saved_screen(database: Database, name: str) -> SavedScreen:
    """Raises NoSuchScreen."""
    known = {saved.name: saved for saved in saved_screens(database)}
    if name not in known:
        near = get_close_matches(name, known) or list(known)[:10]
        hint = (
            f"there is {', '.join(near)}" if near else 'save one with `./kapman screen save NAME "rsi < 30"`'
        )
        raise NoSuchScreen(f"no screen is saved as {name!r}: {hint}")
    return known[name]


def delete(database: Database, name: str) -> None:
    """Raises NoSuchScreen."""
    saved_screen(database, name)
    database.execute("DELETE FROM saved_screens WHERE name = %s", (name,))


# -- the query --------------------------------------------------------------------------------------------------------

# the braces are filled from the allow-list; the key of both tables is one instant, so each reads one partition
_SCREEN = sql.SQL("""
    SELECT {columns}
    FROM universe_indicators u
    LEFT JOIN daily_snapshots s ON s.symbol = u.symbol AND s.time = session_time(%(session)s)
    WHERE u.time = session_time(%(session)s) AND ({condition})
    ORDER BY {order}
    LIMIT %(limit)s
""")


def _compiled(
    condition: screening.Condition, names: list[str], order: screening.Sort
) -> tuple[sql.Composed, dict[str, Any]]:
    bound = _Parameters()
    direction = sql.SQL("DESC" if order.descending else "ASC")
    text = _SCREEN.format(
        columns=sql.SQL(", ").join(COLUMNS[name].sql for name in names),
        condition=_condition(condition, bound),
        order=sql.SQL("{} {} NULLS LAST, u.symbol").format(COLUMNS[order.column].sql, direction),
    )
    return text, bound.values


class _Parameters:
    """The user's values, by the names under which the query speaks of them."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def __call__(self, value: float | list[str]) -> sql.Composable:
        name = f"value_{len(self.values)}"
        self.values[name] = value
        return sql.Placeholder(name)


_COMPARISONS = {"<": "<", "<=": "<=", ">": ">", ">=": ">=", "=": "=", "!=": "<>"}
_ARITHMETIC = {"+": "({} + {})", "-": "({} - {})", "*": "({} * {})", "/": "({} / nullif({}, 0))"}


def _condition(node: screening.Condition, bound: _Parameters) -> sql.Composable:
    match node:
        case screening.Comparison(operator, left, right):
            sign = sql.SQL(_COMPARISONS[operator])
            return sql.SQL("({} {} {})").format(_value(left, bound), sign, _value(right, bound))
        case screening.Between(value, low, high, negated):
            form = sql.SQL("({} NOT BETWEEN {} AND {})" if negated else "({} BETWEEN {} AND {})")
            return form.format(*(_value(part, bound) for part in (value, low, high)))
        case screening.IsNull(value, negated):
            form = sql.SQL("({} IS NOT NULL)" if negated else "({} IS NULL)")
            return form.format(_value(value, bound))
        case screening.OneOf(column, words, negated):
            form = sql.SQL("({} <> ALL ({}::text[]))" if negated else "({} = ANY ({}::text[]))")
            return form.format(_value(column, bound), bound(list(words)))
        case screening.Not(operand):
            return sql.SQL("(NOT {})").format(_condition(operand, bound))
        case screening.And(operands):
            return _joined(" AND ", operands, bound)
        case screening.Or(operands):
            return _joined(" OR ", operands, bound)


def _joined(word: str, operands: tuple[screening.Condition, ...], bound: _Parameters) -> sql.Composable:
    parts = sql.SQL(word).join(_condition(operand, bound) for operand in operands)
    return sql.SQL("({})").format(parts)


def _value(node: screening.Value, bound: _Parameters) -> sql.Composable:
    match node:
        case screening.Number(value):
            return sql.SQL("{}::float8").format(bound(value))
        case screening.Column(name):
            return COLUMNS[name].sql
        case screening.Negative(operand):
            return sql.SQL("(- {})").format(_value(operand, bound))
        case screening.Arithmetic(operator, left, right):
            form = sql.SQL(_ARITHMETIC[operator])
            return form.format(_value(left, bound), _value(right, bound))
