"""JSON documents of the metrics: compact, sorted, finite, so that equal inputs give equal bytes.

Does not belong here: what a document says.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np


def finite(values: np.ndarray) -> list[float | None]:
    """The values as Python floats, None for NaN and infinity."""
    return [value if math.isfinite(value) else None for value in np.asarray(values, dtype=float).tolist()]


def significant(values: np.ndarray, digits: int) -> list[float | None]:
    """As `finite`, rounded to so many significant digits."""
    with np.errstate(divide="ignore", invalid="ignore"):
        places = digits - 1 - np.floor(np.log10(np.abs(values)))
        scale = 10.0 ** np.where(np.abs(places) < 300, places, 0.0)  # what is 0, or as good as 0, rounds to 0
        return finite(np.rint(values * scale) / scale)


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
    try:
        return _ENCODER.encode(document)
    except ValueError:  # a number that JSON does not have
        return _ENCODER.encode(_clean(document))


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
