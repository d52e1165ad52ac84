"""Every configuration name in one place: environment, then `.env`, then the defaults below.

Names are the specification's. Half-set groups are refused with the name of the missing variable. Secrets never
appear in a repr, a log or Dagster metadata.
"""

from __future__ import annotations

import re
from datetime import time
from pathlib import Path
from typing import Literal, Self

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parents[1]


_RATE = re.compile(r"[1-9]\d*(\.\d+)?\s*/\s*(second|minute)")


class SettingsError(ValueError):
    """The configuration is incomplete or contradictory; the message names the variable and the way out."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_file=(ROOT / ".env", ".env"),
        env_file_encoding="utf-8",
        extra="ignore",
        populate_by_name=True,
        hide_input_in_errors=True,  # a traceback would print every secret beside the one fault
    )

    kapman_home: Path = Field(ROOT / ".kapman", description="state of the embedded services")
    database_url: str | None = Field(
        None, repr=False, description="PostgreSQL 16+; unset: embedded under KAPMAN_HOME"
    )
    db_password: SecretStr | None = Field(None, description="password for DATABASE_URL when the URL has none")

    market_data_provider: Literal["polygon"] = "polygon"
    polygon_api_key: SecretStr | None = Field(
        None, validation_alias=AliasChoices("POLYGON_API_KEY", "MASSIVE_API_KEY"), description="REST key"
    )
    polygon_base_url: str = Field("https://api.massive.com", description="REST address")
    polygon_s3_endpoint: str = Field("https://files.massive.com", description="flat files' S3 address")
    aws_access_key_id: SecretStr | None = Field(None, description="flat files' S3 access key")
    aws_secret_access_key: SecretStr | None = Field(None, description="flat files' S3 secret")
    s3_bucket: str = Field("flatfiles", description="flat files' bucket")
    polygon_rate_limit: str = Field(
        "95/second", description="REST requests a second or a minute; the free plan has 5/minute"
    )
    polygon_option_history: Literal["off", "on"] = Field(
        "off", description="use the vendor's history of open interest and greeks (2026) for past sessions"
    )
    bar_file_deadline: time = Field(
        time(11, 30), description="New York time of the next day when grouped daily stands in for a day file"
    )

    metrics_provider: Literal["local", "mcp"] = Field(
        "local", description="who computes the metrics: this machine, or the server at POLYGON_MCP_URL"
    )
    polygon_mcp_url: str | None = Field(
        None, description="metrics server that speaks MCP, such as http://127.0.0.1:5001"
    )
    polygon_mcp_timeout: float = Field(
        120, gt=0, description="seconds that a session's metrics may take to come from POLYGON_MCP_URL"
    )
    kapman_mcp_token: SecretStr | None = Field(
        None, description="bearer token: what `kapman mcp` demands and what is sent to POLYGON_MCP_URL"
    )

    ai_provider: Literal["rules", "claude", "openai"] = Field(
        "rules", description="who chooses among the candidates"
    )
    claude_api_key: SecretStr | None = Field(
        None, validation_alias=AliasChoices("CLAUDE_API_KEY", "ANTHROPIC_API_KEY")
    )
    openai_api_key: SecretStr | None = None

    smtp_host: str | None = Field(None, description="mail server; unset: no mail")
    smtp_port: int = 587
    smtp_user: str | None = None
    smtp_password: SecretStr | None = None
    notification_email: str | None = Field(None, description="where alerts go")

    daily_job_hour: int = Field(4, ge=0, le=23)
    daily_job_minute: int = Field(0, ge=0, le=59)
    timezone: str = Field(
        "America/New_York", description="zone of the schedule; sessions are always New York's"
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_means_default(cls, values: dict[str, object]) -> dict[str, object]:
        """`NAME=` in the environment hides the NAME of .env and gives the default (the demo relies on it)."""
        return {name: value for name, value in values.items() if value != ""}

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        from zoneinfo import ZoneInfo

        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"TIMEZONE={value!r} is not a zone name such as America/New_York") from error
        return value

    @field_validator("polygon_rate_limit")
    @classmethod
    def _known_rate(cls, value: str) -> str:
        if not _RATE.fullmatch(value):
            raise ValueError(f"POLYGON_RATE_LIMIT={value!r} is not a rate such as 95/second or 5/minute")
        return value

    @field_validator("polygon_mcp_url")
    @classmethod
    def _address_without_secrets(cls, value: str | None) -> str | None:
        if value is None:
            return None
        from urllib.parse import urlsplit

        try:
            parts = urlsplit(value)
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            good = False
        if not good:
            raise ValueError("POLYGON_MCP_URL is not an address such as http://127.0.0.1:5001")
        if "@" in parts.netloc:
            raise ValueError("POLYGON_MCP_URL holds a user or password: put the token into KAPMAN_MCP_TOKEN")
        return value

    @field_validator("kapman_mcp_token")
    @classmethod
    def _fit_for_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not re.fullmatch(r"[!-~]+", value.get_secret_value()):
            raise ValueError(
                "KAPMAN_MCP_TOKEN holds a blank or a character that is not ASCII: choose another"
            )
        return value

    @model_validator(mode="after")
    def _groups_are_whole(self) -> Self:
        def needs(name: str, value: object, because: str) -> None:
            if not value:
                raise ValueError(f"{name} is not set, but {because}: set it in the environment or in .env")

        if self.db_password:
            needs("DATABASE_URL", self.database_url, "DB_PASSWORD is")
        if self.aws_access_key_id or self.aws_secret_access_key:
            needs("AWS_ACCESS_KEY_ID", self.aws_access_key_id, "AWS_SECRET_ACCESS_KEY is")
            needs("AWS_SECRET_ACCESS_KEY", self.aws_secret_access_key, "AWS_ACCESS_KEY_ID is")
        if self.smtp_host:
            needs("NOTIFICATION_EMAIL", self.notification_email, "SMTP_HOST is")
        if self.notification_email:
            needs("SMTP_HOST", self.smtp_host, "NOTIFICATION_EMAIL is")
        if self.smtp_user or self.smtp_password:
            needs("SMTP_HOST", self.smtp_host, "SMTP_USER or SMTP_PASSWORD is")
            needs("SMTP_USER", self.smtp_user, "SMTP_PASSWORD is")
            needs("SMTP_PASSWORD", self.smtp_password, "SMTP_USER is")
        if self.metrics_provider == "mcp":
            needs("POLYGON_MCP_URL", self.polygon_mcp_url, "METRICS_PROVIDER is mcp")
        if self.ai_provider == "claude":
            needs("CLAUDE_API_KEY", self.claude_api_key, "AI_PROVIDER is claude")
        if self.ai_provider == "openai":
            needs("OPENAI_API_KEY", self.openai_api_key, "AI_PROVIDER is openai")
        return self

    def require_market_data_keys(self) -> None:
        """Raises SettingsError naming the first missing vendor credential."""
        for name, value in (
            ("POLYGON_API_KEY", self.polygon_api_key),
            ("AWS_ACCESS_KEY_ID", self.aws_access_key_id),
            ("AWS_SECRET_ACCESS_KEY", self.aws_secret_access_key),
        ):
            if value is None:
                raise SettingsError(
                    f"{name} is not set: put the vendor's keys into .env (see .env.example), "
                    "or run `./kapman demo`, which needs none"
                )

    @property
    def requests_per_second(self) -> float:
        count, unit = self.polygon_rate_limit.split("/")
        return float(count) / (60 if unit.strip() == "minute" else 1)

    @property
    def home(self) -> Path:
        return self.kapman_home.expanduser().resolve()


def load_settings() -> Settings:
    """Settings of this process; raises SettingsError with one line per fault."""
    try:
        return Settings()  # type: ignore[call-arg]  # fields come from the environment
    except ValidationError as error:
        faults = []
        for item in error.errors():
            name = str(item["loc"][0]).upper() if item["loc"] else ""
            text = item["msg"].removeprefix("Value error, ")
            faults.append(text if not name or name in text else f"{name}={item['input']!r}: {text}")
        raise SettingsError("; ".join(faults)) from error
