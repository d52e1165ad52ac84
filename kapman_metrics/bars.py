"""Which raw rows are good daily bars of a session. Pure: a frame in, good rows and rejected rows out.

Does not belong here: where the rows came from, or what is computed from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import polars as pl

SYMBOL_PATTERN = r"^[A-Za-z][A-Za-z0-9.\-]{0,19}$"
# Symbols that exchanges use to test their systems (CTA and Nasdaq test lists).
TEST_SYMBOLS = ("ZVZZT", "ZWZZT", "ZXZZT", "ZJZZT", "ZXYZ.A", "CBO", "CBX", "IBO", "IGZ", "ZTEST", "ZTST")
PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class CleanBars:
    """`bars`: symbol, open, high, low, close, volume, vwap, one row a symbol. `rejected`: symbol, reason, detail."""

    bars: pl.DataFrame
    rejected: pl.DataFrame


def clean_bars(raw: pl.DataFrame, session: date) -> CleanBars:
    """Splits raw rows (symbol, open, high, low, close, volume, vwap, session) into bars and rejected rows.

    The first fault found names the reason; of rows with the same symbol the last one is kept.
    """
    prices = [pl.col(name) for name in PRICES]
    faults: list[tuple[str, pl.Expr]] = [
        ("symbol is not a ticker", ~pl.col("symbol").str.contains(SYMBOL_PATTERN).fill_null(False)),
        ("exchange test symbol", pl.col("symbol").is_in(TEST_SYMBOLS)),
        ("belongs to another session", pl.col("session").ne_missing(session)),
        ("price is missing or not a number", pl.any_horizontal(p.is_null() | ~p.is_finite() for p in prices)),
        ("price is not above zero", pl.any_horizontal(p <= 0 for p in prices)),
        ("high is below open or close", pl.col("high") < pl.max_horizontal("open", "close")),
        ("low is above open or close", pl.col("low") > pl.min_horizontal("open", "close")),
        ("volume is missing or not a number", pl.col("volume").is_null() | ~pl.col("volume").is_finite()),
        ("volume is negative", pl.col("volume") < 0),
    ]
    reason = pl.coalesce(pl.when(fault).then(pl.lit(name)) for name, fault in faults)
    judged = raw.with_columns(reason.alias("reason"))
    good = judged.filter(pl.col("reason").is_null()).with_columns(
        pl.when(pl.int_range(pl.len()).reverse().over("symbol") > 0)
        .then(pl.lit("duplicate of a later row"))
        .alias("reason")
    )
    rejected = pl.concat(
        [judged.filter(pl.col("reason").is_not_null()), good.filter(pl.col("reason").is_not_null())]
    )
    seen = pl.format(
        "open={} high={} low={} close={} volume={} session={}",
        *[pl.col(c).cast(pl.String).fill_null("missing") for c in (*PRICES, "volume", "session")],
    )
    return CleanBars(
        bars=good.filter(pl.col("reason").is_null())
        .select(
            "symbol",
            *PRICES,
            "volume",
            pl.when(pl.col("vwap").is_finite() & (pl.col("vwap") > 0)).then("vwap"),
        )
        .sort("symbol"),
        rejected=rejected.select("symbol", "reason", seen.alias("detail")).sort("symbol", "reason", "detail"),
    )
