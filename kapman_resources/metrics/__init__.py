"""Who computes the numbers of a snapshot: this process (local). Does not belong here: the formulas (kapman_metrics)."""

from __future__ import annotations

from datetime import date
from typing import Protocol

import polars as pl


class MetricsProvider(Protocol):
    """Frames in the shapes of kapman_metrics, one row per symbol out."""

    def technical(self, bars: pl.DataFrame, as_of: date) -> pl.DataFrame: ...

    def price(self, bars: pl.DataFrame, as_of: date) -> pl.DataFrame: ...

    def dealer(self, chain: pl.DataFrame, spot: pl.DataFrame, as_of: date) -> pl.DataFrame: ...

    def volatility(
        self, chain: pl.DataFrame, spot: pl.DataFrame, history: pl.DataFrame, as_of: date
    ) -> pl.DataFrame: ...


class LocalMetrics:
    """Computed here, by kapman_metrics."""

    def technical(self, bars: pl.DataFrame, as_of: date) -> pl.DataFrame:
        from kapman_metrics.indicators import technical_snapshot

        return technical_snapshot(bars, as_of)

    def price(self, bars: pl.DataFrame, as_of: date) -> pl.DataFrame:
        from kapman_metrics.price import price_metrics

        return price_metrics(bars, as_of)

    def dealer(self, chain: pl.DataFrame, spot: pl.DataFrame, as_of: date) -> pl.DataFrame:
        from kapman_metrics.dealer import dealer_metrics

        return dealer_metrics(chain, spot, as_of)

    def volatility(
        self, chain: pl.DataFrame, spot: pl.DataFrame, history: pl.DataFrame, as_of: date
    ) -> pl.DataFrame:
        from kapman_metrics.volatility import volatility_metrics

        return volatility_metrics(chain, spot, history, as_of)
