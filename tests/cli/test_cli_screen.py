"""`kapman screen`: the plain form, saved screens, files, and exit codes that tell what went wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kapman_metrics.universe import UNIVERSE_COLUMNS
from kapman_resources import embedded_postgres
from kapman_resources.database import Database, Migrations

SESSION = date(2026, 5, 5)
COUNT = 60


@pytest.fixture(scope="module")
def market(home: Path) -> Iterator[Database]:
    """60 symbols of one session; symbol n has an RSI of n."""
    rows = pl.DataFrame(
        {
            "symbol": [f"S{n:02d}" for n in range(COUNT)],
            **{name: [float(n) * 1234.5 for n in range(COUNT)] for name in UNIVERSE_COLUMNS},
        }
    ).with_columns(rsi=pl.int_range(COUNT).cast(pl.Float64), close=pl.int_range(COUNT) + 0.25, vsi=None)
    server = embedded_postgres.start(home)
    with Database(server.get_uri(embedded_postgres.DATABASE)) as database:
        Migrations(database).apply()
        with database.transaction() as connection:
            database.replace_session(connection, "universe_indicators", SESSION, rows)
        yield database


@pytest.fixture
def screen(
    market: Database, kapman: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    monkeypatch.setenv("KAPMAN_NOW", "2026-05-06T04:00:00-04:00")
    return lambda *arguments: kapman("screen", *arguments)


def test_the_plain_form_shows_symbol_close_and_the_columns_used(screen: Callable[..., Any]) -> None:
    answer = screen("rsi < 3 and vsi is null")
    assert answer.code == 0
    lines = [line.split() for line in answer.out.splitlines()]
    assert lines[:2] == [["session", "2026-05-05"], ["symbol", "close", "rsi", "vsi"]]
    assert lines[2:5] == [
        ["S00", "0.25", "0", "-"],
        ["S01", "1.25", "1.00", "-"],
        ["S02", "2.25", "2.00", "-"],
    ]
    assert lines[5] == ["3", "symbols"]


def test_options_stand_before_or_behind_the_screen(screen: Callable[..., Any]) -> None:
    first = screen("--sort", "rsi:desc", "--limit", "2", "rsi < 30")
    assert first.code == 0
    assert first == screen("rsi < 30", "--limit", "2", "--sort", "rsi:desc")
    assert "S29" in first.out
    assert "2 symbols; there are more" in first.out


def test_a_terminal_gets_fifty_rows_and_no_line_above_a_hundred_columns(screen: Callable[..., Any]) -> None:
    many = " or ".join(f"{name} > 0" for name in UNIVERSE_COLUMNS[2:30])
    answer = screen(f"close > 0 and ({many} or rsi >= 0)")
    assert max(map(len, answer.out.splitlines()[:40])) <= 100
    assert "50 symbols; there are more" in answer.out
    assert "too wide for a terminal: " in answer.out


def test_a_file_gets_every_row_and_every_column(screen: Callable[..., Any], tmp_path: Path) -> None:
    assert screen("rsi >= 0", "--csv", "all.csv").out == "60 symbols in all.csv\n"
    assert pl.read_csv(tmp_path / "all.csv").columns == ["symbol", "close", "rsi"]
    assert screen("rsi >= 0", "--parquet", "some.parquet", "--limit", "7").code == 0
    assert pl.read_parquet(tmp_path / "some.parquet").height == 7
    assert screen("rsi < 1", "--csv", "-").out == "symbol,close,rsi\nS00,0.25,0.0\n"
    refused = screen("rsi < 1", "--csv", "missing/all.csv")
    assert (refused.code, "cannot be written" in refused.err) == (1, True)
    assert screen("rsi < 1", "--csv", "a", "--parquet", "b").code == 1


def test_nothing_found_is_an_answer(screen: Callable[..., Any]) -> None:
    answer = screen("rsi < 0")
    assert (answer.code, answer.out.splitlines()[-1]) == (0, "0 symbols")


def test_a_screen_that_cannot_be_read_ends_with_2_and_a_caret(screen: Callable[..., Any]) -> None:
    answer = screen("rsii < 30")
    assert answer.code == 2
    assert answer.err.splitlines() == [
        "kapman: unknown column 'rsii': did you mean rsi or rsi_14? (at position 1)",
        "  rsii < 30",
        "  ^^^^",
    ]
    assert screen("rsi < 30", "--sort", "rsi:down").code == 2


@pytest.mark.parametrize(
    ("day", "says"),
    [
        ("2026-05-04", "run `./kapman run --session 2026-05-04`"),
        ("2026-05-03", "no trading session"),
        ("2026-05-06", "not over yet"),
    ],
)
def test_a_session_without_rows_ends_with_1_and_the_way_out(
    screen: Callable[..., Any], day: str, says: str
) -> None:
    answer = screen("rsi < 30", "--session", day)
    assert (answer.code, says in answer.err) == (1, True)


def test_a_screen_is_saved_listed_run_replaced_and_deleted(screen: Callable[..., Any]) -> None:
    assert "no screen is saved" in screen("list").out
    assert screen("save", "low", "rsi < 5", "--sort", "rsi:desc", "--limit", "1").code == 0
    assert "rsi < 5" in screen("list").out
    assert "S04" in screen("run", "low").out
    assert "S03" in screen("run", "low", "--limit", "2").out
    assert "replaced" in screen("save", "low", "rsi < 2").out
    assert "2 symbols" in screen("run", "low").out
    assert screen("save", "bad", "rsi << 2").code == 2
    assert screen("delete", "low").code == 0
    gone = screen("run", "low")
    assert (gone.code, "no screen is saved as 'low'" in gone.err) == (1, True)


def test_the_columns_can_be_asked_for(screen: Callable[..., Any]) -> None:
    answer = screen("columns")
    assert answer.code == 0
    assert "rsi" in answer.out
    assert "wyckoff_phase (text)" in answer.out
