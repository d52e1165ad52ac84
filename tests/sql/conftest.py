"""Rows for the schema's tests, written the way the pipeline writes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from typing import Any

import polars as pl
import pytest

from kapman_resources.database import Database
from kapman_resources.database.queries import query

Store = Callable[..., None]

_SNAPSHOT: dict[str, Any] = {
    "symbol": pl.String, "events_detected": pl.List(pl.String), "primary_event": pl.String,
    "primary_event_confidence": pl.Float64, "bc_score": pl.Int64, "spring_score": pl.Int64, "vsi": pl.Float64,
    "events_json": pl.String, "model_version": pl.String, "data_quality": pl.String,
}  # fmt: skip


@pytest.fixture
def store_snapshots(database: Database) -> Store:
    """store(session, {"NVDA": {"rule": 1, "signal": "EXIT_CRITICAL"}}): replaces the session's snapshots."""

    def store(session: date, snapshots: dict[str, dict[str, Any]]) -> None:
        rows = [
            {
                "symbol": symbol,
                "events_detected": given.get("events", []),
                "primary_event": given.get("primary"),
                "primary_event_confidence": given.get("confidence"),
                "bc_score": given.get("bc", 0),
                "spring_score": given.get("spring", 0),
                "vsi": given.get("vsi"),
                "events_json": json.dumps(
                    {
                        "signal_type": given.get("signal", "NEUTRAL"),
                        "signal_rule": given.get("rule", 9),
                        "alert_priority": given.get("alert", "INFO"),
                        "signal_message": given.get("message", "nothing"),
                    }
                ),
                "model_version": "test",
                "data_quality": "complete",
            }
            for symbol, given in snapshots.items()
        ]
        with database.transaction() as connection:
            database.replace_session(
                connection, "daily_snapshots", session, pl.DataFrame(rows, schema=_SNAPSHOT)
            )
            connection.execute(query("record_analysis"), {"session": session, "symbols": list(snapshots)})

    return store
