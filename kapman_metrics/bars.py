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


Faults = list[tuple[str, pl.Expr]]


def bar_faults(session: date) -> Faults:
    """What a raw bar of a stock or an option must not be, by name, in the order in which it is judged."""
    prices = [pl.col(name) for name in PRICES]
    return [
        ("belongs to another session", pl.col("session").ne_missing(session)),
        ("price is missing or not a number", pl.any_horizontal(p.is_null() | ~p.is_finite() for p in prices)),
        ("price is not above zero", pl.any_horizontal(p <= 0 for p in prices)),
        ("high is below open or close", pl.col("high") < pl.max_horizontal("open", "close")),
        ("low is above open or close", pl.col("low") > pl.min_horizontal("open", "close")),
        ("volume is missing or not a number", pl.col("volume").is_null() | ~pl.col("volume").is_finite()),
        ("volume is negative", pl.col("volume") < 0),
    ]


def first_fault(faults: Faults) -> pl.Expr:
    """The name of the first fault that a row has, null for a sound one."""
    return pl.coalesce(pl.when(fault).then(pl.lit(name)) for name, fault in faults)


def as_seen() -> pl.Expr:
    """A raw bar in words, for the record of rejected rows."""
    columns = (*PRICES, "volume", "session")
    return pl.format(
        "open={} high={} low={} close={} volume={} session={}",
        *[pl.col(c).cast(pl.String).fill_null("missing") for c in columns],
    )


def clean_bars(raw: pl.DataFrame, session: date) -> CleanBars:
    """Splits raw rows (symbol, open, high, low, close, volume, vwap, session) into bars and rejected rows.

    The first fault found names the reason; of rows with the same symbol the last one is kept.
    """
    not_a_stock = [
        ("symbol is not a ticker", ~pl.col("symbol").str.contains(SYMBOL_PATTERN).fill_null(False)),
        ("exchange test symbol", pl.col("symbol").is_in(TEST_SYMBOLS)),
    ]
    good, rejected = _judge(raw, [*not_a_stock, *bar_faults(session)])
    vwap = pl.when(pl.col("vwap").is_finite() & (pl.col("vwap") > 0)).then("vwap")
    bars = good.select("symbol", *PRICES, "volume", vwap)
    return CleanBars(
        bars=bars if bars["symbol"].is_sorted() else bars.sort("symbol"),
        rejected=rejected.select("symbol", "reason", as_seen().alias("detail")).sort(
            "symbol", "reason", "detail"
        ),
    )


def _judge(raw: pl.DataFrame, faults: Faults) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The sound rows, and the others with their `reason`. Nearly every file is all sound: that is asked first."""
    is_faulty = raw.select(pl.any_horizontal(fault for _, fault in faults).fill_null(False)).to_series()
    rejected = raw.filter(is_faulty) if is_faulty.any() else raw.clear()
    good = raw.filter(~is_faulty) if rejected.height else raw
    rejected = rejected.with_columns(first_fault(faults).cast(pl.String).alias("reason"))
    if good["symbol"].n_unique() < good.height:
        earlier = ~good["symbol"].reverse().is_first_distinct().reverse()
        doubled = good.filter(earlier).with_columns(reason=pl.lit("duplicate of a later row"))
        good, rejected = good.filter(~earlier), pl.concat([rejected, doubled])
    return good, rejected


@dataclass(frozen=True)
class BarDifference:
    """What replacing one session's bars changed; `largest` is |new / old - 1| of a price, None when no price moved."""

    added: int
    removed: int
    changed: int
    largest: float | None = None
    symbol: str | None = None
    column: str | None = None


def difference(before: pl.DataFrame, after: pl.DataFrame) -> BarDifference:
    """Compares two versions of a session's bars (symbol, prices, volume, vwap), one row a symbol each."""
    both = before.join(after, on="symbol", how="inner", suffix="_after")
    same = pl.all_horizontal(
        pl.col(name).eq_missing(pl.col(f"{name}_after")) for name in (*PRICES, "volume", "vwap")
    )
    changed = both.filter(~same)
    moves = (
        changed.select("symbol", *((pl.col(f"{p}_after") / pl.col(p) - 1).abs().alias(p) for p in PRICES))
        .unpivot(PRICES, index="symbol", variable_name="column", value_name="move")
        .filter(pl.col("move") > 0)
        .sort("move", "symbol", "column", descending=[True, False, False])
    )
    largest = moves.row(0, named=True) if moves.height else {}
    return BarDifference(
        added=after.height - both.height,
        removed=before.height - both.height,
        changed=changed.height,
        largest=largest.get("move"),
        symbol=largest.get("symbol"),
        column=largest.get("column"),
    )
