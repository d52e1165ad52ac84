"""Table universe_indicators: the whole market's indicators, one row per symbol and session. Its asset and its checks.

Does not belong here: how a number is computed (kapman_metrics.universe), how bars are read (market_bars), how the rows
are screened (screener).
"""

from datetime import date
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl
from dagster import ResourceParam

from kapman_assets import inputs
from kapman_assets.checks import TableGuard, table_checks
from kapman_assets.ohlcv_daily import ohlcv_daily
from kapman_assets.partitions import LOOKBACK_252, SINGLE_RUN, TRADING_SESSIONS, session_of_key
from kapman_assets.splits import splits
from kapman_assets.stages import open_stage
from kapman_metrics.universe import UNIVERSE_SCHEMA, universe_rows
from kapman_resources.database.core import Database
from kapman_resources.database.queries import query
from kapman_resources.market_bars import MarketBars, market_bars
from kapman_resources.settings import load_settings

if TYPE_CHECKING:
    import pandera.polars as pa

_SYMBOLS_AT_ONCE = 1024  # three years of their bars are some 40 MB
_BREAK_SCHEMA = {"symbol": pl.String, "first_session": pl.Date}


@dg.asset(
    partitions_def=TRADING_SESSIONS,
    backfill_policy=SINGLE_RUN,
    group_name="market",
    kinds={"polars", "postgres"},
    owners=["team:kapman"],
    tags={"domain": "bars"},
    op_tags={
        "dagster/priority": "-1"
    },  # nothing waits for it: the watchlist's tables of the same run go first
    deps=[dg.AssetDep(ohlcv_daily, partition_mapping=LOOKBACK_252), dg.AssetDep(splits)],
)
def universe_indicators(
    context: dg.AssetExecutionContext, database: ResourceParam[Database]
) -> dg.MaterializeResult:
    """84 indicators, moving averages and price metrics of every symbol with a bar in the session; screens read them.

    Computed on split-adjusted bars of the listing in force, from history_start to the session, without anything later.
    What a short history leaves undefined is NULL. A range computes each of its sessions anew, some seconds for 15,000
    symbols; 260 sessions are kept (table `retention`). KAPMAN_HOME/cache/bars holds the bars a second time and may be
    deleted whenever no run is under way.
    """
    with open_stage(context, database) as stage:
        first, last = inputs.history_start(stage.sessions[0]), stage.sessions[-1]
        with market_bars(database, load_settings().home / "cache" / "bars", first, last) as bars:
            for session in stage.sessions:
                rows = compute(database, bars, session)
                with database.transaction() as connection:
                    database.replace_session(connection, "universe_indicators", session, rows)
                stage.record.rows += rows.height
                stage.record.symbols = max(stage.record.symbols, rows.height)
        return stage.result(source="bars")


def compute(database: Database, bars: MarketBars, session: date) -> pl.DataFrame:
    """The session's rows, UNIVERSE_SCHEMA, sorted by symbol; computed in blocks of symbols to bound the memory."""
    symbols = bars.symbols(session)
    split_list = inputs.splits(database, symbols, session)
    known = {"symbols": symbols, "last": session}
    breaks = database.frame(query("listing_breaks_of_symbols"), known, _BREAK_SCHEMA)
    parts = [pl.DataFrame(schema=UNIVERSE_SCHEMA)]
    for at in range(0, len(symbols), _SYMBOLS_AT_ONCE):
        block = symbols[at : at + _SYMBOLS_AT_ONCE]
        history = bars.between(inputs.history_start(session), session, block[0], block[-1])
        parts.append(universe_rows(history, split_list, breaks, session))
    return pl.concat(parts)


def _schema() -> "pa.DataFrameSchema":
    import pandera.polars as pa

    def at_least(low: float, high: float = float("inf")) -> pa.Column:
        return pa.Column(pl.Float64, pa.Check.in_range(low, high, include_max=False), nullable=True)

    def percent() -> pa.Column:
        return pa.Column(pl.Float64, pa.Check.in_range(0, 100), nullable=True)

    return pa.DataFrameSchema(
        {
            "symbol": pa.Column(pl.String),
            "close": pa.Column(pl.Float64, pa.Check.gt(0)),
            "volume": pa.Column(pl.Float64, pa.Check.ge(0)),
            "rsi": percent(),
            "money_flow_index": percent(),
            "average_true_range": at_least(0),
            "sma_200": at_least(0),
            "rvol": at_least(0),
            "hv_20": at_least(0),
        }
    )


GUARD = TableGuard(
    table="universe_indicators",
    key=("symbol", "time"),
    columns={
        "symbol": pl.String, "close": pl.Float64, "volume": pl.Float64, "rsi": pl.Float64,
        "money_flow_index": pl.Float64, "average_true_range": pl.Float64, "sma_200": pl.Float64, "rvol": pl.Float64,
        "hv_20": pl.Float64,
    },
    schema=_schema,
    expects_rows=True,
)  # fmt: skip
universe_indicators_checks = table_checks(GUARD)


@dg.asset_check(
    asset=universe_indicators, description="the symbols with a row are those with a bar in the session"
)
def universe_indicators_cover_the_market(
    context: dg.AssetCheckExecutionContext, database: ResourceParam[Database]
) -> dg.AssetCheckResult:
    """A replaced day file can change them after the row was computed: then the session has to be run again."""
    session = session_of_key(context.partition_keys[-1])
    apart = [r["symbol"] for r in database.rows(query("universe_apart_from_bars"), {"session": session})]
    return dg.AssetCheckResult(
        passed=not apart,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"symbols": len(apart), "of_these": ", ".join(apart[:20]) or "none"},
    )
