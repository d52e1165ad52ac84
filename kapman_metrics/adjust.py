"""Split adjustment of bars as of a session, and the findings where bars and the split record disagree.

Stored bars are as traded; adjustment happens on read, with the splits executed up to the session being
computed and no others. Does not belong here: dividends (never adjusted for), fetching splits.
"""

from __future__ import annotations

from datetime import date

import polars as pl

PRICE_COLUMNS = ("open", "high", "low", "close", "vwap")
# Smaller ratios (stock dividends) drown in ordinary overnight moves and cannot be missed with any certainty.
SMALLEST_JUDGED_RATIO = 1.10


def _ratios(splits: pl.DataFrame) -> pl.DataFrame:
    """symbol, execution_date, ratio (new shares per old), each distinct ratio of a day once.

    Raises ValueError for a ratio that is missing or not positive.
    """
    ratios = splits.select(
        "symbol",
        "execution_date",
        (pl.col("split_to").cast(pl.Float64) / pl.col("split_from").cast(pl.Float64)).alias("ratio"),
    )
    wrong = ratios.filter(~(pl.col("ratio").is_finite() & (pl.col("ratio") > 0)).fill_null(False))
    if wrong.height:
        first = wrong.row(0, named=True)
        raise ValueError(
            f"split of {first['symbol']} on {first['execution_date']} has no positive ratio "
            "split_to / split_from; correct or remove it from the splits"
        )
    return ratios.unique().sort("symbol", "execution_date", "ratio")


def adjust_for_splits(bars: pl.DataFrame, splits: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """Bars at or before `as_of` in the shares of that session, same columns, sorted by symbol and date.

    `bars`: BARS columns as traded; `splits`: symbol, execution_date, split_from, split_to. factor = product
    of split_to / split_from over bar date < execution_date <= as_of; prices (vwap included) are divided by
    it, volume multiplied. The same ratio recorded twice on a day counts once. Raises ValueError for a ratio
    that is not positive.
    """
    bars = bars.filter(pl.col("date") <= as_of).sort("symbol", "date")
    executed = _ratios(splits).filter(pl.col("execution_date") <= as_of)
    by_day = executed.group_by("symbol", "execution_date", maintain_order=True).agg(pl.col("ratio").product())
    # latest first: the factor of a split includes every later one, and a bar takes the first split after
    # its date
    cumulative = by_day.sort("symbol", "execution_date", descending=[False, True]).with_columns(
        factor=pl.col("ratio").cum_prod().over("symbol")
    )
    prices = [name for name in PRICE_COLUMNS if name in bars.columns]
    return (
        bars.with_columns((pl.col("date") + pl.duration(days=1)).alias("first_effect"))
        .sort("first_effect")
        .join_asof(
            cumulative.select("symbol", "execution_date", "factor").sort("execution_date"),
            left_on="first_effect",
            right_on="execution_date",
            by="symbol",
            strategy="forward",
            check_sortedness=False,  # sorted on the line above; polars cannot check it within groups
        )
        .with_columns(pl.col("factor").fill_null(1.0))
        .with_columns(
            *(pl.col(name).cast(pl.Float64) / pl.col("factor") for name in prices),
            pl.col("volume").cast(pl.Float64) * pl.col("factor"),
        )
        .select(bars.columns)
        .sort("symbol", "date")
    )


def unexplained_jumps(raw_bars: pl.DataFrame, splits: pl.DataFrame, threshold: float = 0.40) -> pl.DataFrame:
    """Findings where bars as traded and the split record disagree: symbol, date (of the bar after the night),
    kind, ratio.

    ratio = open / previous close. kind: "jump_without_split" (moved more than `threshold` overnight beyond
    what the splits of that night explain), "split_without_jump" (a split on record, but the night looks more
    like none than like it), "conflicting_splits" (different ratios recorded for one symbol and day). Splits
    outside a symbol's bars are not judged.
    """
    nights = overnight_moves(raw_bars)
    executed = split_nights(_ratios(splits), nights)
    split_of_night = executed.group_by("symbol", "date", maintain_order=True).agg(
        pl.col("ratio").product().alias("split_ratio")
    )
    judged = nights.join(split_of_night, on=["symbol", "date"], how="left").with_columns(
        residual=pl.col("move") * pl.col("split_ratio").fill_null(1.0)
    )
    big = (pl.col("residual") - 1).abs() > threshold
    size = pl.col("split_ratio").log().abs()
    ignored = (size >= pl.lit(SMALLEST_JUDGED_RATIO).log()) & (
        pl.col("move").log().abs() < pl.col("residual").log().abs()
    )
    kind = (
        pl.when(ignored.fill_null(False))
        .then(pl.lit("split_without_jump"))
        .when(big)
        .then(pl.lit("jump_without_split"))
    )
    ratio = pl.col("move").alias("ratio")
    found = judged.select("symbol", "date", kind.alias("kind"), ratio).filter(pl.col("kind").is_not_null())
    conflicts = executed.filter(pl.len().over("symbol", "execution_date") > 1).select(
        "symbol", "date", pl.lit("conflicting_splits").alias("kind"), ratio
    )
    return pl.concat([found, conflicts]).unique().sort("symbol", "date", "kind")


def overnight_moves(raw_bars: pl.DataFrame) -> pl.DataFrame:
    """symbol, date, previous_date, move (open / previous close) of every bar with a bar before it."""
    before = pl.col("close", "date").shift(1).over("symbol").name.prefix("previous_")
    return (
        raw_bars.select("symbol", "date", "open", "close")
        .sort("symbol", "date")
        .with_columns(before)
        .filter((pl.col("previous_close") > 0) & (pl.col("open") > 0))
        .select("symbol", "date", "previous_date", move=pl.col("open") / pl.col("previous_close"))
    )


def split_nights(splits: pl.DataFrame, nights: pl.DataFrame) -> pl.DataFrame:
    """The splits whose execution lies between two bars, with `date` (of the first bar on its basis) and `move`.

    `splits`: at least symbol, execution_date; `nights`: from overnight_moves.
    """
    after = splits.sort("execution_date").join_asof(
        nights.sort("date"),
        left_on="execution_date",
        right_on="date",
        by="symbol",
        strategy="forward",
        coalesce=False,
        check_sortedness=False,  # sorted on the lines above; polars cannot check it within groups
    )
    return after.filter(pl.col("date").is_not_null() & (pl.col("previous_date") < pl.col("execution_date")))
