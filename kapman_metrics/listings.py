"""Which bars of a ticker belong to one company, and what a reference list says about that.

A ticker outlives its company: the bars before the listing in force are another's history. Does not belong here:
where bars and lists come from, and what is computed from them.
"""

from __future__ import annotations

from datetime import date

import polars as pl

# Under the exchanges' plan for symbols a ticker may name a new security 90 calendar days after the last use at the
# earliest. In the recorded data every hole between two companies is longer (EEM 127 days, VXX 93, FB nine years) and
# nine in ten of the 1,771 known holes inside one listing are shorter. `adjusted_bars` in SQL holds the same number.
LONGEST_HOLE_DAYS = 90


def listing_in_force(bars: pl.DataFrame, breaks: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """The bars at or before `as_of` of the listing that each symbol's newest such bar belongs to.

    `bars`: at least symbol, date; `breaks`: symbol, first_session, the first session of another company under the
    ticker as the reference data knows it. A listing also begins after a hole of more than LONGEST_HOLE_DAYS calendar
    days. Same columns, sorted by symbol and date; a symbol with bars never loses all of them.
    """
    known = bars.filter(pl.col("date") <= as_of).sort("symbol", "date")
    before = pl.col("date").shift(1).over("symbol")
    after_hole = (pl.col("date") - before).dt.total_days() > LONGEST_HOLE_DAYS
    newest = known.group_by("symbol").agg(pl.col("date").max().alias("newest"))
    starts = pl.concat(
        [
            known.filter(after_hole).select("symbol", pl.col("date").alias("start")),
            breaks.join(newest, on="symbol")
            .filter(pl.col("first_session") <= pl.col("newest"))
            .select("symbol", pl.col("first_session").alias("start")),
        ]
    )
    latest = starts.group_by("symbol").agg(pl.col("start").max())
    return (
        known.join(latest, on="symbol", how="left", maintain_order="left")
        .filter(pl.col("start").is_null() | (pl.col("date") >= pl.col("start")))
        .drop("start")
    )


def current_listings(listed: pl.DataFrame) -> pl.DataFrame:
    """One row a symbol of a reference list: the active listing, else the one delisted last.

    `listed`: symbol, is_active, delisted_date and any other columns, which are kept.
    """
    order = listed.sort("is_active", "delisted_date", descending=True, nulls_last=True, maintain_order=True)
    return order.unique("symbol", keep="first", maintain_order=True).sort("symbol")


def successions(listed: pl.DataFrame) -> pl.DataFrame:
    """Where a list shows one company after another under a ticker: symbol, delisted_date (of the earlier), reason.

    `listed`: symbol, name, is_active, delisted_date, composite_figi. Bars after delisted_date belong to the later one.
    A delisted listing without a date cannot be placed and is left out.
    """
    ordered = listed.filter(pl.col("is_active") | pl.col("delisted_date").is_not_null()).sort(
        "symbol", "is_active", "delisted_date", maintain_order=True
    )
    later = ordered.with_columns(
        pl.col("name", "composite_figi").shift(-1).over("symbol").name.prefix("later_")
    )
    followed = pl.int_range(pl.len()).reverse().over("symbol") > 0
    return (
        later.filter(followed & ~pl.col("is_active") & _another_company("", "later_"))
        .select("symbol", "delisted_date", pl.format(
            "delisted {}: {}", pl.col("delisted_date"), pl.col("name").fill_null("a listing without a name")
        ).alias("reason"))
        .unique(["symbol", "delisted_date"], keep="first", maintain_order=True)
    )  # fmt: skip


def changed_identities(stored: pl.DataFrame, current: pl.DataFrame) -> pl.DataFrame:
    """Symbols that stand for another company than when they were stored: symbol, reason.

    Both: symbol, name, composite_figi, one row a symbol. Only a changed FIGI counts, because companies change their
    names; under an unchanged name it is the same company with a new identifier.
    """
    both = stored.join(current, on="symbol", suffix="_now")
    figi_changed = pl.col("composite_figi") != pl.col("composite_figi_now")
    return both.filter(figi_changed & _another_company("", "", "", "_now")).select(
        "symbol",
        pl.format(
            "composite FIGI changed from {} to {}", pl.col("composite_figi"), pl.col("composite_figi_now")
        ).alias("reason"),
    )


def _another_company(prefix: str, other_prefix: str, suffix: str = "", other_suffix: str = "") -> pl.Expr:
    """Neither the FIGI nor the name says that both rows are one company, and one of the two says they are not."""

    def differs(column: str) -> pl.Expr:
        one, other = pl.col(f"{prefix}{column}{suffix}"), pl.col(f"{other_prefix}{column}{other_suffix}")
        return _plain(one) != _plain(other)

    figi, name = differs("composite_figi"), differs("name")
    return figi.fill_null(True) & name.fill_null(True) & (figi.is_not_null() | name.is_not_null())


def _plain(text: pl.Expr) -> pl.Expr:
    """Case, punctuation and spacing of a name change from list to list."""
    return text.str.to_lowercase().str.replace_all(r"[^a-z0-9]+", " ").str.strip_chars()
