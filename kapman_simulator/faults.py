"""Faults a test asks for: late, wrong, missing, half or not yet published answers. By default there are none.

The one seam through which the simulated vendor misbehaves; the shapes of healthy answers are defined
elsewhere, and so is what each fault does to them.
"""

from __future__ import annotations

import time
from collections import deque
from datetime import date
from typing import Any, Literal

import msgspec

from kapman_simulator.data_sets import STOCKS


class StatusFault(msgspec.Struct, forbid_unknown_fields=True):
    """Answer the next `times` requests whose path begins with `prefix` with `status` instead of the truth.

    Without `body` the answer is the vendor's own for that status; `code` is the error code of an S3 answer.
    """

    prefix: str
    status: int
    times: int = 1
    body: str | None = None
    headers: dict[str, str] = {}
    code: str | None = None


class ResetFault(msgspec.Struct, forbid_unknown_fields=True):
    """Break the connection of the next `times` answers under `prefix` after `after_bytes` of their body."""

    prefix: str
    after_bytes: int = 0
    times: int = 1


class RateLimit(msgspec.Struct, forbid_unknown_fields=True):
    """429 for every REST request beyond `requests` within any `seconds` of real time; Retry-After when given."""

    requests: int
    seconds: float = 1.0
    retry_after: str | None = None


class Correction(msgspec.Struct, forbid_unknown_fields=True):
    """One row of a replaced file: the fields to overwrite, or `removed`; an unknown symbol becomes a new row."""

    symbol: str
    open: float | None = None
    high: float | None = None
    low: float | None = None
    close: float | None = None
    volume: float | None = None
    transactions: int | None = None
    removed: bool = False


class ContractOverride(msgspec.Struct, forbid_unknown_fields=True):
    """A change to one contract of `symbol`'s snapshot (by place in the chain or by ticker), or to all of them.

    `patch` is merged: objects into objects, except that an empty object empties; null is sent as null, other
    values replace. `remove` takes dotted names away afterwards ("greeks", "day.close").
    """

    symbol: str
    index: int | None = None
    ticker: str | None = None
    patch: dict[str, Any] = {}
    remove: list[str] = []


