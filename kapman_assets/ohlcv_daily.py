"""Table ohlcv_daily: every US stock's daily bar as traded, from the vendor's day file. Its asset and its checks.

Does not belong here: how the file is fetched (market_data) or which rows are good bars (kapman_metrics.bars).
"""

from datetime import date
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl
from dagster import ResourceParam

from kapman_assets.checks import TableGuard, table_checks
from kapman_assets.partitions import SINGLE_RUN, TRADING_SESSIONS
from kapman_assets.stages import Stage, open_stage, refuse_mixed_data
from kapman_metrics.bars import CleanBars, clean_bars
from kapman_resources.database.core import Database
from kapman_resources.database.queries import query
from kapman_resources.market_data.protocol import BarFile, MarketData, VendorError

if TYPE_CHECKING:
    import pandera.polars as pa

_CHUNK = 21  # sessions held in memory at once, about a month


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
) -> dg.MaterializeResult:
    """Daily bars of the whole US market as traded (unadjusted), one row per symbol and session.

    Loaded from the vendor's day file; an unchanged file (same ETag) is neither read nor written again. `vwap` comes
    from the vendor's grouped daily answer and stays NULL where it has none.
    """
    with open_stage(context, database) as stage:
        known = {r["session_date"]: r["etag"] for r in database.rows(query("known_bar_files"), _span(stage))}
        unchanged, notes = 0, set[str]()
        for start in range(0, len(stage.sessions), _CHUNK):
            chunk = stage.sessions[start : start + _CHUNK]
            files = list(market_data.bars(chunk, known))
            changed = [f for f in files if not f.unchanged]
            unchanged += len(files) - len(changed)
            vwap = _vwap(market_data, [f.session for f in changed], notes)
            for file in changed:
                refuse_mixed_data(database, file.label)
                today = vwap.filter(pl.col("session") == file.session).select("symbol", "vwap")
                clean = clean_bars(file.rows.drop("vwap").join(today, on="symbol", how="left"), file.session)
                _store(database, file, clean)
                stage.record.rejected += clean.rejected.height
            database.execute(query("tickers_from_bars"), {"first": chunk[0], "last": chunk[-1]})
        totals = database.rows(query("bar_totals"), _span(stage))[0]
        stage.record.rows, stage.record.symbols = totals["row_count"], totals["symbol_count"]
        return stage.result(
            source="flatfile", unchanged_files=unchanged, notes="; ".join(sorted(notes)) or "none"
        )


def _span(stage: Stage) -> dict[str, date]:
    return {"first": stage.sessions[0], "last": stage.sessions[-1]}


def _vwap(market_data: MarketData, sessions: list[date], notes: set[str]) -> pl.DataFrame:
    """symbol, session, vwap; empty, with a note that the run shows, when the vendor does not give it."""
    nothing = pl.DataFrame(schema={"symbol": pl.String, "session": pl.Date, "vwap": pl.Float64})
    if not sessions:
        return nothing
    try:
        return market_data.vwap(sessions)
    except VendorError as error:
        notes.add(f"vwap is missing: {error}")
        return nothing


def _store(database: Database, file: BarFile, clean: CleanBars) -> None:
    """One transaction: the session's bars, its rejected rows and its manifest row, all new or all old."""
    bars = clean.bars.with_columns(pl.lit(file.source).alias("source"))
    key = {"dataset": "ohlcv_daily", "session": file.session}
    with database.transaction() as connection:
        database.replace_session(connection, "ohlcv_daily", file.session, bars)
        connection.execute(query("forget_rejected_rows"), key)
        rejected = clean.rejected.with_columns(
            pl.lit("ohlcv_daily").alias("dataset"), pl.lit(file.session).alias("session_date")
        )
        database.copy(connection, "rejected_rows", rejected)
        manifest = {
            **key, "symbol": "*", "source": file.source, "etag": file.etag, "size": file.size_bytes,
            "rows": bars.height, "rejected": rejected.height, "captured_at": None, "oi_session": None,
            "label": file.label,
        }  # fmt: skip
        connection.execute(query("record_load"), manifest)


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
