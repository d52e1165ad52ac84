"""`kapman portfolio`: the watchlists. Unknown symbols are named, never dropped in silence and never invented."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from kapman_cli.console import CliError, out, say, table
from kapman_metrics.bars import SYMBOL_PATTERN
from kapman_resources.database import Database
from kapman_resources.database.core import Connection
from kapman_resources.database.queries import query

PRIORITIES = ("P1", "P2")


def show(database: Database) -> None:
    shown = table("portfolio", ">symbols", "P1 (analysed and advised)", "P2 (analysed)")
    for row in database.rows(query("portfolios")):
        shown.add_row(row["name"], str(row["symbol_count"]), row["p1"] or "", row["p2"] or "")
    out.print(shown, markup=False)


def create(database: Database, name: str, description: str | None) -> None:
    """Raises CliError when the name is taken."""
    made = "INSERT INTO portfolios (name, description) VALUES (%s, %s) ON CONFLICT (name) DO NOTHING RETURNING id"
    if not name.strip() or database.value(made, (name, description)) is None:
        raise CliError(f"portfolio {name!r} exists already or has no name: choose another")
    say(f"portfolio {name!r} created")


def add(database: Database, name: str, symbols: Sequence[str], priority: str, track: bool) -> None:
    """Adds the known symbols; raises CliError naming the unknown ones afterwards."""
    with database.transaction() as connection:
        unknown = _add(connection, name, symbols, priority, track)
    known = [s for s in symbols if s not in unknown]
    if known:
        say(f"{name}: {', '.join(known)} as {priority}")
    if unknown:
        raise CliError(_unknown(unknown))


def remove(database: Database, name: str, symbols: Sequence[str]) -> None:
    """Raises CliError for a symbol that is not in the portfolio; the others are removed."""
    with database.transaction() as connection:
        portfolio = _portfolio_id(connection, name)
        gone = {}
        for symbol in symbols:
            row = {"portfolio": portfolio, "symbol": symbol}
            gone[symbol] = connection.execute(query("remove_from_portfolio"), row).rowcount
    removed = [s for s, count in gone.items() if count]
    if removed:
        say(f"{name}: removed {', '.join(removed)}")
    if absent := [s for s, count in gone.items() if not count]:
        raise CliError(f"not in portfolio {name!r}: {', '.join(absent)}")


def import_file(database: Database, file: Path, track: bool) -> None:
    """Lines of portfolio,symbol[,priority]; a header line is allowed. One fault and nothing is changed."""
    if not file.is_file():
        raise CliError(f"{file} is not a file")
    wanted: dict[tuple[str, str], list[str]] = defaultdict(list)
    for number, line in enumerate(csv.reader(file.read_text(encoding="utf-8-sig").splitlines()), 1):
        cells = [cell.strip() for cell in line]
        if not any(cells) or (number == 1 and cells[:2] == ["portfolio", "symbol"]):
            continue
        if len(cells) < 2 or not cells[0] or not cells[1]:
            raise CliError(
                f"{file} line {number}: expected portfolio,symbol[,priority], found {','.join(cells)!r}"
            )
        wanted[cells[0], cells[2] if len(cells) > 2 and cells[2] else "P2"].append(cells[1])
    with database.transaction() as connection:
        for name, _ in wanted:
            connection.execute(
                "INSERT INTO portfolios (name) VALUES (%s) ON CONFLICT (name) DO NOTHING", (name,)
            )
        unknown = [
            s for (name, p), symbols in wanted.items() for s in _add(connection, name, symbols, p, track)
        ]
        if unknown:
            raise CliError("nothing imported: " + _unknown(unknown))
    say(f"{sum(map(len, wanted.values()))} symbols in {len({name for name, _ in wanted})} portfolios")


def _unknown(symbols: Sequence[str]) -> str:
    return (
        f"unknown symbol {', '.join(symbols)}: no bar and no reference entry is stored under that name (symbols are "
        "case-sensitive). Check the spelling, run the daily job first, or add --track"
    )


def _portfolio_id(connection: Connection, name: str) -> int:
    found = connection.execute("SELECT id FROM portfolios WHERE name = %s", (name,)).fetchone()
    if found is None:
        known = [row[0] for row in connection.execute("SELECT name FROM portfolios ORDER BY name")]
        raise CliError(f"no portfolio {name!r}: there are {', '.join(known) or 'none'}")
    return found[0]


def _add(connection: Connection, name: str, symbols: Sequence[str], priority: str, track: bool) -> list[str]:
    """Adds inside the caller's transaction; returns the unknown symbols."""
    if priority not in PRIORITIES:
        raise CliError(f"priority {priority!r} is not one of {', '.join(PRIORITIES)}")
    portfolio = _portfolio_id(connection, name)
    unknown = []
    for symbol in symbols:
        if track and re.match(SYMBOL_PATTERN, symbol):
            connection.execute(query("track_symbol"), {"symbol": symbol})
        found = {"portfolio": portfolio, "symbol": symbol, "priority": priority}
        if connection.execute(query("add_to_portfolio"), found).rowcount == 0:
            unknown.append(symbol)
    return unknown
