"""The commands that read and change small things: migrate, sql, portfolio, status, bench, and the start script."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


def test_migrate_tells_what_it_would_do_then_does_it_once(kapman: Callable) -> None:
    told = kapman("migrate", "--dry-run")
    assert told.out.startswith("would apply: 001_extension.sql, 002_functions.sql")
    assert kapman("migrate").out.startswith("applied: 001_extension.sql")
    assert kapman("migrate").out.strip() == "the schema is up to date"
    assert kapman("migrate", "--dry-run").out.strip() == "nothing to apply"


def test_sql_answers_as_a_table_and_as_csv_and_cannot_write(kapman: Callable) -> None:
    statement = "select symbol, universe_tier, sector from tickers where symbol in ('SPY', 'AAPL') order by 1"
    assert kapman("sql", statement, "--csv").out.splitlines() == [
        "symbol,universe_tier,sector",
        "AAPL,sp500,Technology",
        "SPY,etf,",
    ]
    shown = kapman("sql", statement)
    assert "AAPL" in shown.out and "2 rows" in shown.out
    refused = kapman("sql", "delete from portfolios")
    assert refused.code == 1
    assert "read-only transaction" in refused.err
    assert kapman("sql", "select name from portfolios", "--csv").out.split("\n")[1] == "AI stocks"
    assert kapman("sql", "selekt 1").code == 1


def test_portfolios_are_created_filled_emptied_and_imported(kapman: Callable, tmp_path: Path) -> None:
    assert kapman("portfolio", "create", "Sectors", "--description", "where money goes").code == 0
    assert kapman("portfolio", "create", "Sectors").code == 1
    assert (
        kapman("portfolio", "add", "Sectors", "XLF", "XLK", "--priority", "P1").out.strip()
        == "Sectors: XLF, XLK as P1"
    )
    assert kapman("portfolio", "add", "Nowhere", "XLF").err.startswith(
        "kapman: no portfolio 'Nowhere': there are"
    )
    assert kapman("portfolio", "add", "Sectors", "XLF", "--priority", "P9").code == 1
    assert kapman("portfolio", "remove", "Sectors", "XLF").code == 0
    assert kapman("portfolio", "remove", "Sectors", "XLF").code == 1
    listed = " ".join(kapman("portfolio", "list").out.split())
    assert "Sectors 1 XLK" in listed

    file = tmp_path / "lists.csv"
    file.write_text("portfolio,symbol,priority\nTech,NVDA,P1\nTech,MU\nIndices,SPY,P2\n")
    assert kapman("portfolio", "import", str(file)).out.strip() == "3 symbols in 2 portfolios"
    file.write_text("Other,SPY\nOther,NOSUCH\n")
    assert kapman("portfolio", "import", str(file)).err.startswith(
        "kapman: nothing imported: unknown symbol NOSUCH"
    )
    assert "Other" not in kapman("portfolio", "list").out
    assert kapman("portfolio", "add", "Tech", "NOSUCH", "--track").code == 0


def test_status_of_an_empty_database_says_that_it_is_empty(kapman: Callable) -> None:
    shown = kapman("status")
    assert shown.code == 0
    assert "empty" in shown.out and "no alert stands" in shown.out


def test_bench_names_what_it_can_measure(kapman: Callable) -> None:
    shown = kapman("bench", "list")
    assert "demo" in shown.out and "daily" in shown.out
    assert kapman("bench", "nothing").code == 2


def test_help_fits_100_columns_and_lists_every_command(
    kapman: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    shown = kapman("--help").out
    for command in (
        "demo",
        "up",
        "run",
        "backfill",
        "status",
        "doctor",
        "migrate",
        "sql",
        "portfolio",
        "simulate",
        "test",
        "bench",
    ):
        assert command in shown
    assert max(map(len, shown.splitlines())) <= 100


def test_the_start_script_is_plain_posix_shell(repository: Path) -> None:
    assert (repository / "kapman").read_text().startswith("#!/bin/sh\n")
    shell = shutil.which("dash") or "sh"
    assert subprocess.run([shell, "-n", str(repository / "kapman")]).returncode == 0


def test_the_start_script_says_when_there_is_no_python(repository: Path, tmp_path: Path) -> None:
    copy = tmp_path / "kapman"
    shutil.copy(repository / "kapman", copy)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "run.txt").write_text("")
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("sh", "dirname", "cksum", "mkdir", "cat", "rm", "kill"):
        if found := shutil.which(tool):
            (tools / tool).symlink_to(found)
    done = subprocess.run(
        [str(tools / "sh"), str(copy), "status"], env={"PATH": str(tools)}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "Python 3.11 or newer was not found" in done.stderr
    assert not (tmp_path / ".venv-lock").exists()
