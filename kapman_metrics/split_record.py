"""From a vendor's list of splits, with its doubled, contradicting and mistaken entries, to one record a symbol and day.

Does not belong here: adjusting bars (adjust.py), fetching or storing the list.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import polars as pl

from kapman_metrics.adjust import overnight_moves, split_nights
from kapman_metrics.bars import SYMBOL_PATTERN

# A split's terms are two small numbers (7 for 1, 3 for 2, 8 for 7); a vendor's four decimals of their ratio are off by
# less than this. What a spin-off does to the price is an arbitrary number: of the recorded distributions none comes
# nearer to a split's ratio than 4 in 10,000, of the recorded splits none is farther off than 1 in a million.
RATIO_TOLERANCE = 1e-4
LARGEST_SMALL_TERM = 10
# Below a quarter of the shares outstanding the exchanges call it a stock dividend, declared in whole per cent.
LARGEST_STOCK_DIVIDEND = 0.24
# One split listed under two dates lies days apart (record, payment and execution); a night that shows the move itself
# is believed all the same, because a few funds do split twice in a month.
REPEATED_WITHIN_DAYS = 30

NOT_A_SPLIT = "the ratio is no split's: a spin-off or another distribution coded as one"
NO_CHANGE = "the ratio is 1: the shares did not change"

_BEST_FIRST = ("standing", "misfit", "listed")


@dataclass(frozen=True)
class SplitRecord:
    """`splits`: symbol, execution_date, split_from, split_to, adjustment_type, is_applied, finding, one row a symbol
    and day, numbers as listed. `rejected`: symbol, execution_date, reason, detail. `doubled`: entries that repeat
    another; `announced`: entries that have not executed yet.
    """

    splits: pl.DataFrame
    rejected: pl.DataFrame
    doubled: int
    announced: int


def contested_symbols(listed: pl.DataFrame) -> list[str]:
    """Symbols with entries that exclude each other, for which `split_record` wants bars."""
    entries = _distinct(_judged(listed).filter(pl.col("fault").is_null()))
    exclusive = (pl.len().over("symbol", "execution_date") > 1) | (pl.len().over("symbol", "repeat") > 1)
    return entries.filter(exclusive)["symbol"].unique().sort().to_list()


def split_record(listed: pl.DataFrame, raw_bars: pl.DataFrame, as_of: date) -> SplitRecord:
    """The record of the splits executed up to `as_of`.

    `listed`: symbol, execution_date, split_from, split_to, adjustment_type in the vendor's order; `raw_bars`: BARS as
    traded of the contested symbols, as far as there are any. Entries that repeat one symbol, day and ratio count
    once. Of different ratios for one day the one is kept that the overnight move explains best (without bars the one
    listed first), the others are rejected. Of one split listed under two dates the better explained one is applied.
    What is no split's ratio is on record but not applied.
    """
    judged = _judged(listed)
    announced = pl.col("execution_date") > as_of
    good = judged.filter(pl.col("fault").is_null() & ~announced)
    distinct = _with_misfit(_distinct(good), raw_bars)
    ordered = distinct.sort("symbol", "execution_date", *_BEST_FIRST, nulls_last=True)
    best = pl.col("listed") == pl.col("listed").first().over("symbol", "execution_date")
    kept = ordered.filter(best)
    return SplitRecord(
        splits=_with_findings(kept),
        rejected=pl.concat([_refused(judged.filter(pl.col("fault").is_not_null())), _outdone(ordered, kept)]),
        doubled=good.height - distinct.height,
        announced=judged.filter(pl.col("fault").is_null() & announced).height,
    )


def is_split_ratio(ratio: pl.Expr) -> pl.Expr:
    """Whether new shares per old (above 0) can be the terms of a split, a consolidation or a stock dividend.

    Below 1 it always can: a distribution lowers the price and so is only ever coded above 1.
    """
    terms = pl.any_horizontal(
        _is_near(ratio, (ratio * small).round() / small) for small in range(1, LARGEST_SMALL_TERM + 1)
    )
    dividend = (ratio - 1).round(2)
    whole_per_cent = dividend.is_between(0.01, LARGEST_STOCK_DIVIDEND) & _is_near(ratio, 1 + dividend)
    return (ratio < 1) | ((ratio > 1 + RATIO_TOLERANCE) & (terms | whole_per_cent))


def _is_near(ratio: pl.Expr, other: pl.Expr) -> pl.Expr:
    return (ratio / other - 1).abs() <= RATIO_TOLERANCE


def _judged(listed: pl.DataFrame) -> pl.DataFrame:
    """The entries with `listed` (their place in the list), `ratio` and `fault`."""
    terms = [pl.col(name).cast(pl.Float64) for name in ("split_from", "split_to")]
    ratio = terms[1] / terms[0]
    positive = (
        pl.all_horizontal(term.is_finite() & (term > 0) for term in terms) & ratio.is_finite() & (ratio > 0)
    )
    fault = (
        pl.when(~pl.col("symbol").str.contains(SYMBOL_PATTERN).fill_null(False))
        .then(pl.lit("symbol is not a ticker"))
        .when(pl.col("execution_date").is_null())
        .then(pl.lit("no execution date"))
        .when(~positive.fill_null(False))
        .then(pl.lit("no positive ratio split_to / split_from"))
    )
    return listed.with_row_index("listed").with_columns(ratio.alias("ratio"), fault.alias("fault"))


def _distinct(entries: pl.DataFrame) -> pl.DataFrame:
    """Each symbol, day and ratio once, the first listed; `repeat` numbers the entries of one split on several dates.

    7 and 7.000007 are one ratio.
    """
    once = entries.with_columns(terms=(pl.col("ratio").log() * 1000).round().cast(pl.Int64)).unique(
        ["symbol", "execution_date", "terms"], keep="first", maintain_order=True
    )
    since = pl.col("execution_date").diff().over("symbol", "terms").dt.total_days()
    far = (since > REPEATED_WITHIN_DAYS).fill_null(True)
    return once.sort("symbol", "terms", "execution_date").with_columns(repeat=far.cum_sum())


def _with_misfit(entries: pl.DataFrame, raw_bars: pl.DataFrame) -> pl.DataFrame:
    """Adds `move` (open / previous close), `misfit` = |log(move x ratio)| (0: the split explains all of the move; null
    where the bars do not cover the night) and `standing`: 0 rather a night with this split than without, 1 unknown,
    2 rather without.
    """
    nights = split_nights(entries, overnight_moves(raw_bars))
    misfit = (pl.col("move") * pl.col("ratio")).log().abs()
    doubt = (
        pl.when(misfit > pl.col("move").log().abs()).then(2).when(misfit.is_not_null()).then(0).otherwise(1)
    )
    return entries.join(nights.select("listed", "move"), on="listed", how="left").with_columns(
        misfit=misfit, standing=doubt
    )


def _with_findings(kept: pl.DataFrame) -> pl.DataFrame:
    applicable = is_split_ratio(pl.col("ratio"))
    ranked = kept.sort("symbol", "repeat", *_BEST_FIRST, nulls_last=True).with_columns(
        applied_date=pl.col("execution_date").first().over("symbol", "repeat")
    )
    repeated = (pl.col("execution_date") != pl.col("applied_date")) & (pl.col("standing") > 0)
    finding = (
        pl.when((pl.col("ratio") - 1).abs() <= RATIO_TOLERANCE)
        .then(pl.lit(NO_CHANGE))
        .when(~applicable)
        .then(pl.lit(NOT_A_SPLIT))
        .when(repeated)
        .then(pl.format("the split of {} listed a second time", pl.col("applied_date")))
    )
    return (
        ranked.with_columns(finding=finding)
        .with_columns(is_applied=pl.col("finding").is_null())
        .select(
            "symbol", "execution_date", "split_from", "split_to", "adjustment_type", "is_applied", "finding"
        )
        .sort("symbol", "execution_date")
    )


def _refused(faulty: pl.DataFrame) -> pl.DataFrame:
    return faulty.select(
        "symbol", "execution_date", pl.col("fault").alias("reason"), _terms().alias("detail")
    )


def _outdone(ordered: pl.DataFrame, kept: pl.DataFrame) -> pl.DataFrame:
    """The entries of a day beside the one that is kept."""
    preferred = kept.select("symbol", "execution_date", pl.col("ratio").alias("kept_ratio"))
    others = ordered.join(kept, on="listed", how="anti").join(preferred, on=["symbol", "execution_date"])
    explained = pl.col("misfit").is_not_null()
    return others.select(
        "symbol",
        "execution_date",
        pl.when(explained)
        .then(pl.lit("another ratio listed for the day explains the overnight move better"))
        .otherwise(pl.lit("another ratio is listed first for the day, and no bars decide"))
        .alias("reason"),
        pl.format(
            "{}, kept ratio {}, open / previous close {}", _terms(), pl.col("kept_ratio"), _text("move")
        ).alias("detail"),
    )


def _terms() -> pl.Expr:
    return pl.format("{} for {}", _text("split_to"), _text("split_from"))


def _text(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.String).fill_null("missing")
