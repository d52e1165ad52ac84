"""How the command speaks: one line for an error, tables, progress on a terminal and plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer
from rich.console import Console
from rich.table import Table

_WIDTH = None if sys.stdout.isatty() else 100  # Rich takes 80 for a pipe
out = Console(highlight=False, width=_WIDTH)


class CliError(Exception):
    """Something the user can put right; the message is the whole output."""


def fail(message: str, code: int = 1) -> NoReturn:
    print(f"kapman: {message}", file=sys.stderr)
    raise typer.Exit(code)


def say(message: str) -> None:
    out.print(message, markup=False)


def table(*columns: str, title: str | None = None) -> Table:
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left")
    return made


@contextmanager
def progress(what: str, total: int, done: Callable[[], int]) -> Iterator[None]:
    """Shows `done()` of `total` while the block runs: a bar on a terminal, a line now and then elsewhere."""
    stop = threading.Event()
    painter = _bar if out.is_terminal else _lines
    thread = threading.Thread(target=painter, args=(what, total, done, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _bar(what: str, total: int, done: Callable[[], int], stop: threading.Event) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=out) as bar:
        task = bar.add_task(what, total=total)
        while not stop.wait(0.3):
            bar.update(task, completed=done())
        bar.update(task, completed=done())


def _lines(what: str, total: int, done: Callable[[], int], stop: threading.Event) -> None:
    started = time.monotonic()
    say(f"{what}: {total} sessions")
    while not stop.wait(5):
        say(f"{what}: {done()} of {total} after {time.monotonic() - started:.0f} s")
