"""Table splits: executed stock splits. Adjustment happens on read, as of the session being computed, never here.

Does not belong here: which entry of a contradicting list is right (kapman_metrics.split_record).
"""

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl
from dagster import ResourceParam

from kapman_assets import inputs
from kapman_assets.checks import TableGuard, table_checks, trailing_shortfall
from kapman_assets.stages import open_reference_stage
from kapman_metrics.frames import BAR_SCHEMA
from kapman_metrics.split_record import SplitRecord, contested_symbols, split_record
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

    `split_to` new shares for `split_from` old ones; the execution date already trades on the new basis. Doubled entries
    count once and announced ones not yet; of contradicting entries the one that the bars explain best is kept, the
    others are in rejected_rows. Spin-offs coded as splits are on record with a finding and are not applied.
    """
    with open_reference_stage(context, database, clock) as stage:
        until: date = clock.last_completed_session()
        since = until - timedelta(days=_YEARS_BACK)
        listed = market_data.splits(since, until)
        contested = {"symbols": contested_symbols(listed), "first": since, "last": until}
        record = split_record(listed, database.frame(query("bars_of_symbols"), contested, BAR_SCHEMA), until)
        shortfall = _shortfall(database, record, since, until)
        _store(database, record, since, until, retract=shortfall is None)
        stage.record.rows, stage.record.symbols = record.splits.height, record.splits["symbol"].n_unique()
        stage.record.rejected = record.rejected.height
        return stage.result(
            source="splits endpoint",
            not_applied=int((~record.splits["is_applied"]).sum()),
            doubled_entries=record.doubled,
            announced=record.announced,
            notes=f"kept what a short list lacks: {shortfall}" if shortfall else "none",
        )


def _shortfall(database: Database, record: SplitRecord, since: date, until: date) -> str | None:
    """Why the list is too short to believe that what it lacks was withdrawn, None when it is not."""
    counted = "SELECT count(*) FROM splits WHERE source = 'vendor' AND execution_date BETWEEN %s AND %s"
    stored = database.value(counted, (since, until))
    return trailing_shortfall([stored, record.splits.height]) if stored else None


def _store(database: Database, record: SplitRecord, since: date, until: date, *, retract: bool) -> None:
    """One transaction: the record and the entries that were refused."""
    given = record.splits
    span: dict[str, Any] = {"since": since, "until": until}
    columns = {
        "symbols": "symbol", "execution_dates": "execution_date", "split_froms": "split_from",
        "split_tos": "split_to", "adjustment_types": "adjustment_type", "applied": "is_applied", "findings": "finding",
    }  # fmt: skip
    values = {name: given[column].to_list() for name, column in columns.items()}
    rejected = record.rejected.rename({"execution_date": "session_date"}).with_columns(
        pl.col("session_date").fill_null(until), pl.lit("splits").alias("dataset")
    )
    with database.transaction() as connection:
        connection.execute(query("upsert_splits"), span | values | {"retract": retract})
        connection.execute(
            "DELETE FROM rejected_rows WHERE dataset = 'splits' AND session_date BETWEEN %(since)s AND %(until)s",
            span,
        )
        database.copy(connection, "rejected_rows", rejected)


def _schema() -> "pa.DataFrameSchema":
    import pandera.polars as pa

    return pa.DataFrameSchema(
        {
            "symbol": pa.Column(pl.String),
            "execution_date": pa.Column(pl.Date),
            "split_from": pa.Column(pl.Float64, pa.Check.gt(0)),
            "split_to": pa.Column(pl.Float64, pa.Check.gt(0)),
            "is_applied": pa.Column(pl.Boolean),
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
        "is_applied": pl.Boolean,
    },
    schema=_schema,
    session="execution_date",
    within="true",
    expects_rows=False,
)
splits_checks = table_checks(GUARD)


@dg.asset_check(
    asset=splits, description="entries of watchlist symbols that are not applied or contradict each other"
)
def splits_of_the_watchlist_without_findings(
    database: ResourceParam[Database], clock: ResourceParam[SessionClock]
) -> dg.AssetCheckResult:
    """Bars are not adjusted for a spin-off: its drop stays in the series as long as the history holds the night."""
    session = clock.last_completed_session()
    params = {
        "symbols": inputs.watchlist(database, session), "first": inputs.history_start(session), "last": session,
    }  # fmt: skip
    found = [
        f"{r['symbol']} {r['day']}: {r['finding']}" for r in database.rows(query("split_findings"), params)
    ]
    totals = database.rows(query("split_finding_totals"))[0]
    return dg.AssetCheckResult(
        passed=not found, severity=dg.AssetCheckSeverity.WARN,
        metadata={"watchlist": found or "none", **totals},
    )  # fmt: skip
