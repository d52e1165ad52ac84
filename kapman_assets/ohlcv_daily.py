"""Table ohlcv_daily: every US stock's daily bar as traded, from the vendor's day file. Its asset and its checks.

Does not belong here: how sessions are fetched and written (bar_loading), which rows are good (kapman_metrics.bars).
"""

from datetime import date
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl
from dagster import ResourceParam

from kapman_assets import inputs
from kapman_assets.bar_loading import BarLoad, load_bars
from kapman_assets.checks import TableGuard, table_checks
from kapman_assets.partitions import SINGLE_RUN, TRADING_SESSIONS, session_of_key
from kapman_assets.stages import Stage, in_short, open_stage
from kapman_resources.calendar import session_offset, sessions_between
from kapman_resources.clock import SessionClock
from kapman_resources.database.core import Database
from kapman_resources.database.queries import query
from kapman_resources.market_data.protocol import MarketData

if TYPE_CHECKING:
    import pandera.polars as pa

_RECHECKED = 5  # sessions before a run's first: a published file can be replaced, a late one appears


@dg.asset(
    partitions_def=TRADING_SESSIONS,
    backfill_policy=SINGLE_RUN,
    group_name="market",
    kinds={"s3", "polars", "postgres"},
    owners=["team:kapman"],
    pool="market_data",
    tags={"domain": "bars"},
)
def ohlcv_daily(
    context: dg.AssetExecutionContext,
    database: ResourceParam[Database],
    market_data: ResourceParam[MarketData],
    clock: ResourceParam[SessionClock],
) -> dg.MaterializeResult:
    """Daily bars of the whole US market as traded (unadjusted), one row per symbol and session.

    Loaded from the vendor's day file; an unchanged file (same ETag) is neither read nor written again, a replaced one
    replaces its session and is recorded in load_revisions. Every run looks at the five sessions before it again. Once a
    file is overdue (BAR_FILE_DEADLINE) the vendor's grouped daily answer stands in for it, `source` = grouped. `vwap`
    comes from that answer and stays NULL where it has none.
    """
    with open_stage(context, database) as stage:
        recent = _recent_sessions(database, stage.sessions[0])
        load = load_bars(database, market_data, [*recent, *stage.sessions], clock.bars_overdue)
        for session in set(load.written) & set(recent):
            context.log_event(dg.AssetMaterialization(context.asset_key, partition=str(session)))
        totals = database.rows(query("bar_totals"), _span(stage))[0]
        stage.record.rows, stage.record.symbols = totals["row_count"], totals["symbol_count"]
        stage.record.rejected = load.rejected
        _require_bars(load, stage.sessions)
        return stage.result(
            source="grouped daily" if load.stand_ins else "day file",
            unchanged_files=load.unchanged,
            replaced_sessions=_words(load) or "none",
            notes=in_short(load.notes),
        )


def _span(stage: Stage) -> dict[str, date]:
    return {"first": stage.sessions[0], "last": stage.sessions[-1]}


def _recent_sessions(database: Database, first: date) -> list[date]:
    """The sessions before the run's first that belong to the stored history, those it lacks included."""
    oldest = database.value(query("oldest_bar_session"))
    before = sessions_between(session_offset(first, -_RECHECKED), first)[:-1]
    return [session for session in before if oldest is not None and session >= oldest]


def _require_bars(load: BarLoad, asked: list[date]) -> None:
    """Raises the vendor's error when a session of the run itself has no bars; the others are loaded."""
    missing = {session: error for session, error in load.missing.items() if session in asked}
    if not missing:
        return
    session, error = next(iter(missing.items()))
    if len(asked) == 1:
        raise error
    raise type(error)(
        f"{len(missing)} of {len(asked)} sessions have no bars, the first is {session}: {error}"
    )


def _words(load: BarLoad) -> str:
    """What each replaced session changed, in one line."""
    return "; ".join(
        f"{session}: {change.changed} rows changed, {change.added} added, {change.removed} removed"
        + (f", largest {change.largest:.2%} ({change.symbol} {change.column})" if change.largest else "")
        for session, change in load.reloaded.items()
    )


def _schema() -> "pa.DataFrameSchema":
    import pandera.polars as pa

    price = pa.Column(pl.Float64, pa.Check.gt(0))
    return pa.DataFrameSchema(
        {
            "symbol": pa.Column(pl.String, pa.Check.str_matches(r"^[A-Za-z][A-Za-z0-9.\-]{0,19}$")),
            "open": price, "high": price, "low": price, "close": price,
            "volume": pa.Column(pl.Float64, pa.Check.ge(0)),
            "vwap": pa.Column(pl.Float64, pa.Check.gt(0), nullable=True),
            "source": pa.Column(pl.String, pa.Check.isin(["flatfile", "grouped"])),
        }
    )  # fmt: skip


GUARD = TableGuard(
    table="ohlcv_daily",
    key=("symbol", "time"),
    columns={
        "symbol": pl.String, "open": pl.Float64, "high": pl.Float64, "low": pl.Float64, "close": pl.Float64,
        "volume": pl.Float64, "vwap": pl.Float64, "source": pl.String,
    },
    schema=_schema,
    expects_rows=True,
)  # fmt: skip
ohlcv_daily_checks = table_checks(GUARD)


@dg.asset_check(
    asset=ohlcv_daily, description="no overnight jump beyond 40 % that the split record does not explain"
)
def ohlcv_daily_without_unexplained_jumps(
    context: dg.AssetCheckExecutionContext, database: ResourceParam[Database]
) -> dg.AssetCheckResult:
    """Real crashes are among them: the finding asks for a look, and the symbol's own row says partial."""
    found = inputs.market_findings(database, session_of_key(context.partition_keys[-1]))
    shown = [f"{r['symbol']} x{r['ratio']:.2f} {r['kind']}" for r in found.head(20).iter_rows(named=True)]
    return dg.AssetCheckResult(
        passed=not found.height,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"findings": found.height, "of_these": shown or "none"},
    )
