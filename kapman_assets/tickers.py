"""Table tickers: names, types and listing state from the vendor's reference list, and where a ticker changed hands.

Bars create the symbols that the list lacks. Does not belong here: cutting bars at a change of hands (inputs).
"""

from datetime import date
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl
from dagster import ResourceParam

from kapman_assets.checks import TableGuard, table_checks
from kapman_assets.stages import open_reference_stage
from kapman_metrics.bars import SYMBOL_PATTERN
from kapman_metrics.listings import changed_identities, current_listings, successions
from kapman_resources.calendar import FIRST_YEAR, LAST_YEAR, session_offset, session_on_or_before
from kapman_resources.clock import SessionClock
from kapman_resources.database.core import Database
from kapman_resources.database.queries import query
from kapman_resources.market_data.protocol import MarketData, VendorAnswerError

if TYPE_CHECKING:
    import pandera.polars as pa

_IDENTITY = {"symbol": pl.String, "name": pl.String, "composite_figi": pl.String}
TIERS = ["sp500", "russell3000", "polygon_full", "etf", "index", "custom"]


@dg.asset(group_name="reference", kinds={"postgres"}, owners=["team:kapman"], pool="market_data")
def tickers(
    context: dg.AssetExecutionContext,
    database: ResourceParam[Database],
    market_data: ResourceParam[MarketData],
    clock: ResourceParam[SessionClock],
) -> dg.MaterializeResult:
    """The vendor's list of US stocks and funds, active and delisted, one row per case-sensitive symbol.

    Of several listings under one symbol the active one gives name, type and FIGI; where another company had it before,
    listing_breaks gets the later one's first session. A tier other than polygon_full and etf, the sector and the
    portfolios are the user's and are never overwritten. A symbol in neither list stays active while its bars go on.
    """
    with open_reference_stage(context, database, clock) as stage:
        listed = market_data.tickers()
        good = listed.filter(pl.col("symbol").str.contains(SYMBOL_PATTERN))
        if not good["is_active"].any():
            raise VendorAnswerError("the vendor's list of tickers holds no active symbol: run again later")
        current = current_listings(good)
        breaks = _breaks(database, good, current, stage.sessions[0])
        with database.transaction() as connection:
            connection.execute(query("stage_tickers"))
            database.copy(connection, "listed_tickers", current)
            changes = connection.execute(query("upsert_tickers")).fetchone()
            connection.execute(query("record_listing_breaks"), breaks.to_dict(as_series=False))
        added, changed = changes or (0, 0)
        stage.record.rows = stage.record.symbols = current.height
        stage.record.rejected = listed.height - good.height
        return stage.result(
            source="reference endpoint",
            active=int(current["is_active"].sum()),
            added=added,
            changed=changed,
            reused=breaks["symbols"].n_unique(),
        )


def _breaks(database: Database, listed: pl.DataFrame, current: pl.DataFrame, session: date) -> pl.DataFrame:
    """symbols, first_sessions, reasons: first sessions of companies that took over another's ticker.

    The list dates a delisting. A FIGI that is another than at the load before has changed by now: the session's bar is
    taken as the first of the new company.
    """
    stored = database.frame("SELECT symbol, name, composite_figi FROM tickers", {}, _IDENTITY)
    after_delisting = successions(listed).filter(
        pl.col("delisted_date").dt.year().is_between(FIRST_YEAR + 1, LAST_YEAR - 1)
    )
    days = after_delisting["delisted_date"].unique().to_list()
    next_session = {day: session_offset(session_on_or_before(day), 1) for day in days}
    return pl.concat(
        [
            after_delisting.with_columns(
                first_session=pl.col("delisted_date").replace_strict(next_session, return_dtype=pl.Date)
            ),
            changed_identities(stored, current).with_columns(pl.lit(session).alias("first_session")),
        ],
        how="diagonal",
    ).select(symbols="symbol", first_sessions="first_session", reasons="reason")


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
