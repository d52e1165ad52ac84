"""The embedded server: clear words when it cannot start, nothing lost when it is killed, several homes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from kapman_resources import embedded_postgres
from kapman_resources.database import Database, DatabaseError
from kapman_resources.embedded_postgres import EmbeddedPostgresError

OPENER = (
    "import sys; from pathlib import Path\n"
    "from kapman_resources import database as d, embedded_postgres as e\n"
    "with d.Database(e.url(Path(sys.argv[1]))) as opened: print(opened.value('SELECT count(*) FROM kept'))"
)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A home of its own with a running server that holds one committed row."""
    folder = Path(tempfile.mkdtemp(prefix="kapman-")).resolve()
    with Database(embedded_postgres.url(folder)) as database:
        database.execute("CREATE TABLE kept AS SELECT 1 AS x")
    yield folder
    embedded_postgres.start(folder).cleanup()
    shutil.rmtree(folder, ignore_errors=True)


def lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill_server(home: Path) -> int:
    """Kills the postmaster without a warning; its children end by themselves as soon as they notice."""
    pid = int((home / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    children = psutil.Process(pid).children()
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while any(map(lives, children)):
        assert time.monotonic() < deadline, "the children of the killed server still run"
        time.sleep(0.01)
    return pid


@pytest.mark.parametrize("start", [embedded_postgres.ensure_writable, embedded_postgres.start])
@pytest.mark.parametrize("below", ["", "/deeper"])
def test_a_home_that_cannot_be_written_gives_one_sentence_with_the_way_out(
    start: Any, below: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("a regular file")
    home = Path(f"{tmp_path}/file{below}")
    with pytest.raises(EmbeddedPostgresError) as refused:
        start(home)
    said = str(refused.value)
    assert said.startswith(f"KAPMAN_HOME={home} cannot be written (")
    assert said.endswith("choose another folder, for example KAPMAN_HOME=$HOME/.kapman") and "\n" not in said
    assert (tmp_path / "file").read_text() == "a regular file"


def test_a_damaged_data_folder_gives_the_reason_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("9")
    with pytest.raises(
        EmbeddedPostgresError, match=r"did not start: .*version 18 but found version 9"
    ) as refused:
        embedded_postgres.start(tmp_path)
    assert "DATABASE_URL" in str(refused.value) and "\n" not in str(refused.value)


def test_a_new_home_is_created_with_both_databases_and_a_second_start_joins(home: Path) -> None:
    first, second = embedded_postgres.start(home), embedded_postgres.start(home)
    assert first.get_pid() == second.get_pid()
    for name in (embedded_postgres.DATABASE, embedded_postgres.DAGSTER_DATABASE):
        with psycopg.connect(embedded_postgres.url(home, name)) as connection:
            assert connection.info.dbname == name
            assert connection.info.host.startswith("/")  # a socket: no port is opened


def test_a_killed_server_is_restarted_by_the_next_opener_with_every_committed_row(home: Path) -> None:
    with Database(embedded_postgres.url(home)) as database:
        before = database.value("SELECT count(*) FROM kept")
        database.execute("INSERT INTO kept VALUES (2)")
        with pytest.raises(psycopg.Error), database.transaction() as connection:
            connection.execute("INSERT INTO kept VALUES (3)")
            killed = kill_server(home)
            connection.execute("SELECT pg_sleep(5)")
        restarted = embedded_postgres.start(home)
        assert restarted.get_pid() != killed
    with Database(embedded_postgres.url(home)) as database:
        assert database.value("SELECT count(*) FROM kept") == before + 1


def test_a_killed_server_is_restarted_by_another_process_too_and_this_one_follows(
    home: Path, repository: Path
) -> None:
    with Database(embedded_postgres.url(home)) as database:
        rows = database.value("SELECT count(*) FROM kept")
    kill_server(home)
    printed = subprocess.run(
        [sys.executable, "-c", OPENER, str(home)], cwd=repository, capture_output=True, text=True, timeout=60
    )
    assert printed.stdout.strip() == str(rows), printed.stderr
    with Database(embedded_postgres.url(home)) as database:
        assert database.value("SELECT count(*) FROM kept") == rows


def test_a_dead_server_is_told_in_one_line_by_a_pool_that_knew_it_alive(home: Path) -> None:
    with Database(embedded_postgres.url(home)) as database:
        database._pool.timeout = 0.3
        assert database.value("SELECT 1") == 1
        kill_server(home)
        with pytest.raises(psycopg.Error):
            database.value("SELECT 1")
        with pytest.raises(DatabaseError, match=r"^no PostgreSQL at host=.*Connection refused.*DATABASE_URL"):
            database.value("SELECT 1")
        embedded_postgres.start(home)
        database._pool.timeout = 10
        assert database.value("SELECT 1") == 1


def test_handles_of_processes_that_were_killed_are_forgotten(home: Path) -> None:
    finished = subprocess.Popen([sys.executable, "-c", ""])
    finished.wait()
    handles = home / "postgres" / ".handle_pids.json"
    handles.write_text(json.dumps([finished.pid, os.getpid()]))
    embedded_postgres.start(home)
    assert json.loads(handles.read_text()) == [os.getpid()]


def test_a_server_stops_with_its_last_opener_and_starts_again_where_its_number_is_taken(home: Path) -> None:
    server = embedded_postgres.start(home)
    lock = home / "postgres" / "postmaster.pid"
    lines = lock.read_text().splitlines()
    server.cleanup()
    assert not lock.exists()
    lock.write_text(
        "\n".join([str(os.getpid()), *lines[1:]]) + "\n"
    )  # after a reboot: another program has it
    with Database(embedded_postgres.url(home)) as database:
        assert database.value("SELECT count(*) FROM kept") >= 1


def test_two_homes_live_side_by_side(home: Path, postgres_server: Any) -> None:
    other = Path(postgres_server.pgdata).parent
    assert embedded_postgres.start(home).get_pid() != embedded_postgres.start(other).get_pid()
    with Database(embedded_postgres.url(home)) as mine, Database(embedded_postgres.url(other)) as theirs:
        assert mine.value("SELECT to_regclass('kept')") == "kept"
        assert theirs.value("SELECT to_regclass('kept')") is None


def test_threads_that_start_a_new_home_at_once_share_one_server() -> None:
    folder = Path(tempfile.mkdtemp(prefix="kapman-")).resolve()
    try:
        with ThreadPoolExecutor(4) as threads:
            servers = list(threads.map(lambda _: embedded_postgres.start(folder), range(4)))
        assert len({server.get_pid() for server in servers}) == 1
        servers[0].cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
