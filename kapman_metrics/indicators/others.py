"""Returns as formulas over panels, in percent; each returns its outputs in the order of the surface.

Does not belong here: realised volatility and distances from averages (kapman_metrics.price).
"""

from __future__ import annotations

import numpy as np

from kapman_metrics.indicators.panel import Array, Panel
from kapman_metrics.indicators.primitives import diff, running, shift
from kapman_metrics.indicators.volume import anchored


def cr(p: Panel) -> tuple[Array]:
    """Cumulative return since the anchor (first bar of the previous calendar year), percent."""

    def total(inside: Array, first: Array) -> Array:
        base = running(np.where(first, p.close, 0.0), np.add)
        return (p.close / base - 1) * 100

    return (anchored(p, total),)


def dlr(p: Panel) -> tuple[Array]:
    """Log return of the bar, percent."""
    return (diff(np.log(p.close)) * 100,)


def dr(p: Panel) -> tuple[Array]:
    """Return of the bar, percent."""
    return ((p.close / shift(p.close) - 1) * 100,)
