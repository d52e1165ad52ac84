"""Configuration: where a value comes from, what is refused as half-set, and what is never printed."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from kapman_resources.database.urls import dagster_url, kapman_url
from kapman_resources.settings import Settings, SettingsError, load_settings

ENV_FILES = Settings.model_config["env_file"]  # before the fixtures hide them


def test_a_value_comes_from_the_environment_before_env_file_before_default(
    nothing_configured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_settings().s3_bucket == "flatfiles"
    nothing_configured.write_text("S3_BUCKET=of-the-file\nDAILY_JOB_HOUR=5\nUNKNOWN_NAME=ignored\n")
    assert load_settings().s3_bucket == "of-the-file"
    monkeypatch.setenv("S3_BUCKET", "of-the-environment")
    assert load_settings().s3_bucket == "of-the-environment"
    assert load_settings().daily_job_hour == 5


def test_an_empty_variable_hides_the_env_file_and_gives_the_default(
    nothing_configured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing_configured.write_text(
        "DATABASE_URL=postgresql://me@real-server/kapman\nPOLYGON_API_KEY=real\nSMTP_PORT=25\nDB_PASSWORD=\n"
    )
    assert load_settings().database_url == "postgresql://me@real-server/kapman"
    assert load_settings().db_password is None
    for name in ("DATABASE_URL", "POLYGON_API_KEY", "SMTP_PORT"):
        monkeypatch.setenv(name, "")
    hidden = load_settings()
    assert (hidden.database_url, hidden.polygon_api_key, hidden.smtp_port) == (None, None, 587)


def test_the_env_files_are_the_repository_s_and_then_the_working_folder_s(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, repository: Path
) -> None:
    assert (repository / ".env", ".env") == ENV_FILES
    first, folder = tmp_path / "first.env", tmp_path / "elsewhere"
    folder.mkdir()
    first.write_text("S3_BUCKET=of-the-first\nDAILY_JOB_HOUR=7\n")
    (folder / ".env").write_text("S3_BUCKET=of-the-working-folder\n")
    monkeypatch.chdir(folder)
    monkeypatch.setitem(Settings.model_config, "env_file", (first, ".env"))
    assert (load_settings().s3_bucket, load_settings().daily_job_hour) == ("of-the-working-folder", 7)


@pytest.mark.parametrize(
    ("field", "names"),
    [
        ("polygon_api_key", ("POLYGON_API_KEY", "MASSIVE_API_KEY")),
        ("claude_api_key", ("CLAUDE_API_KEY", "ANTHROPIC_API_KEY")),
    ],
)
def test_a_key_is_known_by_its_vendor_s_own_name_too(
    field: str, names: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    specified, alias = names
    monkeypatch.setenv(alias, "of-the-alias")
    assert getattr(load_settings(), field).get_secret_value() == "of-the-alias"
    monkeypatch.setenv(specified, "of-the-specification")
    assert getattr(load_settings(), field).get_secret_value() == "of-the-specification"


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"AWS_ACCESS_KEY_ID": "x"}, "AWS_SECRET_ACCESS_KEY"),
        ({"AWS_SECRET_ACCESS_KEY": "x"}, "AWS_ACCESS_KEY_ID"),
        ({"SMTP_HOST": "x"}, "NOTIFICATION_EMAIL"),
        ({"NOTIFICATION_EMAIL": "x"}, "SMTP_HOST"),
        ({"SMTP_USER": "x"}, "SMTP_HOST"),
        ({"SMTP_PASSWORD": "x"}, "SMTP_HOST"),
        ({"SMTP_HOST": "x", "NOTIFICATION_EMAIL": "x", "SMTP_USER": "x"}, "SMTP_PASSWORD"),
        ({"SMTP_HOST": "x", "NOTIFICATION_EMAIL": "x", "SMTP_PASSWORD": "x"}, "SMTP_USER"),
        ({"AI_PROVIDER": "claude"}, "CLAUDE_API_KEY"),
        ({"AI_PROVIDER": "claude", "OPENAI_API_KEY": "x"}, "CLAUDE_API_KEY"),
        ({"AI_PROVIDER": "openai"}, "OPENAI_API_KEY"),
        ({"DB_PASSWORD": "x"}, "DATABASE_URL"),
    ],
)
def test_a_half_set_group_is_refused_with_the_name_of_the_missing_variable(
    given: dict[str, str], missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(
        SettingsError, match=rf"^{missing} is not set, but .* is.*: set it in the environment"
    ):
        load_settings()
    monkeypatch.setenv(missing, "x")
    if missing == "SMTP_HOST":
        monkeypatch.setenv("NOTIFICATION_EMAIL", "x")
        monkeypatch.setenv("SMTP_USER", "x")
        monkeypatch.setenv("SMTP_PASSWORD", "x")
    load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DAILY_JOB_HOUR", "24"),
        ("DAILY_JOB_MINUTE", "-1"),
        ("SMTP_PORT", "mail"),
        ("AI_PROVIDER", "oracle"),
        ("MARKET_DATA_PROVIDER", "yahoo"),
        ("TIMEZONE", "Mars/Olympus"),
        ("TIMEZONE", "../etc/passwd"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_name_and_itself(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert name in str(refused.value) and value in str(refused.value)
    assert "\n" not in str(refused.value)


SECRETS = {
    "DATABASE_URL": "postgresql://me:hidden-0@localhost/kapman",
    "DB_PASSWORD": "hidden-1",
    "POLYGON_API_KEY": "hidden-2",
    "AWS_ACCESS_KEY_ID": "hidden-3",
    "AWS_SECRET_ACCESS_KEY": "hidden-4",
    "CLAUDE_API_KEY": "hidden-5",
    "OPENAI_API_KEY": "hidden-6",
    "SMTP_USER": "me",
    "SMTP_PASSWORD": "hidden-7",
    "SMTP_HOST": "localhost",
}


def test_no_secret_appears_when_the_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (SECRETS | {"NOTIFICATION_EMAIL": "me@localhost"}).items():
        monkeypatch.setenv(name, value)
    loaded = load_settings()
    assert "hidden" not in f"{loaded!r} {loaded!s}"
    assert loaded.database_url == SECRETS["DATABASE_URL"]


def test_no_secret_appears_in_the_traceback_of_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert "hidden" not in "".join(traceback.format_exception(refused.value))


def test_the_first_missing_vendor_credential_is_named_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(SettingsError, match=r"^POLYGON_API_KEY is not set: .*\.env.*kapman demo"):
        load_settings().require_market_data_keys()
    monkeypatch.setenv("POLYGON_API_KEY", "x")
    with pytest.raises(SettingsError, match=r"^AWS_ACCESS_KEY_ID is not set"):
        load_settings().require_market_data_keys()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    load_settings().require_market_data_keys()


def test_the_home_folder_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KAPMAN_HOME", "~/kapman")
    assert load_settings().home == tmp_path / "kapman"


def test_both_databases_live_on_the_configured_server_and_the_password_may_come_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://me@db.example:5433/mine?sslmode=require")
    monkeypatch.setenv("DB_PASSWORD", "p@ss/word")
    loaded = load_settings()
    assert kapman_url(loaded) == "postgresql://me:p%40ss%2Fword@db.example:5433/mine?sslmode=require"
    assert dagster_url(loaded) == (
        "postgresql+psycopg2://me:p%40ss%2Fword@db.example:5433/dagster?sslmode=require"
    )
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:own@db.example/mine")
    assert kapman_url(load_settings()) == "postgresql://me:own@db.example/mine"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("not a url", "DATABASE_URL is not a URL such as"),
        ("mysql://me@localhost/kapman", "DATABASE_URL names mysql: Kapman needs PostgreSQL"),
    ],
)
def test_an_address_that_is_no_postgresql_is_refused(
    url: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(SettingsError, match=sentence):
        kapman_url(load_settings())


@pytest.mark.parametrize(
    ("text", "rate"),
    [("95/second", 95.0), ("5/minute", 5 / 60), ("0.5/second", None), ("12.5 / minute", 12.5 / 60)],
)
def test_a_rate_is_a_number_a_second_or_a_minute(
    monkeypatch: pytest.MonkeyPatch, text: str, rate: float | None
) -> None:
    monkeypatch.setenv("POLYGON_RATE_LIMIT", text)
    if rate is None:
        with pytest.raises(SettingsError, match=r"POLYGON_RATE_LIMIT='0\.5/second' is not a rate such as"):
            load_settings()
    else:
        assert load_settings().requests_per_second == pytest.approx(rate)


@pytest.mark.parametrize(
    ("name", "value"),
    [("BAR_FILE_DEADLINE", "noon"), ("POLYGON_OPTION_HISTORY", "yes"), ("POLYGON_RATE_LIMIT", "fast")],
)
def test_a_value_that_cannot_be_read_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"{name}='{value}'"):
        load_settings()
