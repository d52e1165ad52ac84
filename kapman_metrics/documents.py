"""JSON documents of the metrics: compact, sorted, finite, so that equal inputs give equal bytes.

Does not belong here: what a document says.
"""

from __future__ import annotations

import json
import math
from typing import Any


def finite_or_none(value: float | None) -> float | None:
    """The value as a Python float, or None for null, NaN and infinity."""
    return None if value is None or not math.isfinite(value) else float(value)


def _clean(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value


def compact_json(document: Any) -> str:
    """JSON text with sorted keys, no spaces, floats by repr; NaN and infinity become null.

    Raises TypeError for a value JSON does not know (numpy scalars included: convert before).
    """
    return json.dumps(_clean(document), sort_keys=True, separators=(",", ":"), allow_nan=False)
