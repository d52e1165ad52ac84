"""Faults a test asks for: late, wrong, missing, half or not yet published answers. By default there are none.

The one seam through which the simulated vendor misbehaves; the shapes of healthy answers are defined
elsewhere.
"""

from __future__ import annotations

from datetime import date

import msgspec


class StatusFault(msgspec.Struct, forbid_unknown_fields=True):
    """Answer the next `times` requests whose path begins with `prefix` with `status` instead of the truth."""

    prefix: str
    status: int
    times: int = 1
    body: str | None = None
    headers: dict[str, str] = {}


class FaultPlan(msgspec.Struct, forbid_unknown_fields=True):
    """Everything that is wrong at the moment.

    latency_ms: added to every answer. drop_symbols: vanish from files, bars and chains. truncate: the stored
    file of a session ends after so many bytes (its length is reported honestly). cut: the connection breaks
    after so many bytes of the file. unpublished: sessions whose file is not there yet.
    """

    latency_ms: float = 0.0
    statuses: list[StatusFault] = []
    drop_symbols: list[str] = []
    truncate: dict[date, int] = {}
    cut: dict[date, int] = {}
    unpublished: list[date] = []


class Faults:
    """The current plan, consulted on every request but those to /simulator."""

    def __init__(self) -> None:
        self.plan = FaultPlan()

    def set(self, body: bytes) -> None:
        """Replace the plan by a JSON document (`{}` heals everything); raises msgspec.ValidationError."""
        self.plan = msgspec.json.decode(body or b"{}", type=FaultPlan)

    def status_for(self, path: str) -> StatusFault | None:
        """The fault to answer this request with, counted down; None for a healthy answer."""
        for fault in self.plan.statuses:
            if fault.times > 0 and path.startswith(fault.prefix):
                fault.times -= 1
                return fault
        return None
