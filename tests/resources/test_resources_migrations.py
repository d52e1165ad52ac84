"""The migration runner: each file once, whole or not at all, and never an edited one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kapman_resources.database import Database, DatabaseError, Migrations
from kapman_resources.database.migrations import FOLDER, read_migrations

Write = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Write:
    """Writes name=text pairs (`first` becomes 001_first.sql) and returns the folder."""
    place = tmp_path / "migrations"
    place.mkdir()

    def write(**files: str) -> Path:
        for name, text in files.items():
            (place / f"{name.removeprefix('_')}.sql").write_text(text)
        return place

    return write


def tables(database: Database) -> list[str]:
    rows = database.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    return [row["tablename"] for row in rows]


def test_a_fresh_database_gets_every_file_in_order_and_a_second_run_none(bare_database: Database) -> None:
    migrations = Migrations(bare_database)
    names = [path.name for path in sorted(FOLDER.glob("*.sql"))]
    assert [file.name for file in migrations.pending()] == names
    assert migrations.apply() == names
    assert migrations.pending() == [] and migrations.apply() == []
    recorded = bare_database.rows("SELECT number, name FROM schema_migrations ORDER BY number")
    assert [row["name"] for row in recorded] == names
    assert [row["number"] for row in recorded] == list(range(1, len(names) + 1))


def test_asking_what_is_pending_changes_nothing(bare_database: Database, folder: Write) -> None:
    place = folder(_001_a="CREATE TABLE a (x int)", _002_b="CREATE TABLE b (x int)")
    assert [file.name for file in Migrations(bare_database, place).pending()] == ["001_a.sql", "002_b.sql"]
    assert tables(bare_database) == []


def test_a_new_file_is_applied_on_top_of_the_old_ones(bare_database: Database, folder: Write) -> None:
    Migrations(bare_database, folder(_001_a="CREATE TABLE a (x int)")).apply()
    later = Migrations(bare_database, folder(_002_b="CREATE TABLE b (x int); INSERT INTO b VALUES (1), (2)"))
    assert [file.number for file in later.pending()] == [2]
    assert later.apply() == ["002_b.sql"]
    assert bare_database.value("SELECT count(*) FROM b") == 2


def test_a_file_edited_after_it_was_applied_is_refused_by_name(
    bare_database: Database, folder: Write
) -> None:
    Migrations(bare_database, folder(_001_a="CREATE TABLE a (x int)")).apply()
    edited = Migrations(bare_database, folder(_001_a="CREATE TABLE a (x bigint)", _002_b="CREATE TABLE b ()"))
    for run in (edited.pending, edited.apply):
        with pytest.raises(DatabaseError, match=r"001_a\.sql was edited after .* as a new file"):
            run()
    assert tables(bare_database) == ["a", "schema_migrations"]


def test_a_database_ahead_of_the_files_is_refused(bare_database: Database, folder: Write) -> None:
    place = folder(_001_a="CREATE TABLE a (x int)", _002_b="CREATE TABLE b (x int)")
    Migrations(bare_database, place).apply()
    (place / "002_b.sql").unlink()
    older = Migrations(bare_database, place)
    for run in (older.pending, older.apply):
        with pytest.raises(DatabaseError, match="holds migration 2, this version knows 1"):
            run()


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"_001_a": "", "_003_c": ""}, r"numbered \[1, 3\]: they must be 1\.\.2, each once"),
        ({"_002_b": ""}, r"numbered \[2\]"),
        ({"_001_a": "", "_001_b": ""}, r"numbered \[1, 1\]"),
        ({"first": ""}, r"first\.sql: a migration is named NNN_what_it_does\.sql"),
        ({"_1_a": ""}, r"1_a\.sql: a migration is named"),
    ],
)
def test_a_gap_a_number_used_twice_and_a_wrong_name_are_refused(
    files: dict[str, str], sentence: str, folder: Write
) -> None:
    with pytest.raises(ValueError, match=sentence):
        read_migrations(folder(**files))


def test_a_failing_file_leaves_nothing_and_the_files_before_it_stay(
    bare_database: Database, folder: Write
) -> None:
    broken = "CREATE TABLE b (x int); INSERT INTO b VALUES (1); SELECT 1 / 0;"
    place = folder(_001_a="CREATE TABLE a (x int)", _002_b=broken, _003_c="CREATE TABLE c (x int)")
    with pytest.raises(DatabaseError, match=r"002_b\.sql failed and left nothing behind: division by zero"):
        Migrations(bare_database, place).apply()
    assert tables(bare_database) == ["a", "schema_migrations"]
    assert bare_database.value("SELECT max(number) FROM schema_migrations") == 1
    folder(_002_b="CREATE TABLE b (x int)")
    assert Migrations(bare_database, place).apply() == ["002_b.sql", "003_c.sql"]


def test_starts_at_once_in_threads_apply_each_file_once(bare_database: Database, folder: Write) -> None:
    place = folder(_001_a="CREATE TABLE a (x int); SELECT pg_sleep(0.2)", _002_b="INSERT INTO a VALUES (1)")
    with ThreadPoolExecutor(5) as threads:
        done = list(threads.map(lambda _: Migrations(bare_database, place).apply(), range(5)))
    assert sorted(done) == [[], [], [], [], ["001_a.sql", "002_b.sql"]]
    assert bare_database.value("SELECT count(*) FROM a") == 1


def test_starts_at_once_in_processes_apply_each_file_once(bare_database: Database, repository: Path) -> None:
    script = (
        "import sys; from kapman_resources.database import Database, Migrations\n"
        "with Database(sys.argv[1]) as database: print(len(Migrations(database).apply()))"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script, bare_database.url],
            cwd=repository,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    printed = sorted(int(process.communicate(timeout=60)[0]) for process in started)
    assert printed == [0, len(read_migrations())]
    assert bare_database.value("SELECT count(*) FROM tickers") == 26


def test_an_unreachable_server_is_told_in_one_line() -> None:
    with pytest.raises(DatabaseError, match=r"^no PostgreSQL at host=127\.0\.0\.1 port=1 .*DATABASE_URL"):
        Migrations(Database("postgresql://127.0.0.1:1/none")).apply()