class SplitEntry(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """An entry of the splits endpoints that no price knows of."""

    ticker: str
    execution_date: date
    split_from: float
    split_to: float
    adjustment_type: str | None = None
    historical_adjustment_factor: float | None = None


class FaultPlan(msgspec.Struct, forbid_unknown_fields=True):
    """Everything that is wrong at the moment.

    Any answer:
      latency_ms: added to every answer. slow: added to those under a path prefix, ms. statuses, resets,
      rate_limit: see their types. drop_symbols: vanish from files, bars and chains. delayed: success says
      DELAYED, as on delayed plans. basic_plan: the free plan, without files, snapshots and the running day.
      history_from: the plan's oldest day; older files are listed and forbidden, older bars refused.
    Files, by session, of the stock day files unless data_sets names others by prefix:
      truncate: the stored file ends after so many bytes (its length is reported honestly). cut: the
      connection breaks after so many bytes of the file. unpublished: not there yet, so not listed and 403.
      forbidden: listed with size, 403 all the same. etag_only: another ETag and Last-Modified, same content.
      replace: rows corrected, with another ETag and Last-Modified (REST bars stay as they were).
      append_rows: lines of text put at the end of the file as they are. drop_columns: columns left out.
      header: the first line as given. forbidden_data_sets: prefixes of keys that the plan does not include.
    Bars over REST:
      grouped_rows: objects put at the end of a session's grouped daily as they are. grouped_unavailable:
      sessions whose grouped daily is empty.
    Chains, by underlying:
      cursor_loop: the last page points back to the second one. endless_pages: after the last page come empty
      ones, each with a new cursor. duplicate_contracts: page 2 begins with four contracts of page 1, two of
      them without greeks on the first page and two on the second. contract_overrides: see the type.
    Reference:
      split_entries: further entries in both splits endpoints. hidden_splits: tickers whose splits are not
      listed. no_new_splits_endpoint: /stocks/v1/splits is 404. option_history: status of /options/v1/*, 0 =
      available.
    """

    latency_ms: float = 0.0
    slow: dict[str, float] = {}
    statuses: list[StatusFault] = []
    resets: list[ResetFault] = []
    rate_limit: RateLimit | None = None
    drop_symbols: list[str] = []
    delayed: bool = False
    basic_plan: bool = False
    history_from: date | None = None

    data_sets: list[str] = []
    truncate: dict[date, int] = {}
    cut: dict[date, int] = {}
    unpublished: list[date] = []
    forbidden: list[date] = []
    etag_only: list[date] = []
    replace: dict[date, list[Correction]] = {}
    append_rows: dict[date, list[str]] = {}
    drop_columns: dict[date, list[str]] = {}
    header: dict[date, str] = {}
    forbidden_data_sets: list[str] = []

    grouped_rows: dict[date, list[dict[str, Any]]] = {}
    grouped_unavailable: list[date] = []

    cursor_loop: list[str] = []
    endless_pages: list[str] = []
    duplicate_contracts: list[str] = []
    contract_overrides: list[ContractOverride] = []

    split_entries: list[SplitEntry] = []
    hidden_splits: list[str] = []
    no_new_splits_endpoint: bool = False
    option_history: Literal[0, 403, 404] = 0

    def concerns(self, prefix: str) -> bool:
        """Whether the session faults of files are meant for the data set with this key prefix."""
        return any(prefix.startswith(wanted) for wanted in self.data_sets or [STOCKS.prefix])

    def forbids(self, prefix: str, session: date) -> bool:
        """Whether a published file is refused, although the listing shows it."""
        if self.basic_plan or (self.history_from is not None and session < self.history_from):
            return True
        if any(prefix.startswith(closed) for closed in self.forbidden_data_sets):
            return True
        return session in self.forbidden and self.concerns(prefix)

    def content_of(self, prefix: str, session: date) -> str:
        """What changes the content of a session's file, as a text that is empty for a healthy one."""
        parts = (self.replace, self.append_rows, self.drop_columns, self.header)
        if not self.concerns(prefix) or not any(session in part for part in parts):
            return ""
        return msgspec.json.encode([part.get(session) for part in parts]).decode()


class Faults:
    """The current plan, consulted on every request but those to /simulator."""

    def __init__(self) -> None:
        self.plan = FaultPlan()
        self._recent: deque[float] = deque()

    def set(self, body: bytes) -> None:
        """Replace the plan by a JSON document (`{}` heals everything); raises msgspec.ValidationError."""
        self.plan = msgspec.json.decode(body or b"{}", type=FaultPlan)
        self._recent.clear()

    def status_for(self, path: str) -> StatusFault | None:
        """The fault to answer this request with, counted down; None for a healthy answer."""
        for fault in self.plan.statuses:
            if fault.times > 0 and path.startswith(fault.prefix):
                fault.times -= 1
                return fault
        return None if path.startswith("/flatfiles") else self._throttled()

    def reset_for(self, path: str) -> ResetFault | None:
        """The reset that breaks this answer, counted down."""
        for fault in self.plan.resets:
            if fault.times > 0 and path.startswith(fault.prefix):
                fault.times -= 1
                return fault
        return None

    def delay_for(self, path: str) -> float:
        """Seconds that this answer waits."""
        slow = sum(ms for prefix, ms in self.plan.slow.items() if path.startswith(prefix))
        return (self.plan.latency_ms + slow) / 1000

    def _throttled(self) -> StatusFault | None:
        limit = self.plan.rate_limit
        if limit is None:
            return None
        now = time.monotonic()
        while self._recent and self._recent[0] <= now - limit.seconds:
            self._recent.popleft()
        if len(self._recent) < limit.requests:
            self._recent.append(now)
            return None
        headers = {"Retry-After": limit.retry_after} if limit.retry_after is not None else {}
        return StatusFault("", 429, headers=headers)
