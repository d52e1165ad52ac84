"""The jobs: what one night runs. Does not belong here: when (schedules.py)."""

from __future__ import annotations

import dagster as dg

DAILY_TABLES = (
    "ohlcv_daily",
    "options_chains",
    "options_daily_summary",
    "daily_snapshots",
    "recommendations",
    "outcomes",
    "universe_indicators",
)
REFERENCE_TABLES = ("tickers", "splits")

daily = dg.define_asset_job(
    "daily",
    selection=dg.AssetSelection.assets(*DAILY_TABLES, *REFERENCE_TABLES),
    description="One session through all seven tables, reference data first.",
    tags={"dagster/priority": "10"},
)
