"""One session's chains into options_chains, with their contracts, refused rows and manifest, in one transaction.

Does not belong here: which source a session's chains come from (chain_loading), which contracts are good
(kapman_metrics.chain).
"""

from collections.abc import Mapping, Sequence
from datetime import date

import polars as pl

from kapman_assets import inputs
from kapman_metrics.chain import ChainCleaning, clean_chain
from kapman_resources.calendar import session_offset
from kapman_resources.database.core import Connection, Database
from kapman_resources.database.queries import query

DATASET = "options_chains"
SNAPSHOT, DAY_FILE = "chain snapshot", "option day file"
# a contract that neither traded nor was quoted this long is dead unless it still has greeks
_LIVE_SESSIONS = 10
_NO_FILE = {"etag": None, "size": None, "checksum": None, "modified": None, "captured_at": None}
_REJECTED = {"contract": pl.String, "symbol": pl.String, "reason": pl.String, "detail": pl.String}


def store_chains(
    database: Database,
    session: date,
    source: str,
    raw: pl.DataFrame,
    symbols: Sequence[str],
    manifest: Mapping[str, object],
    refused: pl.DataFrame | None = None,
) -> int:
    """Cleans the underlyings' raw chains (RAW CHAIN frame) and stores them; returns the rows rejected.

    Underlyings that a snapshot has stored meanwhile stay as they are. `manifest`: oi_session, label, and captured_at or
    the file's etag, size, checksum, modified; `refused`: contract, symbol, reason, detail of rows that are no contract.
    """
    spot = inputs.spot(database, session, symbols)
    cleaned = clean_chain(raw, spot, session, live_since=session_offset(session, -_LIVE_SESSIONS))
    with database.transaction() as connection:
        # two runs of one session: the second waits, then sees what the first has captured
        connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (f"chains:{session}",))
        open_to_us = _not_captured(connection, session, symbols)
        return _write(database, connection, session, source, cleaned, open_to_us, manifest, refused)


def _not_captured(connection: Connection, session: date, symbols: Sequence[str]) -> list[str]:
    span = {"first": session, "last": session}
    stored = connection.execute(query("captured_underlyings"), span).fetchall()
    captured = {symbol for _, symbol, source, *_ in stored if source == SNAPSHOT}
    return [symbol for symbol in symbols if symbol not in captured]


def _write(
    database: Database,
    connection: Connection,
    session: date,
    source: str,
    cleaned: ChainCleaning,
    symbols: list[str],
    manifest: Mapping[str, object],
    refused: pl.DataFrame | None,
) -> int:
    ours = pl.col("symbol").is_in(symbols)
    chain = cleaned.chain.filter(ours)
    rejected = pl.concat([cleaned.rejected, pl.DataFrame(schema=_REJECTED) if refused is None else refused])
    rejected = rejected.filter(ours).sort("symbol", "contract", "reason", "detail")
    key = {"dataset": DATASET, "session": session, "symbols": symbols, "source": source}
    database.replace_session(connection, DATASET, session, chain, symbols=symbols)
    connection.execute(query("contracts_from_chains"), key)
    connection.execute(query("forget_rejected_contracts"), key)
    connection.execute(query("forget_other_chain_loads"), key)
    if rejected.height:
        database.copy(connection, "rejected_rows", _as_rejected_rows(rejected, session))
    kept, lost = _per_symbol(chain), _per_symbol(rejected)
    loads = [
        {**_NO_FILE, **key, **manifest, "symbol": s, "rows": kept.get(s, 0), "rejected": lost.get(s, 0)}
        for s in symbols
    ]
    with connection.cursor() as cursor:
        cursor.executemany(query("record_load"), loads)
    return rejected.height


def _as_rejected_rows(rejected: pl.DataFrame, session: date) -> pl.DataFrame:
    return rejected.select(
        pl.lit(DATASET).alias("dataset"),
        pl.lit(session).alias("session_date"),
        "symbol",
        "reason",
        pl.format("{}: {}", pl.col("contract").fill_null("no contract"), "detail").alias("detail"),
    )


def _per_symbol(frame: pl.DataFrame) -> dict[str, int]:
    return dict(frame.group_by("symbol").len().iter_rows())
