"""How this room reads a snapshot: numbers that may be missing, JSON columns, range levels, the dealer grade.

One place knows the key names; rules and levels ask here. Nothing is inferred: what is absent is None.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from datetime import date
from typing import Any

from kapman_metrics import documents

EVIDENCE_COLUMNS: tuple[str, ...] = (
    "spot",
    "wyckoff_phase",
    "phase_confidence",
    "bc_score",
    "spring_score",
    "events_detected",
    "atr_14",
    "rsi_14",
    "macd_histogram",
    "adx_14",
    "price_vs_sma50",
    "dgpi",
    "gamma_flip_level",
    "call_wall_primary",
    "put_wall_primary",
    "iv_rank",
    "average_iv",
)
"""Snapshot keys that a decision looks at; an absent or null one is declared in `Context.missing`."""


def number(snapshot: Mapping[str, Any], key: str) -> float | None:
    """The value under `key` as a finite float; None when absent, null, NaN, infinite or not a number."""
    value = snapshot.get(key)
    if value is None or isinstance(value, (bool, str)):
        return None
    try:
        result = float(value)
    except (TypeError, ValueError):
        return None
    return result if math.isfinite(result) else None


def json_object(snapshot: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A JSON column as a mapping, whether it comes as text or already decoded; empty when null.

    Raises ValueError naming symbol and column when the text is not a JSON object.
    """
    raw = snapshot.get(key)
    if raw is None:
        return {}
    if isinstance(raw, str):
        try:
            raw = json.loads(raw)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{key} of {snapshot.get('symbol')} is not JSON ({error}); recompute that snapshot"
            ) from error
    if not isinstance(raw, Mapping):
        raise ValueError(
            f"{key} of {snapshot.get('symbol')} holds {type(raw).__name__}, expected a JSON object"
        )
    return raw


def range_levels(snapshot: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """(support, resistance) of the current trading range in underlying dollars, None where unknown.

    Read from `range_support` / `range_resistance`, else from `events_json.range.support` / `.resistance`.
    """
    stored = json_object(snapshot, "events_json").get("range")
    nested = stored if isinstance(stored, Mapping) else {}
    support = number(snapshot, "range_support")
    resistance = number(snapshot, "range_resistance")
    return (
        support if support is not None else number(nested, "support"),
        resistance if resistance is not None else number(nested, "resistance"),
    )


def dealer_grade(snapshot: Mapping[str, Any]) -> str | None:
    """The usability grade of the dealer metrics: 'full', 'limited', 'invalid', or None when not stored."""
    grade = snapshot.get("dealer_grade") or json_object(snapshot, "dealer_metrics_json").get("usability")
    return str(grade) if grade else None


def climax_points(snapshot: Mapping[str, Any]) -> str:
    """The buying climax score in words, against what could be earned (24 points without sentiment data)."""
    score = number(snapshot, "bc_score")
    if score is None:
        return "not known"
    most = number(json_object(snapshot, "events_json"), "bc_available_max")
    return f"{score:g} of {28 if most is None else most:g}{'' if most in (None, 28) else ' available'}"


def is_absent(value: Any) -> bool:
    """True for null, NaN or infinity. An empty list is a finding, not an absence."""
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def compact_json(value: Any) -> str:
    """Compact JSON with sorted keys: dates as ISO text, dataclasses as objects, NaN and infinity as null."""
    return documents.compact_json(plain(value))


def plain(value: Any) -> Any:
    """Dataclasses, dates and tuples as the values JSON knows; non-finite floats become None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
