"""The 84 technical indicators for many symbols at once: bars in, one row per bar (or per symbol) out.

Does not belong here: single formulas (momentum, trend, psar, volatility, volume, others), what a value means
for a trade.
"""

from kapman_metrics.indicators.compute import AVERAGES, indicators, technical_snapshot
from kapman_metrics.indicators.surface import INDICATORS, SURFACE, Indicator
from kapman_metrics.indicators.warm_up import DEVIATIONS, RESIDUE_ON_FLAT_WINDOWS, Deviation

__all__ = [
    "AVERAGES",
    "DEVIATIONS",
    "INDICATORS",
    "RESIDUE_ON_FLAT_WINDOWS",
    "SURFACE",
    "Deviation",
    "Indicator",
    "indicators",
    "technical_snapshot",
]
