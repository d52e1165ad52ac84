"""Which bars of a ticker belong to one company, and what a reference list says about that."""

from __future__ import annotations

import itertools
from datetime import date, timedelta
from pathlib import Path

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from kapman_metrics.listings import (
    LONGEST_HOLE_DAYS,
    changed_identities,
    current_listings,
    listing_in_force,
    successions,
)

START = date(2024, 1, 2)
LISTED = {
    "symbol": pl.String, "name": pl.String, "is_active": pl.Boolean, "delisted_date": pl.Date,
    "composite_figi": pl.String,
}  # fmt: skip


def days_of(symbol: str, *offsets: int) -> pl.DataFrame:
    dates = [START + timedelta(days=offset) for offset in offsets]
    return pl.DataFrame(
        {"symbol": [symbol] * len(dates), "date": dates, "close": [float(o) for o in offsets]}
    )


def breaks(*rows: tuple[str, int]) -> pl.DataFrame:
    dated = [(symbol, START + timedelta(days=offset)) for symbol, offset in rows]
    return pl.DataFrame(dated, schema={"symbol": pl.String, "first_session": pl.Date}, orient="row")


def cut(frame: pl.DataFrame, known: pl.DataFrame, as_of: int) -> list[float]:
    return listing_in_force(frame, known, START + timedelta(days=as_of))["close"].to_list()


def test_a_hole_longer_than_ninety_days_begins_another_listing() -> None:
    whole = days_of("X", 0, 1, 91, 182, 183)
    assert cut(whole, breaks(), 91) == [0, 1, 91]
    assert cut(whole, breaks(), 181) == [0, 1, 91]
    assert cut(whole, breaks(), 183) == [182, 183]


def test_a_halt_of_weeks_is_no_other_company() -> None:
    assert cut(days_of("X", 0, 30, 75), breaks(), 75) == [0, 30, 75]


def test_a_known_break_counts_from_its_first_session_and_for_its_symbol_only() -> None:
    whole = days_of("X", 0, 1, 2, 3)
    known = breaks(("X", 2), ("Y", 1))
    assert cut(whole, known, 1) == [0, 1]
    assert cut(whole, known, 2) == [2]
    assert cut(whole, known, 3) == [2, 3]


def test_the_latest_of_several_breaks_and_holes_wins() -> None:
    whole = days_of("X", 0, 100, 101, 102)
    assert cut(whole, breaks(("X", 1)), 102) == [100, 101, 102]
    assert cut(whole, breaks(("X", 1), ("X", 102)), 102) == [102]


def test_a_delisted_ticker_keeps_its_last_bars_until_another_company_has_one() -> None:
    whole = days_of("X", 0, 1)
    assert cut(whole, breaks(("X", 50)), 60) == [0, 1]


def test_no_bars_are_no_listing() -> None:
    nothing = listing_in_force(
        days_of("X").cast({"date": pl.Date, "symbol": pl.String}), breaks(("X", 1)), START
    )
    assert nothing.height == 0 and nothing.columns == ["symbol", "date", "close"]


@given(
    st.lists(st.integers(0, 600), unique=True, min_size=1, max_size=12),
    st.lists(st.integers(0, 600), unique=True, max_size=3),
    st.integers(0, 600),
)
def test_a_listing_is_the_unbroken_end_of_the_known_bars(
    offsets: list[int], cuts: list[int], as_of: int
) -> None:
    frame = days_of("X", *offsets)
    kept = cut(frame, breaks(*(("X", c) for c in cuts)), as_of)
    known = sorted(o for o in offsets if o <= as_of)
    assert kept == known[len(known) - len(kept) :]
    assert bool(kept) == bool(known)
    assert all(later - earlier <= LONGEST_HOLE_DAYS for earlier, later in itertools.pairwise(kept))
    assert not kept or not any(kept[0] < c <= known[-1] for c in cuts)


def listed(*rows: tuple[str, str | None, bool, date | None, str | None]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=LISTED, orient="row")


OLD = ("FB", "Facebook, Inc. Class A Common Stock", False, date(2022, 6, 9), "BBG000MM2P62")
NEW = ("FB", "ProShares S&P 500 Dynamic Buffer ETF", True, None, "BBG01V000001")


def test_the_active_listing_speaks_for_the_symbol_else_the_one_delisted_last() -> None:
    both = listed(
        OLD, NEW, ("Z", "first", False, None, None), ("Z", "second", False, date(2020, 1, 2), None),
        ("Z", "third", False, date(2023, 1, 3), None),
    )  # fmt: skip
    assert current_listings(both)["name"].to_list() == [NEW[1], "third"]


