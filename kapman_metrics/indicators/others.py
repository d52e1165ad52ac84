"""Returns as formulas over panels, in percent; each returns its outputs in the order of the surface.

Does not belong here: realised volatility and distances from averages (kapman_metrics.price).
"""

from __future__ import annotations

import numpy as np

from kapman_metrics.indicators.panel import Array, Panel
from kapman_metrics.indicators.primitives import diff
from kapman_metrics.indicators.series import simple_return
from kapman_metrics.indicators.volume import anchored


def cr(p: Panel) -> tuple[Array]:
    """Cumulative return since the anchor (first bar of the previous calendar year), percent."""

    def since(inside: Array, first: Array) -> Array:
        column = np.arange(len(first))
        base = p.close[np.minimum(first, len(p.close) - 1), column]
        return (p.recent(p.close) / base - 1) * 100

    return (anchored(p, since),)


def dlr(p: Panel) -> tuple[Array]:
    """Log return of the bar, percent."""
    return (diff(np.log(p.close)) * 100,)


def dr(p: Panel) -> tuple[Array]:
    """Return of the bar, percent."""
    return (simple_return(p) * 100,)
