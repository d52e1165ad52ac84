"""Table splits: executed stock splits. Adjustment happens on read, as of the session being computed, never here."""

from datetime import date, timedelta
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl
from dagster import ResourceParam

from kapman_assets.checks import TableGuard, table_checks
from kapman_assets.stages import open_reference_stage
from kapman_resources.clock import SessionClock
from kapman_resources.database.core import Database
from kapman_resources.database.queries import query
from kapman_resources.market_data.protocol import MarketData

if TYPE_CHECKING:
    import pandera.polars as pa

_YEARS_BACK = 3 * 366 + 366  # the retention of bars, and one year more


@dg.asset(
    group_name="reference",
    kinds={"postgres"},
    owners=["team:kapman"],
    pool="market_data",
    tags={"domain": "bars"},
)
def splits(
    context: dg.AssetExecutionContext,
    database: ResourceParam[Database],
    market_data: ResourceParam[MarketData],
    clock: ResourceParam[SessionClock],
) -> dg.MaterializeResult:
    """Splits executed up to the last completed session, one row per symbol and execution date.

    `split_to` new shares for `split_from` old ones; the execution date already trades on the new basis. Announced
    splits that have not executed yet are left out. Of two entries with one key the first is kept.
    """
    with open_reference_stage(context, database, clock) as stage:
        until: date = clock.last_completed_session()
        found = market_data.splits(until - timedelta(days=_YEARS_BACK), until)
        kept = found.unique(["symbol", "execution_date"], keep="first", maintain_order=True)
        with database.transaction() as connection, connection.cursor() as cursor:
            cursor.executemany(query("upsert_split"), list(kept.iter_rows(named=True)))
        stage.record.rows, stage.record.symbols = kept.height, kept["symbol"].n_unique()
        return stage.result(source="splits endpoint", doubled_entries=found.height - kept.height)


def _schema() -> "pa.DataFrameSchema":
    import pandera.polars as pa

    return pa.DataFrameSchema(
        {
            "symbol": pa.Column(pl.String),
            "execution_date": pa.Column(pl.Date),
            "split_from": pa.Column(pl.Float64, pa.Check.gt(0)),
            "split_to": pa.Column(pl.Float64, pa.Check.gt(0)),
        }
    )


GUARD = TableGuard(
    table="splits",
    key=("symbol", "execution_date"),
    columns={
        "symbol": pl.String,
        "execution_date": pl.Date,
        "split_from": pl.Float64,
        "split_to": pl.Float64,
    },
    schema=_schema,
    session="execution_date",
    within="true",
    expects_rows=False,
)
splits_checks = table_checks(GUARD)
