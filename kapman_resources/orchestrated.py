"""Kapman's services as Dagster resources: each builds a plain object from the settings when a run needs it.

Nothing here opens a connection or reads a key while definitions load. Does not belong here: what assets do with them.
"""

from collections.abc import Iterator

import dagster as dg

from kapman_resources.clock import SessionClock
from kapman_resources.settings import load_settings


@dg.resource(description="A small pool on Kapman's database, closed with the run.")
def database(_: dg.InitResourceContext) -> Iterator[object]:
    from kapman_resources.database.core import Database
    from kapman_resources.database.urls import kapman_url

    with Database(kapman_url(load_settings())) as opened:
        yield opened


@dg.resource(description="The market data vendor: flat files and REST (MARKET_DATA_PROVIDER).")
def market_data(_: dg.InitResourceContext) -> Iterator[object]:
    from kapman_resources.market_data.polygon import Polygon

    vendor = Polygon.from_settings(load_settings())
    yield vendor
    vendor.close()


@dg.resource(description="Who computes indicators, dealer, volatility and price metrics (METRICS_PROVIDER).")
def metrics(_: dg.InitResourceContext) -> object:
    from kapman_resources.metrics import provider_from_settings

    return provider_from_settings(load_settings())


@dg.resource(description="Who chooses among the enumerated candidates (AI_PROVIDER).")
def advisor(_: dg.InitResourceContext) -> object:
    from kapman_resources.ai import provider_from_settings

    return provider_from_settings(load_settings())


@dg.resource(description="The outbox of alerts.")
def notifier(_: dg.InitResourceContext) -> object:
    from kapman_resources.notify import TableNotifier

    return TableNotifier()


@dg.resource(description="Sessions and the clock (KAPMAN_NOW replaces it).")
def session_clock(_: dg.InitResourceContext) -> SessionClock:
    return SessionClock(load_settings().bar_file_deadline)


def default_resources() -> dict[str, dg.ResourceDefinition]:
    """Resource key -> resource, as the assets name them in their parameters."""
    return {
        "database": database,
        "market_data": market_data,
        "metrics": metrics,
        "advisor": advisor,
        "notifier": notifier,
        "clock": session_clock,
    }
