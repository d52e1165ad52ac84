"""Who computes the numbers of a snapshot: this process (local) or a server that speaks MCP (mcp_client).

Does not belong here: the formulas (kapman_metrics), where the inputs come from (kapman_assets).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import polars as pl

from kapman_resources.metrics.families import FAMILIES, MetricInputs
from kapman_resources.settings import Settings


@dataclass(frozen=True)
class ComputedMetrics:
    """One frame per family, one row a symbol; `missing`: symbol -> why numbers that it should have are not there."""

    frames: tuple[pl.DataFrame, ...]
    missing: Mapping[str, Sequence[str]] = field(default_factory=dict)


class MetricsProvider(Protocol):
    def compute(self, given: MetricInputs) -> ComputedMetrics:
        """All families' columns of daily_snapshots for one session. What cannot be had is missing, never an error."""
        ...


class LocalMetrics:
    """Computed here, by kapman_metrics."""

    def compute(self, given: MetricInputs) -> ComputedMetrics:
        return ComputedMetrics(tuple(family.compute(given) for family in FAMILIES))


def provider_from_settings(settings: Settings) -> MetricsProvider:
    """The provider that METRICS_PROVIDER names; opens no connection."""
    if settings.metrics_provider == "mcp":
        from kapman_resources.metrics.mcp_client import McpMetrics

        return McpMetrics.from_settings(settings)
    return LocalMetrics()
