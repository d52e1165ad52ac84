"""The code location: every asset, check, job, schedule and resource. `defs` is what Dagster loads.

Loading touches no network and no database and imports no heavy library; a test holds that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from kapman_assets import (
    daily_snapshots,
    ohlcv_daily,
    options_chains,
    options_daily_summary,
    outcomes,
    recommendations,
    splits,
    tickers,
    universe_indicators,
)
from kapman_assets.jobs import daily
from kapman_assets.maintenance import retention
from kapman_assets.schedules import daily_schedule, late_bars_schedule, retention_schedule
from kapman_resources.orchestrated import default_resources
from kapman_resources.settings import Settings, load_settings

TABLE_MODULES = [
    tickers,
    splits,
    ohlcv_daily,
    options_chains,
    options_daily_summary,
    daily_snapshots,
    recommendations,
    outcomes,
    universe_indicators,
]


def build_definitions(
    *, resources: Mapping[str, Any] | None = None, settings: Settings | None = None
) -> dg.Definitions:
    """Fresh definitions; `resources` replaces single services by key, for tests."""
    settings = settings or load_settings()
    return dg.Definitions(
        assets=dg.load_assets_from_modules(TABLE_MODULES),
        asset_checks=dg.load_asset_checks_from_modules(TABLE_MODULES),
        jobs=[daily, retention],
        schedules=[daily_schedule(settings), late_bars_schedule(settings), retention_schedule(settings)],
        resources={**default_resources(), **(resources or {})},
        # steps share one process: a process per step costs more than all the work
        executor=dg.in_process_executor,
    )


defs = build_definitions()
