"""The one function that maps a snapshot to its signal; views, pages, mails and rules all show its result.

No option, no dealer metric and no advice belongs here: only the Wyckoff scores, the active events and volume.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from kapman_advice.evidence import compact_json, json_object, number

BC_EXIT = 24
BC_WARNING = 20
BC_LOW = 12
SPRING_SETUP = 9
VSI_SURGE = 2.0

ENTRY_FAMILY = ("ENTRY_SIGNAL", "ENTRY_SETUP")
EXIT_FAMILY = ("EXIT_CRITICAL", "EXIT_WARNING")

SIGNAL_COLUMNS = ("symbol", "bc_score", "spring_score", "events_detected", "vsi", "events_json")


@dataclass(frozen=True)
class Signal:
    """The verdict of the signal table for one snapshot; `rule` is the table row (1..9) that fired."""

    signal_type: str
    rule: int
    alert_priority: str
    signal_strength: str
    message: str
    entry_signal: bool
    exit_signal: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Evidence:
    bc: float | None
    spring: float | None
    active: frozenset[str]

    def bc_at_least(self, limit: float) -> bool:
        return self.bc is not None and self.bc >= limit

    def bc_below(self, limit: float) -> bool:
        return self.bc is not None and self.bc < limit

    def spring_at_least(self, limit: float) -> bool:
        return self.spring is not None and self.spring >= limit

    def has(self, *events: str) -> bool:
        return self.active.issuperset(events)

    def has_any(self, *events: str) -> bool:
        return not self.active.isdisjoint(events)


@dataclass(frozen=True)
class _Row:
    applies: Callable[[_Evidence], bool]
    signal_type: str
    alert_priority: str
    signal_strength: str
    message: Callable[[_Evidence], str]


def _listed(evidence: _Evidence, *events: str) -> str:
    return ", ".join(event for event in events if event in evidence.active)


# The table of domain section 6, in its order: the first row that applies decides.
_TABLE: tuple[_Row, ...] = (
    _Row(
        lambda e: e.bc_at_least(BC_EXIT),
        "EXIT_CRITICAL",
        "CRITICAL",
        "STRONG",
        lambda e: f"EXIT: close all positions, buying climax score {e.bc:g} (limit {BC_EXIT})",
    ),
    _Row(
        lambda e: e.has("SPRING", "SOS") and e.bc_below(BC_LOW),
        "ENTRY_SIGNAL",
        "HIGH",
        "STRONG",
        lambda e: "SPRING confirmed by SOS: accumulation complete, strong entry",
    ),
    _Row(
        lambda e: e.spring_at_least(SPRING_SETUP) and e.bc_below(BC_LOW),
        "ENTRY_SETUP",
        "HIGH",
        "NORMAL",
        lambda e: f"Spring score {e.spring:g} of 12: favourable entry setup",
    ),
    _Row(
        lambda e: e.bc_at_least(BC_WARNING),
        "EXIT_WARNING",
        "MEDIUM",
        "NORMAL",
        lambda e: f"Prepare exit, no new positions: buying climax score {e.bc:g} (limit {BC_WARNING})",
    ),
    _Row(
        lambda e: e.has("SOW"),
        "EXIT_WARNING",
        "MEDIUM",
        "NORMAL",
        lambda e: "SOW active: distribution, no new long positions",
    ),
    _Row(
        lambda e: e.has("SOS") and not e.has("SPRING") and e.bc_below(BC_WARNING),
        "ENTRY_SIGNAL",
        "LOW",
        "WEAK",
        lambda e: "SOS without SPRING: breakout entry, tighter stop",
    ),
    _Row(
        lambda e: e.has_any("SPRING", "TEST"),
        "ENTRY_SETUP",
        "LOW",
        "WEAK",
        lambda e: f"{_listed(e, 'SPRING', 'TEST')} active: entry setup, watch for SOS",
    ),
    _Row(
        lambda e: e.has_any("SC", "AR", "ST"),
        "ACCUMULATION",
        "LOW",
        "WEAK",
        lambda e: f"{_listed(e, 'SC', 'AR', 'ST')} active: accumulation building, no entry yet",
    ),
    _Row(lambda e: True, "NEUTRAL", "INFO", "NONE", lambda e: "No actionable signal"),
)


def _known(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


_NOTE_OPENINGS = ("volume surge:", "bc_score missing:", "spring_score missing:", "events_detected missing:")


def _notes(evidence: _Evidence, vsi: float | None) -> tuple[str, ...]:
    notes = []
    if vsi is not None and vsi > VSI_SURGE:
        notes.append(f"volume surge: vsi {vsi:.2f} is above {VSI_SURGE:g} (INFO)")
    if evidence.bc is None:
        notes.append("bc_score missing: rows 1 to 4 and 6 of the signal table could not fire on it")
    if evidence.spring is None:
        notes.append("spring_score missing: row 3 of the signal table could not fire on it")
    return tuple(notes)


def classify(
    bc_score: float | None,
    spring_score: float | None,
    events_active: Sequence[str],
    vsi: float | None = None,
) -> Signal:
    """The signal of one snapshot (domain section 6, rows 1 to 9, first match).

    `bc_score` 0..28, `spring_score` 0..12, `events_active` the event codes active in the current range,
    `vsi` a z-score of volume. A null or NaN score is missing evidence: it fulfils neither ">=" nor "<", so
    SPRING with SOS but an unknown bc_score does not become the strong entry of row 2; it falls to row 7,
    which asks for no score, and the notes say so. Missing is neither bullish nor bearish.
    """
    evidence = _Evidence(_known(bc_score), _known(spring_score), frozenset(events_active))
    rule, row = next((index, row) for index, row in enumerate(_TABLE, start=1) if row.applies(evidence))
    return Signal(
        signal_type=row.signal_type,
        rule=rule,
        alert_priority=row.alert_priority,
        signal_strength=row.signal_strength,
        message=row.message(evidence),
        entry_signal=row.signal_type in ENTRY_FAMILY,
        exit_signal=row.signal_type in EXIT_FAMILY,
        notes=_notes(evidence, _known(vsi)),
    )


def signal_fields(signal: Signal) -> dict[str, Any]:
    """The signal under the keys it has in `events_json`."""
    return {
        "signal_type": signal.signal_type,
        "alert_priority": signal.alert_priority,
        "signal_rule": signal.rule,
        "entry_signal": signal.entry_signal,
        "exit_signal": signal.exit_signal,
        "signal_strength": signal.signal_strength,
        "signal_message": signal.message,
        "notes": list(signal.notes),
    }


def signal_of(snapshot: Mapping[str, Any]) -> Signal:
    """The signal stored in a snapshot's `events_json`; classified from its scores when none is stored yet."""
    stored = json_object(snapshot, "events_json")
    if "signal_type" not in stored:
        return classify(
            number(snapshot, "bc_score"),
            number(snapshot, "spring_score"),
            snapshot.get("events_detected") or (),
            number(snapshot, "vsi"),
        )
    return Signal(
        signal_type=stored["signal_type"],
        rule=stored["signal_rule"],
        alert_priority=stored["alert_priority"],
        signal_strength=stored["signal_strength"],
        message=stored["signal_message"],
        entry_signal=stored["entry_signal"],
        exit_signal=stored["exit_signal"],
        notes=tuple(note for note in stored.get("notes", ()) if note.startswith(_NOTE_OPENINGS)),
    )


