"""Dagster's PostgreSQL storages with a small connection pool each.

The stock classes open a connection per event (1,325 for a 40-session range, against 9). Without `postgres_url` in
dagster.yaml the address follows Kapman's own settings, so that the embedded server serves both.
"""

from __future__ import annotations

from typing import Any

from dagster import Field, StringSource
from dagster._serdes import ConfigurableClassData
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.schedule_storage.schedule_storage import PostgresScheduleStorage
from dagster_postgres.utils import create_pg_engine

from kapman_resources.database.urls import dagster_url
from kapman_resources.settings import load_settings

_POOL = {"pool_size": 2, "max_overflow": 4, "pool_pre_ping": True, "isolation_level": "AUTOCOMMIT"}


class _Pooled:
    """Mixed in before a stock storage: reads the address, then exchanges the engine for a pooled one."""

    _engine: Any
    postgres_url: str

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(postgres_url, inst_data=inst_data)  # type: ignore[call-arg]
        self._engine = create_pg_engine(self.postgres_url, None, **_POOL)

    @classmethod
    def config_type(cls) -> dict[str, Field]:
        return {"postgres_url": Field(StringSource, is_required=False)}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: dict[str, str]
    ) -> _Pooled:
        url = config_value.get("postgres_url") or dagster_url(load_settings())
        return cls(url.replace("postgresql://", "postgresql+psycopg2://", 1), inst_data=inst_data)

    def dispose(self) -> None:
        self._engine.dispose()


class PooledRunStorage(_Pooled, PostgresRunStorage):  # type: ignore[misc]  # the base types its own subclass
    """Runs, tags, daemon heartbeats."""


class PooledEventLogStorage(_Pooled, PostgresEventLogStorage):  # type: ignore[misc]  # the base types its own subclass
    """Events, materializations, check evaluations."""


class PooledScheduleStorage(_Pooled, PostgresScheduleStorage):  # type: ignore[misc]  # the base types its own subclass
    """Schedule and sensor state."""
