"""What a snapshot had to do without: the named inputs that are missing, and the one word that follows from them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date

import polars as pl

FULL_HISTORY = 252
STALE = "no bar of this session"


def missing_inputs(
    symbols: Sequence[str],
    bars: pl.DataFrame,
    chain: pl.DataFrame,
    as_of: date,
    jumped: Collection[str] = (),
    reconstructed: Collection[str] = (),
) -> pl.DataFrame:
    """symbol, missing (List[String], in a fixed order): what is not there for each symbol at `as_of`.

    `bars` (BARS) and `chain` (CHAIN) are what the snapshot was computed from; `jumped` are symbols whose newest bar
    moved more than 40 % overnight without a split on record; `reconstructed` those whose chain is not a snapshot of
    the session but what its option day file holds.
    """
    history = (
        bars.filter(pl.col("date") <= as_of)
        .group_by("symbol")
        .agg(pl.len().alias("bars"), pl.col("date").max())
    )
    contracts = chain.group_by("symbol").agg(
        held=pl.col("open_interest").is_not_null().any(),
        greeks=pl.col("gamma").is_not_null().any(),
        volatility=pl.col("implied_volatility").is_not_null().any(),
    )
    known = (
        pl.DataFrame({"symbol": list(symbols)}, schema={"symbol": pl.String})
        .join(history, on="symbol", how="left")
        .join(contracts, on="symbol", how="left")
    )
    rows = []
    for symbol, count, newest, held, greeks, volatility in known.iter_rows():
        faults = []
        if count is None:
            faults.append("no bars")
        elif newest < as_of:
            faults.append(f"{STALE} (newest {newest})")
        if held is None:
            faults.append("no option chain")
        else:
            if not held:
                faults.append("no open interest in the chain")
            if not greeks:
                faults.append("no greeks in the chain")
            if not volatility:
                faults.append("no implied volatility in the chain")
        if held is not None and symbol in reconstructed:
            faults.append("no snapshot of the chain: it is rebuilt from the option day file")
        if count is not None and count < FULL_HISTORY:
            faults.append(f"{count} sessions of history, {FULL_HISTORY} wanted")
        if symbol in jumped:
            faults.append("overnight move above 40 % without a split on record")
        rows.append((symbol, faults))
    return pl.DataFrame(rows, schema={"symbol": pl.String, "missing": pl.List(pl.String)}, orient="row")


def data_quality(missing: pl.DataFrame) -> pl.DataFrame:
    """symbol, data_quality: complete when nothing is missing, stale when the newest bar is older, else partial."""
    stale = pl.col("missing").list.eval(pl.element().str.starts_with(STALE)).list.any()
    return missing.select(
        "symbol",
        pl.when(pl.col("missing").list.len() == 0)
        .then(pl.lit("complete"))
        .when(stale)
        .then(pl.lit("stale"))
        .otherwise(pl.lit("partial"))
        .alias("data_quality"),
    )
