"""Dagster's storages from the repository's dagster.yaml on the embedded server: no connection per event."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dagster import DagsterInstance, EventLogEntry
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.dagster_run import DagsterRun

from kapman_resources import dagster_storage

RUN = "11111111-1111-1111-1111-111111111111"


@pytest.fixture
def instance(
    postgres_server: Any, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DagsterInstance]:
    monkeypatch.setenv("KAPMAN_HOME", str(Path(postgres_server.pgdata).parent))
    reference = InstanceRef.from_dir(str(tmp_path), config_dir=str(repository))
    with DagsterInstance.from_ref(reference) as opened:
        yield opened


def sessions(postgres_server: Any) -> int:
    """Sessions ever opened on Dagster's database, as the server counts them."""
    with psycopg.connect(postgres_server.get_uri("postgres"), autocommit=True) as admin:
        found = admin.execute(
            "SELECT pg_stat_get_db_sessions(oid) FROM pg_database WHERE datname = 'dagster'"
        ).fetchone()
    assert found is not None
    return found[0]


def event(number: int) -> EventLogEntry:
    return EventLogEntry(
        error_info=None,
        level=20,
        user_message=f"event {number}",
        run_id=RUN,
        timestamp=float(number),
        job_name="daily",
    )


def test_the_repository_s_dagster_yaml_names_the_three_pooled_storages(instance: DagsterInstance) -> None:
    assert isinstance(instance.run_storage, dagster_storage.PooledRunStorage)
    assert isinstance(instance.event_log_storage, dagster_storage.PooledEventLogStorage)
    assert isinstance(instance.schedule_storage, dagster_storage.PooledScheduleStorage)
    for storage in (instance.run_storage, instance.event_log_storage, instance.schedule_storage):
        assert "/dagster?" in storage.postgres_url
    assert not instance.telemetry_enabled


def test_a_burst_of_300_events_is_stored_whole_over_a_handful_of_sessions(
    instance: DagsterInstance, postgres_server: Any
) -> None:
    instance.run_storage.add_run(DagsterRun(job_name="daily", run_id=RUN))
    instance.event_log_storage.store_event(event(0))
    assert instance.schedule_storage is not None
    assert list(instance.schedule_storage.all_instigator_state()) == []
    before = sessions(postgres_server)
    for number in range(1, 301):
        instance.event_log_storage.store_event(event(number))
        if number % 50 == 0:
            assert instance.run_storage.has_run(RUN)
    stored = instance.event_log_storage.get_logs_for_run(RUN)
    assert [entry.user_message for entry in stored] == [f"event {number}" for number in range(301)]
    instance.dispose()
    time.sleep(0.2)  # the server counts a session at the latest when it ends
    assert 0 <= sessions(postgres_server) - before <= 6


def test_a_configured_server_is_used_for_dagster_s_database_too(
    postgres_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", postgres_server.get_uri("kapman"))
    configured = dagster_storage.PooledRunStorage.from_config_value(None, {})
    assert configured.postgres_url.startswith("postgresql+psycopg2://")
    assert "/dagster?host=" in configured.postgres_url
    given = {"postgres_url": postgres_server.get_uri("dagster")}
    named = dagster_storage.PooledRunStorage.from_config_value(None, given)
    assert named.postgres_url == given["postgres_url"].replace("postgresql://", "postgresql+psycopg2://")
    configured.dispose()
    named.dispose()
