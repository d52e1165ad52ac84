"""Table options_chains: every listed contract of the watchlist's underlyings. Its asset and its checks.

Does not belong here: how a chain is fetched (market_data) or which contracts are good (kapman_metrics.chain).
"""

from datetime import date
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl
from dagster import ResourceParam

from kapman_assets import inputs
from kapman_assets.checks import TableGuard, table_checks
from kapman_assets.ohlcv_daily import ohlcv_daily
from kapman_assets.partitions import SAME_SESSION, SINGLE_RUN, TRADING_SESSIONS, session_of_key
from kapman_assets.stages import Stage, open_stage, refuse_mixed_data
from kapman_metrics.chain import ChainCleaning, clean_chain
from kapman_metrics.frames import CHAIN_SCHEMA
from kapman_resources.calendar import session_offset
from kapman_resources.clock import SessionClock
from kapman_resources.database.core import Database
from kapman_resources.database.queries import query
from kapman_resources.market_data.protocol import ChainCapture, MarketData, NotYetPublished, VendorAnswerError

if TYPE_CHECKING:
    import pandera.polars as pa

_LIVE_SESSIONS = (
    10  # a contract that neither traded nor was quoted this long is dead unless it still has greeks
)


@dg.asset(
    partitions_def=TRADING_SESSIONS,
    backfill_policy=SINGLE_RUN,
    group_name="options",
    kinds={"httpx", "polars", "postgres"},
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
    """The option chains of the watchlist, one row per contract and session, as the vendor showed them.

    The vendor's snapshot knows only now: it is taken when the session it belongs to is the partition, and refused
    otherwise. What is stored is kept: a second run fetches only the underlyings that are missing. Open interest is
    that of the end of the session before (`load_manifest.oi_session`).
    """
    with open_stage(context, database) as stage:
        pages, failed, late = 0, dict[str, str](), list[str]()
        for session in stage.sessions:
            wanted = inputs.watchlist(database, session)
            stored = {r["symbol"] for r in database.rows(query("captured_underlyings"), {"session": session})}
            missing = [symbol for symbol in wanted if symbol not in stored]
            if missing and _may_capture(clock, session, already=bool(stored)):
                capture = market_data.chains(missing)
                refuse_mixed_data(database, capture.label)
                stage.record.rejected += _store(database, session, capture, missing)
                pages += capture.pages
                failed |= capture.failed
                if failed and len(failed) == len(wanted):
                    raise VendorAnswerError(
                        f"no chain of {len(failed)} could be fetched; {next(iter(failed.items()))}"
                    )
            elif missing:
                late += missing
        totals = database.rows(query("chain_totals"), _span(stage))[0]
        stage.record.rows, stage.record.symbols = totals["row_count"], totals["symbol_count"]
        return stage.result(
            source="chain snapshot", pages=pages, failed_symbols=_words(failed), not_captured=", ".join(late)
        )


def _span(stage: Stage) -> dict[str, date]:
    return {"first": stage.sessions[0], "last": stage.sessions[-1]}


def _words(failed: dict[str, str]) -> str:
    return "; ".join(f"{symbol}: {reason}" for symbol, reason in sorted(failed.items())) or "none"


def _may_capture(clock: SessionClock, session: date, *, already: bool) -> bool:
    """Whether the vendor's "now" is this session. A session with nothing stored is refused loudly.

    Raises VendorAnswerError (NotYetPublished while the session is still to close).
    """
    try:
        current = clock.capture_session(clock.now())
    except ValueError as error:
        if already:
            return False
        raise VendorAnswerError(str(error)) from error
    if current == session:
        return True
    if already:
        return False
    if current < session:
        raise NotYetPublished(f"session {session} has not closed yet: the newest completed one is {current}")
    raise VendorAnswerError(
        f"the chains of session {session} cannot be captured any more: the vendor's snapshot knows only now, which is "
        f"session {current}. Run the daily job on its day; older sessions keep bars, not chains"
    )


def _store(database: Database, session: date, capture: ChainCapture, asked: list[str]) -> int:
    """One transaction: the captured underlyings' contracts, their rejected rows and manifest. Returns rows rejected."""
    symbols = [symbol for symbol in asked if symbol not in capture.failed]
    cleaned = _clean(database, session, capture, symbols)
    key = {"dataset": "options_chains", "session": session, "symbols": symbols}
    with database.transaction() as connection:
        database.replace_session(connection, "options_chains", session, cleaned.chain, symbols=symbols)
        connection.execute(query("contracts_from_chains"), key)
        connection.execute(query("forget_rejected_contracts"), key)
        rejected = cleaned.rejected.select(
            pl.lit("options_chains").alias("dataset"),
            pl.lit(session).alias("session_date"),
            "symbol",
            "reason",
            "detail",
        )
        database.copy(connection, "rejected_rows", rejected)
        for symbol in symbols:
            manifest = {
                **key, "symbol": symbol, "source": "chain snapshot", "etag": None, "size": None,
                "rows": cleaned.chain.filter(pl.col("symbol") == symbol).height,
                "rejected": rejected.filter(pl.col("symbol") == symbol).height,
                "captured_at": capture.captured_at, "oi_session": session_offset(session, -1), "label": capture.label,
            }  # fmt: skip
            connection.execute(query("record_load"), manifest)
    return rejected.height


def _clean(database: Database, session: date, capture: ChainCapture, symbols: list[str]) -> ChainCleaning:
    spot = inputs.spot(database, session, symbols)
    return clean_chain(capture.rows, spot, session, live_since=session_offset(session, -_LIVE_SESSIONS))


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
    stored = {
        r["symbol"]
        for r in database.rows(query("captured_underlyings"), {"session": session})
        if r["row_count"]
    }
    absent = [symbol for symbol in inputs.watchlist(database, session) if symbol not in stored]
    return dg.AssetCheckResult(
        passed=not absent, severity=dg.AssetCheckSeverity.WARN, metadata={"without_a_chain": absent or "none"}
    )
