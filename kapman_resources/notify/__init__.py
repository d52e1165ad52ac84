"""The outbox of alerts: a row in `notifications`, written in the transaction of what it reports, never twice.

Does not belong here: which snapshot deserves an alert (kapman_advice.signals).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from kapman_resources.database.core import Connection
from kapman_resources.database.queries import query


@dataclass(frozen=True)
class Notification:
    """`dedupe_key` names the occasion: the same one is never recorded twice."""

    dedupe_key: str
    kind: str
    severity: str
    symbol: str | None
    session_date: date | None
    subject: str
    body: str


class Notifier(Protocol):
    def record(self, connection: Connection, notifications: Sequence[Notification]) -> int:
        """Adds the new ones inside the caller's transaction; returns how many were new."""


class TableNotifier:
    """Records alerts in the database, where dashboard and command line show them."""

    def record(self, connection: Connection, notifications: Sequence[Notification]) -> int:
        new = 0
        for n in notifications:
            new += connection.execute(query("record_notification"), vars(n)).rowcount
        return new
