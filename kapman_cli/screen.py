"""`kapman screen`: the market asked in one line, shown in 100 columns or written to a file.

Does not belong here: the language (kapman_metrics.screening), the query (kapman_resources.screener).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer.core import TyperGroup

from kapman_cli.console import CliError, fail, out, say, table

if TYPE_CHECKING:
    import polars as pl

    from kapman_resources.database import Database

ROWS_SHOWN = 50
_WIDTH, _GAP = 98, 2
_STDOUT = Path("-")


class PlainForm(TyperGroup):
    """A group whose first word may be a screen: `kapman screen "rsi < 30"` is `kapman screen find "rsi < 30"`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["find", *args]
        return super().parse_args(ctx, args)


@dataclass(frozen=True)
class Asked:
    """Where and how a screen is answered; `limit` None: ROWS_SHOWN on the terminal, all rows in a file."""

    session: date | None = None
    sort: str | None = None
    limit: int | None = None
    csv: Path | None = None
    parquet: Path | None = None


def find(database: Database, expression: str, asked: Asked) -> None:
    """Answers one screen on the terminal, or in the file asked for."""
    from kapman_assets.launch import require_completed_session
    from kapman_assets.stages import data_label
    from kapman_resources import screener

    if asked.csv and asked.parquet:
        raise CliError("choose one of --csv and --parquet")
    if asked.session:
        require_completed_session(asked.session)
    limit = asked.limit or (None if asked.csv or asked.parquet else ROWS_SHOWN)
    with _plain_faults():
        session = asked.session or screener.newest_session(database)
        # a row more than is shown tells that there are more
        found = screener.screen(database, expression, session, asked.sort, limit and limit + 1)
    shown = found.head(limit) if limit else found
    if asked.csv or asked.parquet:
        _write(shown, asked)
        return
    label = data_label(database)
    _print(shown, f"session {session}" + (f", data: {label}" if label else ""))
    more = "; there are more: --limit N, or --csv FILE for all" if found.height > shown.height else ""
    say(f"{_symbols(shown.height)}{more}")


def run(database: Database, name: str, asked: Asked) -> None:
    """Answers a saved screen; what is asked for goes before what was saved."""
    from kapman_resources import screener

    with _plain_faults():
        saved = screener.saved_screen(database, name)
    asked = replace(asked, sort=asked.sort or saved.sort, limit=asked.limit or saved.limit)
    find(database, saved.expression, asked)


def save(database: Database, name: str, expression: str, sort: str | None, limit: int | None) -> None:
    """Keeps a screen under a name; one of the same name is replaced, which is said."""
    from kapman_resources import screener

    if not name.strip():
        raise CliError("a saved screen needs a name")
    known = any(saved.name == name for saved in screener.saved_screens(database))
    with _plain_faults():
        screener.save(database, screener.SavedScreen(name, expression, sort, limit))
    say(f"screen {name!r} {'replaced' if known else 'saved'}: `./kapman screen run {name}`")


def show_saved(database: Database) -> None:
    from kapman_resources import screener

    found = screener.saved_screens(database)
    if not found:
        say('no screen is saved: ./kapman screen save oversold "rsi < 30 and close > sma_200"')
        return
    shown = table("name", "screen", "sort", ">limit")
    for saved in found:
        shown.add_row(saved.name, saved.expression, saved.sort or "", str(saved.limit or ""))
    out.print(shown, markup=False)


def delete(database: Database, name: str) -> None:
    from kapman_resources import screener

    with _plain_faults():
        screener.delete(database, name)
    say(f"screen {name!r} deleted")


def show_columns() -> None:
    """What a screen may speak of."""
    from kapman_resources.screener import COLUMNS

    for title, watchlist in (("of every symbol", False), ("of watchlist symbols, else null", True)):
        say(f"{title}:")
        names = [
            f"{name} (text)" if column.kind == "text" else name
            for name, column in COLUMNS.items()
            if column.watchlist == watchlist
        ]
        out.print("  " + ", ".join(names), markup=False)


@contextmanager
def _plain_faults() -> Iterator[None]:
    """A screen that cannot be read ends with 2 and a caret, one that cannot be answered with 1."""
    from kapman_metrics.screen_words import ScreenError
    from kapman_resources.screener import NoSuchScreen, NothingComputed

    try:
        yield
    except ScreenError as error:
        fail(error.explained(), 2)
    except (NoSuchScreen, NothingComputed) as error:
        raise CliError(str(error)) from error


def _write(found: pl.DataFrame, asked: Asked) -> None:
    """NULL is empty in CSV; `--csv -` is the standard output."""
    file = asked.csv or asked.parquet
    assert file is not None
    if asked.csv == _STDOUT:
        print(found.write_csv(), end="")
        return
    try:
        if asked.csv:
            found.write_csv(file)
        else:
            found.write_parquet(file)
    except OSError as error:
        raise CliError(f"{file} cannot be written: {error.strerror or error}") from error
    say(f"{_symbols(found.height)} in {file}")


def _symbols(count: int) -> str:
    return f"{count} symbol{'' if count == 1 else 's'}"


def _print(found: pl.DataFrame, title: str) -> None:
    """As many columns as 100 characters hold; the others are named."""
    cells = {name: [_cell(value) for value in found[name]] for name in found.columns}
    room, kept = _WIDTH, []
    for name, column in cells.items():
        room -= max(len(text) for text in (name, *column)) + _GAP
        if room < 0:
            break
        kept.append(name)
    numeric = [name for name in kept if found.schema[name].is_numeric()]
    shown = table(*(f">{name}" if name in numeric else name for name in kept))
    say(title)
    for row in zip(*(cells[name] for name in kept), strict=True):
        shown.add_row(*row)
    out.print(shown, markup=False)
    if left := [name for name in cells if name not in kept]:
        say(f"too wide for a terminal: {', '.join(left)}; --csv FILE has them")


def _cell(value: float | str | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if abs(value) >= 1e15:
        return f"{value:.6g}"
    return f"{value:,.0f}" if abs(value) >= 1e5 else f"{value:,.2f}" if abs(value) >= 1 else f"{value:.4g}"
