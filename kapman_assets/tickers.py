"""Table tickers: names, types and listing state from the vendor's reference list. Bars create the symbols it lacks."""

from typing import TYPE_CHECKING

import dagster as dg
import polars as pl
from dagster import ResourceParam

from kapman_assets.checks import TableGuard, table_checks
from kapman_assets.stages import open_reference_stage
from kapman_metrics.bars import SYMBOL_PATTERN
from kapman_resources.clock import SessionClock
from kapman_resources.database.core import Database
from kapman_resources.database.queries import query
from kapman_resources.market_data.protocol import MarketData

if TYPE_CHECKING:
    import pandera.polars as pa

TIERS = ["sp500", "russell3000", "polygon_full", "etf", "index", "custom"]


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


def _schema() -> "pa.DataFrameSchema":
    import pandera.polars as pa

    return pa.DataFrameSchema(
        {
            "symbol": pa.Column(pl.String, pa.Check.str_matches(SYMBOL_PATTERN)),
            "universe_tier": pa.Column(pl.String, pa.Check.isin(TIERS)),
            "last_ohlcv_date": pa.Column(pl.Date, nullable=True),
        }
    )


GUARD = TableGuard(
    table="tickers",
    key=("symbol",),
    columns={"symbol": pl.String, "universe_tier": pl.String, "last_ohlcv_date": pl.Date},
    schema=_schema,
    session="last_ohlcv_date",
    within="true",
    expects_rows=True,
)
tickers_checks = table_checks(GUARD)