def _enriched(row: Mapping[str, Any]) -> str:
    events, document = row["events_detected"], json_object(row, "events_json")
    fields = signal_fields(classify(row["bc_score"], row["spring_score"], events or (), row["vsi"]))
    # The structure engine writes notes of its own under the same key: those stay, in front.
    kept = [note for note in document.get("notes") or () if not note.startswith(_NOTE_OPENINGS)]
    if events is None:
        kept.append("events_detected missing: no row that asks for an event could fire")
    return compact_json({**document, **fields, "notes": [*kept, *fields["notes"]]})


def apply_signals(snapshots: pl.DataFrame) -> pl.DataFrame:
    """Writes the signal of every row into its `events_json` and returns the frame, other columns untouched.

    Needs columns symbol, bc_score, spring_score, events_detected (List[String]), vsi, events_json (String
    JSON or null). Adds the keys signal_type, alert_priority, signal_rule, entry_signal, exit_signal,
    signal_strength, signal_message, and appends to notes; applying it twice gives the same bytes. Raises
    ValueError for a missing column or for an events_json that is not a JSON object.
    """
    absent = [name for name in SIGNAL_COLUMNS if name not in snapshots.columns]
    if absent:
        raise ValueError(f"snapshots lack the columns {', '.join(absent)}; compute the Wyckoff part first")
    rows = snapshots.select(SIGNAL_COLUMNS).iter_rows(named=True)
    return snapshots.with_columns(pl.Series("events_json", [_enriched(row) for row in rows], dtype=pl.String))
