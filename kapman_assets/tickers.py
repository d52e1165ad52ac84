"""Table tickers: names, types and listing state from the vendor's reference list. Bars create the symbols it lacks."""

import dagster as dg
import polars as pl
from dagster import ResourceParam

from kapman_assets.stages import open_reference_stage
from kapman_metrics.bars import SYMBOL_PATTERN
from kapman_resources.clock import SessionClock
from kapman_resources.database.core import Database
from kapman_resources.database.queries import query
from kapman_resources.market_data.protocol import MarketData


@dg.asset(group_name="reference", kinds={"postgres"}, owners=["team:kapman"], pool="market_data")
def tickers(
    context: dg.AssetExecutionContext,
    database: ResourceParam[Database],
    market_data: ResourceParam[MarketData],
    clock: ResourceParam[SessionClock],
) -> dg.MaterializeResult:
    """The vendor's list of US stocks and funds, active and delisted, one row per case-sensitive symbol.

    The tier, the sector and the portfolios of a symbol are the user's and are never overwritten.
    """
    with open_reference_stage(context, database, clock) as stage:
        listed = market_data.tickers()
        good = listed.filter(pl.col("symbol").str.contains(SYMBOL_PATTERN))
        with database.transaction() as connection:
            connection.execute(query("stage_tickers"))
            database.copy(connection, "listed_tickers", good)
            connection.execute(query("upsert_tickers"))
        stage.record.rows = stage.record.symbols = good.height
        stage.record.rejected = listed.height - good.height
        return stage.result(source="reference endpoint", active=int(good["is_active"].sum()))