def test_one_company_after_another_under_a_ticker_is_a_succession() -> None:
    assert successions(listed(NEW, OLD)).rows() == [
        ("FB", date(2022, 6, 9), "delisted 2022-06-09: Facebook, Inc. Class A Common Stock")
    ]
    third = ("FB", "Friendly Bears Inc", False, date(2003, 3, 28), None)
    assert successions(listed(NEW, OLD, third))["delisted_date"].to_list() == [
        date(2003, 3, 28),
        date(2022, 6, 9),
    ]


def test_the_same_company_listed_again_is_no_succession() -> None:
    again = listed(OLD, ("FB", "Meta Platforms", True, None, "BBG000MM2P62"))
    assert successions(again).is_empty()
    renamed_identifier = listed(
        OLD, ("FB", "FACEBOOK INC.  Class A common stock", True, None, "BBG01V000001")
    )
    assert successions(renamed_identifier).is_empty()


def test_names_decide_where_an_identifier_is_missing_and_nothing_is_guessed_without_either() -> None:
    assert successions(listed(OLD, ("FB", "An ETF", True, None, None))).height == 1
    assert successions(listed(OLD, ("FB", None, True, None, None))).is_empty()
    undated = ("FB", "Nobody knows", False, None, None)
    assert successions(listed(undated, NEW)).is_empty()
    assert successions(listed()).is_empty()


def test_an_identifier_that_changes_with_the_name_is_another_company() -> None:
    stored = listed(
        ("A", "Old Co", True, None, "F1"), ("B", "Same Co", True, None, "F2"), ("C", None, True, None, None)
    )
    current = listed(
        ("A", "New Co", True, None, "F9"), ("B", "SAME CO.", True, None, "F8"), ("C", "Third", True, None, "F7"),
        ("D", "Fourth", True, None, "F6"),
    )  # fmt: skip
    found = changed_identities(stored, current)
    assert found.rows() == [("A", "composite FIGI changed from F1 to F9")]
    renamed = listed(("A", "Renamed Co", True, None, "F1"))
    assert changed_identities(stored, renamed).is_empty()


def test_reused_tickers_of_the_recorded_bars_show_one_company(shared_data: Path) -> None:
    frame = pl.read_parquet(shared_data / "ohlcv" / "lean_raw_unadjusted_20.parquet")
    now = listing_in_force(frame, breaks(), date(2021, 3, 31))
    first = dict(now.group_by("symbol").agg(pl.col("date").min()).rows())
    expected = {
        "FB": date(2012, 5, 18), "EEM": date(2003, 4, 11), "USO": date(2006, 4, 10), "BNO": date(2010, 6, 2),
        "AAA": date(2020, 9, 9), "QQQ": date(2011, 3, 23), "SPY": date(1998, 1, 2), "AAPL": date(1998, 1, 2),
    }  # fmt: skip
    assert {symbol: first[symbol] for symbol in expected} == expected
    before = listing_in_force(frame, breaks(), date(2012, 5, 17)).filter(pl.col("symbol") == "FB")
    assert (before["date"].min(), before["date"].max()) == (date(1999, 9, 29), date(2003, 3, 28))


def test_between_two_companies_of_one_ticker_on_record_lie_more_than_ninety_days(shared_data: Path) -> None:
    """The map files name the earlier holder of a ticker with a `.1`; a row is the last day under its name."""
    names = pl.read_csv(shared_data / "reference" / "lean_ticker_map_files.csv")
    dated = names.with_columns(pl.col("date").cast(pl.String).str.to_date("%Y%m%d"))
    since = dated.with_columns(begins=pl.col("date").shift(1).over("permtick"))
    earlier = pl.col("permtick").str.ends_with(".1")
    ended = since.filter(earlier).group_by("ticker").agg(pl.col("date").max().alias("ended"))
    began = since.filter(~earlier & pl.col("begins").is_not_null()).join(ended, on="ticker")
    holes = (
        began.filter(pl.col("begins") > pl.col("ended"))
        .select("ticker", days=(pl.col("begins") - pl.col("ended")).dt.total_days())
        .sort("ticker")
    )
    assert holes["ticker"].to_list() == ["aaa", "fb", "twx", "vxx"]
    assert holes["days"].min() == 92 > LONGEST_HOLE_DAYS


def test_most_recorded_holes_are_within_one_listing(shared_data: Path) -> None:
    holes = pl.read_csv(shared_data / "polygon" / "polygon_long_gap_tickers.csv")["max_duration_days"]
    assert holes.len() == 1771
    assert 150 <= (holes > LONGEST_HOLE_DAYS).sum() <= 180  # measured 168, FB, SAIL and VG among them
