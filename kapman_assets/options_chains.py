"""Table options_chains: every listed contract of the watchlist's underlyings. Its asset and its checks.

Does not belong here: where a session's chains come from (chain_loading), which contracts are good
(kapman_metrics.chain).
"""

from datetime import date
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl
from dagster import ResourceParam

from kapman_assets import inputs
from kapman_assets.chain_loading import RETENTION, ChainLoad, load_chains
from kapman_assets.checks import TableGuard, table_checks
from kapman_assets.ohlcv_daily import ohlcv_daily
from kapman_assets.partitions import SAME_SESSION, SINGLE_RUN, TRADING_SESSIONS, session_of_key
from kapman_assets.stages import Stage, in_short, open_stage
from kapman_metrics.frames import CHAIN_SCHEMA
from kapman_resources.clock import SessionClock
from kapman_resources.database.core import Database
from kapman_resources.database.queries import query
from kapman_resources.market_data.protocol import MarketData

if TYPE_CHECKING:
    import pandera.polars as pa

_SHOWN = 5  # sessions or notes that a run's metadata names one by one


@dg.asset(
    partitions_def=TRADING_SESSIONS,
    backfill_policy=SINGLE_RUN,
    group_name="options",
    kinds={"httpx2", "s3", "polars", "postgres"},
    owners=["team:kapman"],
    pool="market_data",
    tags={"domain": "options"},
    deps=[dg.AssetDep(ohlcv_daily, partition_mapping=SAME_SESSION)],
)
def options_chains(
    context: dg.AssetExecutionContext,
    database: ResourceParam[Database],
    market_data: ResourceParam[MarketData],
    clock: ResourceParam[SessionClock],
) -> dg.MaterializeResult:
    """The option chains of the watchlist, one row per contract and session.

    The vendor's snapshot knows only now: it is taken when the session it belongs to is the partition. What it stored
    is kept; a second run fetches only the underlyings that are missing. Older sessions, 90 days back, are loaded from
    the option day file: the contracts that traded, implied volatility and greeks computed, open interest NULL unless
    the vendor's history of it is switched on. `load_manifest` names each underlying's source, and in `oi_session` the
    session whose end the open interest refers to.
    """
    with open_stage(context, database) as stage:
        load = load_chains(database, market_data, clock, stage.sessions)
        totals = database.rows(query("chain_totals"), _span(stage))[0]
        stage.record.rows, stage.record.symbols = totals["row_count"], totals["symbol_count"]
        stage.record.rejected = load.rejected
        return stage.result(
            source=", ".join(sorted(load.sources)) or "nothing new",
            pages=load.pages,
            failed_symbols=_words(load.failed),
            unchanged_files=load.unchanged,
            sessions_without=_words({str(session): reason for session, reason in load.absent.items()}),
            older_than_retention=_too_old(load),
            notes=in_short(load.notes, _SHOWN),
        )


def _span(stage: Stage) -> dict[str, date]:
    return {"first": stage.sessions[0], "last": stage.sessions[-1]}


def _words(reasons: dict[str, str]) -> str:
    return in_short([f"{name}: {reason}" for name, reason in sorted(reasons.items())], _SHOWN)


def _too_old(load: ChainLoad) -> str:
    if not load.too_old:
        return "none"
    first, last = load.too_old[0], load.too_old[-1]
    return (
        f"{len(load.too_old)} sessions, {first} to {last}, not fetched: chains are kept {RETENTION.days} days"
    )


def _schema() -> "pa.DataFrameSchema":
    import pandera.polars as pa

    return pa.DataFrameSchema(
        {
            "symbol": pa.Column(pl.String),
            "contract": pa.Column(pl.String, pa.Check.str_matches(r"^O:.+\d{6}[CP]\d{8}$")),
            "expiration": pa.Column(pl.Date),
            "strike": pa.Column(pl.Float64, pa.Check.gt(0)),
            "option_type": pa.Column(pl.String, pa.Check.isin(["call", "put"])),
            "open_interest": pa.Column(pl.Float64, pa.Check.ge(0), nullable=True),
            "implied_volatility": pa.Column(pl.Float64, pa.Check.gt(0), nullable=True),
            "delta": pa.Column(pl.Float64, pa.Check.in_range(-1, 1), nullable=True),
            "gamma": pa.Column(pl.Float64, pa.Check.ge(0), nullable=True),
        }
    )


GUARD = TableGuard(
    table="options_chains",
    key=("symbol", "time", "contract"),
    columns={
        name: CHAIN_SCHEMA[name]
        for name in ("symbol", "contract", "expiration", "strike", "option_type", "open_interest",
                     "implied_volatility", "delta", "gamma")
    },
    schema=_schema,
)  # fmt: skip
options_chains_checks = table_checks(GUARD)


@dg.asset_check(asset=options_chains, description="every watchlist symbol has a chain for the newest session")
def options_chains_cover_the_watchlist(
    context: dg.AssetCheckExecutionContext, database: ResourceParam[Database]
) -> dg.AssetCheckResult:
    """A missing chain is shown, not inferred: what depends on it becomes partial for that symbol."""
    session = session_of_key(context.partition_keys[-1])
    stored = _with_rows(database, session, session).get(session, set())
    absent = [symbol for symbol in inputs.watchlist(database, session) if symbol not in stored]
    return dg.AssetCheckResult(
        passed=not absent, severity=dg.AssetCheckSeverity.WARN, metadata={"without_a_chain": absent or "none"}
    )


@dg.asset_check(asset=options_chains, description="every session of the run that is kept has chains")
def options_chains_cover_the_sessions(
    context: dg.AssetCheckExecutionContext,
    database: ResourceParam[Database],
    clock: ResourceParam[SessionClock],
) -> dg.AssetCheckResult:
    """A session without chains keeps its other tables, whose rows are partial; why is in the run's metadata."""
    sessions = [session_of_key(key) for key in context.partition_keys]
    stored = _with_rows(database, sessions[0], sessions[-1])
    oldest = clock.last_completed_session() - RETENTION
    expected = [s for s in sessions if s >= oldest and s not in stored and inputs.watchlist(database, s)]
    without = [str(session) for session in expected]
    return dg.AssetCheckResult(
        passed=not without, severity=dg.AssetCheckSeverity.WARN,
        metadata={"sessions": len(without), "without_chains": in_short(without)},
    )  # fmt: skip


def _with_rows(database: Database, first: date, last: date) -> dict[date, set[str]]:
    """Session -> the underlyings of which it holds contracts."""
    found: dict[date, set[str]] = {}
    for row in database.rows(query("captured_underlyings"), {"first": first, "last": last}):
        if row["row_count"]:
            found.setdefault(row["session_date"], set()).add(row["symbol"])
    return found
