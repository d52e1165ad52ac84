"""Table daily_snapshots: one row per watchlist symbol and session that says everything Kapman knows about it.

Does not belong here: how a number is computed (kapman_metrics, kapman_wyckoff) or what follows from it (kapman_advice).
"""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl
from dagster import ResourceParam

from kapman_advice.signals import apply_signals
from kapman_assets import inputs
from kapman_assets.chain_writing import DAY_FILE
from kapman_assets.checks import TableGuard, table_checks
from kapman_assets.ohlcv_daily import ohlcv_daily
from kapman_assets.options_chains import options_chains
from kapman_assets.options_daily_summary import options_daily_summary
from kapman_assets.partitions import LOOKBACK_252, SAME_SESSION, SINGLE_RUN, TRADING_SESSIONS, session_of_key
from kapman_assets.splits import splits
from kapman_assets.stages import data_label, open_stage
from kapman_assets.stored_inputs import StoredInputs
from kapman_metrics.adjust import unexplained_jumps
from kapman_metrics.documents import compact_json
from kapman_metrics.quality import data_quality, missing_inputs
from kapman_resources.database.core import Database
from kapman_resources.database.queries import query
from kapman_resources.metrics import MetricsProvider
from kapman_resources.notify import Notification, Notifier
from kapman_wyckoff.engine import MODEL_VERSION, analyze, snapshot

if TYPE_CHECKING:
    import pandera.polars as pa

_ALERTED = ("CRITICAL", "HIGH")


@dg.asset(
    partitions_def=TRADING_SESSIONS,
    backfill_policy=SINGLE_RUN,
    group_name="analysis",
    kinds={"polars", "postgres"},
    owners=["team:kapman"],
    tags={"domain": "wyckoff"},
    code_version=MODEL_VERSION,
    deps=[
        dg.AssetDep(ohlcv_daily, partition_mapping=LOOKBACK_252),
        dg.AssetDep(options_chains, partition_mapping=SAME_SESSION),
        dg.AssetDep(options_daily_summary, partition_mapping=SAME_SESSION),
        dg.AssetDep(splits),
    ],
)
def daily_snapshots(
    context: dg.AssetExecutionContext,
    database: ResourceParam[Database],
    metrics: ResourceParam[MetricsProvider],
    notifier: ResourceParam[Notifier],
) -> dg.MaterializeResult:
    """Wyckoff structure, indicators, dealer positioning, volatility and price metrics of the watchlist, 65 columns.

    Bars are split-adjusted as of the session. What is missing stays NULL, is named in `events_json.missing_inputs` and
    makes the row `partial` (`stale` when the newest bar is older than the session). The signal is decided once, here.
    """
    with open_stage(context, database) as stage:
        partial = 0
        for session in stage.sessions:
            symbols = inputs.watchlist(database, session)
            rows = compute(database, metrics, symbols, session)
            with database.transaction() as connection:
                database.replace_session(connection, "daily_snapshots", session, rows)
                connection.execute(query("record_analysis"), {"symbols": symbols, "session": session})
                notifier.record(connection, alerts_of(rows, session, data_label(database)))
            stage.record.rows += rows.height
            stage.record.symbols = max(stage.record.symbols, rows.height)
            partial += rows.filter(pl.col("data_quality") != "complete").height
        return stage.result(source="bars, chains", partial_or_stale=partial)


def compute(
    database: Database, metrics: MetricsProvider, symbols: Sequence[str], session: date
) -> pl.DataFrame:
    """The session's rows, one per symbol, columns of the table but `time`."""
    stored = StoredInputs(database, symbols, session)
    computed = metrics.compute(stored)
    rows = pl.DataFrame({"symbol": list(symbols)}, schema={"symbol": pl.String})
    for part in (snapshot(analyze(stored.bars, as_of=session), session), *computed.frames):
        rows = rows.join(part.drop("date", strict=False), on="symbol", how="left")

    missing = _with_reasons(_missing(stored), computed.missing)
    rows = rows.join(data_quality(missing), on="symbol", how="left").with_columns(
        (pl.col("average_iv") - pl.col("hv_20")).alias("iv_hv_diff"),
        pl.lit(f"wyckoff {MODEL_VERSION}").alias("model_version"),
    )
    named = dict(missing.select("symbol", "missing").iter_rows())
    documents = [
        _with_missing(text, named[symbol])
        for symbol, text in rows.select("symbol", "events_json").iter_rows()
    ]
    rows = apply_signals(rows.with_columns(pl.Series("events_json", documents, pl.String)))
    return rows.with_columns(pl.col("events_detected").fill_null([])).sort("symbol")


