"""The `kapman` command in this process: arguments in, exit code and words out."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kapman_resources import embedded_postgres

_VENDOR = ("POLYGON_API_KEY", "MASSIVE_API_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_OTHERS = (
    "DATABASE_URL",
    "DB_PASSWORD",
    "SMTP_HOST",
    "AI_PROVIDER",
    "KAPMAN_NOW",
    "POLYGON_BASE_URL",
    "POLYGON_S3_ENDPOINT",
)


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """One KAPMAN_HOME for a module's tests."""
    folder = Path(tempfile.mkdtemp(prefix="kapman-")).resolve()
    yield folder
    if (folder / "postgres").exists():
        embedded_postgres.start(folder).cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def kapman(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Answer]:
    """Runs one command as a user without any configuration would."""
    for name in (*_VENDOR, *_OTHERS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KAPMAN_HOME", str(home))
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))  # a run sets it; the next test must not see it
    monkeypatch.setattr("kapman_resources.settings.Settings.model_config", _without_env_file())
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Answer:
        from kapman_cli.main import main

        monkeypatch.setattr(sys, "argv", ["kapman", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return Answer(int(ended.value.code or 0), out, err)

    return call


def _without_env_file() -> dict[str, object]:
    """A developer's own .env must not decide what a test sees."""
    from kapman_resources.settings import Settings

    return {**Settings.model_config, "env_file": None}
