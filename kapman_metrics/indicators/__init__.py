"""The 84 technical indicators for many symbols at once: bars in, one row per bar (or per symbol) out.

Does not belong here: single formulas (momentum, trend, psar, volatility, volume, others), what a value means
for a trade.
"""

from kapman_metrics.indicators.compute import SNAPSHOT_COLUMNS, indicators, technical_snapshot
from kapman_metrics.indicators.surface import AVERAGES, INDICATORS, SURFACE, Indicator
from kapman_metrics.indicators.warm_up import (
    COMPARABLE_DEVIATION,
    DEVIATIONS,
    DRIFTING_BANDS,
    IN_BAND_WIDTHS,
    RESIDUE_ON_FLAT_WINDOWS,
    ROUNDING_AT_THE_BAND,
    STC_RESOLUTION,
    Deviation,
)

__all__ = [
    "AVERAGES",
    "COMPARABLE_DEVIATION",
    "DEVIATIONS",
    "DRIFTING_BANDS",
    "INDICATORS",
    "IN_BAND_WIDTHS",
    "RESIDUE_ON_FLAT_WINDOWS",
    "ROUNDING_AT_THE_BAND",
    "SNAPSHOT_COLUMNS",
    "STC_RESOLUTION",
    "SURFACE",
    "Deviation",
    "Indicator",
    "indicators",
    "technical_snapshot",
]
