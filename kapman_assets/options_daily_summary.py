"""Table options_daily_summary: one row per underlying and session, aggregated from its stored chain."""

from typing import TYPE_CHECKING

import dagster as dg
import polars as pl
from dagster import ResourceParam

from kapman_assets import inputs
from kapman_assets.checks import TableGuard, table_checks
from kapman_assets.options_chains import options_chains
from kapman_assets.partitions import SAME_SESSION, SINGLE_RUN, TRADING_SESSIONS
from kapman_assets.stages import open_stage
from kapman_metrics.dealer import options_daily_summary as summarise
from kapman_resources.database.core import Database

if TYPE_CHECKING:
    import pandera.polars as pa


@dg.asset(
    partitions_def=TRADING_SESSIONS,
    backfill_policy=SINGLE_RUN,
    group_name="options",
    kinds={"polars", "postgres"},
    owners=["team:kapman"],
    tags={"domain": "options"},
    deps=[dg.AssetDep(options_chains, partition_mapping=SAME_SESSION)],
)
def options_daily_summary(
    context: dg.AssetExecutionContext, database: ResourceParam[Database]
) -> dg.MaterializeResult:
    """Open interest, volume, walls and gamma exposure of each underlying's chain.

    Walls are the strikes within 20 % of the session's regular close with the most open interest: calls at or above it,
    puts at or below. Exposure is dollars of delta per 1 % move, calls +, puts -. Both stay NULL without a close.
    """
    with open_stage(context, database) as stage:
        for session in stage.sessions:
            chain = inputs.chain(database, session)
            spot = inputs.spot(database, session, chain["symbol"].unique().to_list())
            summary = summarise(chain, spot, session)
            with database.transaction() as connection:
                database.replace_session(connection, "options_daily_summary", session, summary)
            stage.record.rows += summary.height
            stage.record.symbols = max(stage.record.symbols, summary.height)
        return stage.result(source="options_chains")


def _schema() -> "pa.DataFrameSchema":
    import pandera.polars as pa

    count = pa.Column(pl.Float64, pa.Check.ge(0), nullable=True)
    return pa.DataFrameSchema(
        {
            "symbol": pa.Column(pl.String),
            "total_call_oi": count, "total_put_oi": count, "total_call_volume": count, "total_put_volume": count,
            "weighted_avg_iv": pa.Column(pl.Float64, pa.Check.in_range(0, 2), nullable=True),
            "calculated_gex": count,
            "contract_count": pa.Column(pl.Float64, pa.Check.gt(0)),
        }
    )  # fmt: skip


GUARD = TableGuard(
    table="options_daily_summary",
    key=("symbol", "time"),
    columns={
        "symbol": pl.String, "total_call_oi": pl.Float64, "total_put_oi": pl.Float64, "total_call_volume": pl.Float64,
        "total_put_volume": pl.Float64, "weighted_avg_iv": pl.Float64, "calculated_gex": pl.Float64,
        "contract_count": pl.Float64,
    },
    schema=_schema,
)  # fmt: skip
options_daily_summary_checks = table_checks(GUARD)