def _missing(stored: StoredInputs) -> pl.DataFrame:
    session = stored.session
    jumps = unexplained_jumps(stored.raw_bars, stored.splits).filter(pl.col("date") == session)["symbol"]
    loads = stored.database.rows(query("captured_underlyings"), {"first": session, "last": session})
    rebuilt = {load["symbol"] for load in loads if load["source"] == DAY_FILE}
    return missing_inputs(
        stored.symbols, stored.bars, stored.chain, session,
        jumped=jumps.unique().to_list(), reconstructed=rebuilt,
    )  # fmt: skip


def _with_reasons(missing: pl.DataFrame, reasons: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """`missing` with the metrics provider's own reasons after what the inputs lack."""
    listed = [
        [*faults, *reasons.get(symbol, ())]
        for symbol, faults in missing.select("symbol", "missing").iter_rows()
    ]
    return missing.with_columns(pl.Series("missing", listed, pl.List(pl.String)))


def _with_missing(document: str | None, missing: list[str]) -> str:
    return compact_json({**json.loads(document or "{}"), "missing_inputs": missing})


def alerts_of(rows: pl.DataFrame, session: date, label: str | None) -> list[Notification]:
    """One notification for every snapshot whose signal is CRITICAL or HIGH; `label` goes before what is not real."""
    origin = f"{label}: " if label else ""
    found = []
    for symbol, document in rows.select("symbol", "events_json").iter_rows():
        signal = json.loads(document)
        if signal["alert_priority"] in _ALERTED:
            found.append(
                Notification(
                    dedupe_key=f"{signal['signal_type']}:{symbol}:{session}",
                    kind=signal["signal_type"],
                    severity=signal["alert_priority"],
                    symbol=symbol,
                    session_date=session,
                    subject=f"{origin}{symbol} {signal['signal_type'].replace('_', ' ')} ({session})",
                    body=signal["signal_message"],
                )
            )
    return found


def _schema() -> "pa.DataFrameSchema":
    import pandera.polars as pa

    def within(low: float, high: float) -> pa.Column:
        return pa.Column(pl.Float64, pa.Check.in_range(low, high), nullable=True)

    return pa.DataFrameSchema(
        {
            "symbol": pa.Column(pl.String),
            "wyckoff_phase": pa.Column(pl.String, pa.Check.isin(list("ABCDE")), nullable=True),
            "phase_confidence": within(0, 1),
            "bc_score": within(0, 28),
            "spring_score": within(0, 12),
            "rsi_14": within(0, 100),
            "dgpi": within(-100, 100),
            "average_iv": within(0, 2),
            "data_quality": pa.Column(pl.String, pa.Check.isin(["complete", "partial", "stale"])),
        }
    )


GUARD = TableGuard(
    table="daily_snapshots",
    key=("symbol", "time"),
    columns={
        "symbol": pl.String, "wyckoff_phase": pl.String, "phase_confidence": pl.Float64, "bc_score": pl.Float64,
        "spring_score": pl.Float64, "rsi_14": pl.Float64, "dgpi": pl.Float64, "average_iv": pl.Float64,
        "data_quality": pl.String,
    },
    schema=_schema,
)  # fmt: skip
daily_snapshots_checks = table_checks(GUARD)


@dg.asset_check(
    asset=daily_snapshots, description="overnight moves above 40 % that no split on record explains"
)
def daily_snapshots_without_unexplained_jumps(
    context: dg.AssetCheckExecutionContext, database: ResourceParam[Database]
) -> dg.AssetCheckResult:
    """A split the vendor missed looks like a climax: the finding is shown and the symbol's row is partial."""
    session = session_of_key(context.partition_keys[-1])
    symbols = inputs.watchlist(database, session)
    found = unexplained_jumps(
        inputs.raw_bars(database, symbols, session), inputs.splits(database, symbols, session)
    )
    today = found.filter(pl.col("date") == session)
    return dg.AssetCheckResult(
        passed=today.is_empty(), severity=dg.AssetCheckSeverity.WARN,
        metadata={"symbols": today["symbol"].to_list() or "none"},
    )  # fmt: skip
