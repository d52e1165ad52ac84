"""Every fault that a user can put right is one clear line, a non-zero exit code, and nothing lost."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

KEYS = {
    "POLYGON_API_KEY": "simulated-key",
    "AWS_ACCESS_KEY_ID": "simulated",
    "AWS_SECRET_ACCESS_KEY": "simulated-secret",
    "POLYGON_BASE_URL": "http://127.0.0.1:9",
    "POLYGON_S3_ENDPOINT": "http://127.0.0.1:9",
}
NIGHT = "2026-06-13T04:00:00-04:00"


def one_line(text: str) -> str:
    lines = text.strip().splitlines()
    assert len(lines) == 1, text
    return lines[0]


def test_a_missing_key_is_named_with_both_ways_out(kapman: Callable) -> None:
    answer = kapman("run")
    assert answer.code == 1
    assert one_line(answer.err).startswith(
        "kapman: POLYGON_API_KEY is not set: put the vendor's keys into .env"
    )
    assert "./kapman demo" in answer.err
    assert kapman("up").code == 1
    assert kapman("backfill", "--from", "2026-05-01", "--to", "2026-05-05").code == 1


def test_a_half_set_pair_of_keys_names_the_missing_half(
    kapman: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    answer = kapman("status")
    assert answer.code == 1
    assert one_line(answer.err).startswith(
        "kapman: AWS_SECRET_ACCESS_KEY is not set, but AWS_ACCESS_KEY_ID is"
    )


def test_an_unreachable_vendor_fails_the_run_with_one_line_for_each_table(
    kapman: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KAPMAN_NOW", NIGHT)
    answer = kapman("run", "--only", "ohlcv_daily")
    assert answer.code == 1
    assert "no answer from the flat files at http://127.0.0.1:9" in " ".join(answer.out.split())
    assert "Traceback" not in answer.out + answer.err
    stored = kapman("sql", "select count(*) as n from ohlcv_daily", "--csv")
    assert stored.out.split() == ["n", "0"]


@pytest.mark.parametrize(
    ("day", "words"),
    [
        (
            "2026-06-13",
            "2026-06-13 (Saturday) is no trading session: the nearest are 2026-06-12 and 2026-06-15",
        ),
        (
            "2026-12-25",
            "2026-12-25 (Friday) is no trading session: the nearest are 2026-12-24 and 2026-12-28",
        ),
        ("2026-06-15", "session 2026-06-15 is not over yet: the newest completed one is 2026-06-12"),
    ],
)
def test_a_weekend_a_holiday_and_a_future_date_name_the_nearest_session(
    kapman: Callable, monkeypatch: pytest.MonkeyPatch, day: str, words: str
) -> None:
    monkeypatch.setenv("KAPMAN_NOW", NIGHT)
    answer = kapman("run", "--session", day)
    assert (answer.code, one_line(answer.err)) == (1, f"kapman: {words}")


def test_a_date_that_is_none_and_a_table_that_does_not_exist_are_refused(kapman: Callable) -> None:
    answer = kapman("run", "--session", "yesterday")
    assert answer.code != 0
    assert "'yesterday' is not a date like 2026-05-05" in one_line(answer.err)
    answer = kapman("run", "--only", "prices")
    assert answer.code == 1
    assert one_line(answer.err).startswith("kapman: no table 'prices': there are ohlcv_daily, options_chains")


def test_an_unknown_symbol_is_named_and_the_known_ones_are_added(kapman: Callable) -> None:
    assert kapman("portfolio", "create", "Mine").code == 0
    answer = kapman("portfolio", "add", "Mine", "SPY", "QQQQQ", "QQQ")
    assert answer.code == 1
    assert one_line(answer.err).startswith(
        "kapman: unknown symbol QQQQQ: no bar and no reference entry is stored"
    )
    listed = kapman("portfolio", "list").out
    assert "SPY" in listed and "QQQ" in listed and "QQQQQ" not in listed


def test_a_port_in_use_is_named_before_anything_starts(kapman: Callable) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answer = kapman("demo", "--dashboard-port", str(port))
    assert answer.code == 1
    assert one_line(answer.err).startswith(
        f"kapman: port {port} is in use (Address already in use): stop the program"
    )
    assert "--dashboard-port" in answer.err


def test_an_unwritable_home_is_named_with_another_choice(
    kapman: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("KAPMAN_HOME", str(tmp_path / "file" / "home"))
    answer = kapman("status")
    assert answer.code == 1
    assert one_line(answer.err).startswith(
        f"kapman: KAPMAN_HOME={tmp_path}/file/home cannot be written (Not a directory)"
    )


def test_a_clock_without_a_zone_is_refused(kapman: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAPMAN_NOW", "2026-06-13T04:00:00")
    assert "has no zone" in one_line(kapman("status").err)


def test_a_database_that_does_not_answer_is_one_line(
    kapman: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody:secret@127.0.0.1:9/kapman")
    answer = kapman("status")
    assert answer.code == 1
    assert one_line(answer.err).startswith("kapman: no PostgreSQL at host=127.0.0.1 port=9 dbname=kapman")
    assert "secret" not in answer.err


def test_the_dashboard_cannot_be_asked_for_a_provider_that_this_version_does_not_carry(
    kapman: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AI_PROVIDER", "claude")
    assert "CLAUDE_API_KEY is not set, but AI_PROVIDER is claude" in one_line(kapman("run").err)
    for name, value in (KEYS | {"CLAUDE_API_KEY": "x"}).items():
        monkeypatch.setenv(name, value)
    answer = kapman("run")
    assert one_line(answer.err).startswith("kapman: AI_PROVIDER=claude is not part of this version")


def test_doctor_says_what_to_do_and_fails_without_keys(kapman: Callable) -> None:
    answer = kapman("doctor", "--json")
    assert answer.code == 1
    checks = {c["name"]: c for c in json.loads(answer.out)}
    assert checks["PostgreSQL"]["ok"] and checks["clock"]["ok"] and checks["home"]["ok"]
    assert not checks["vendor keys"]["ok"]
    assert "POLYGON_API_KEY is not set" in checks["vendor keys"]["fix"]
    assert "vendor keys" in kapman("doctor").out


def test_a_real_bug_keeps_its_traceback(repository: Path) -> None:
    probe = "import kapman_cli.main as m\nm.app = lambda **k: 1 / 0\nm.main()"
    done = subprocess.run(
        [sys.executable, "-c", probe],
        env=os.environ | {"PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
