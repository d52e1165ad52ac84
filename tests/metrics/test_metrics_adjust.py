"""Split adjustment as of a session, and the findings where bars and splits disagree."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics_builders import bars, random_bars, shared_data

from kapman_metrics.adjust import adjust_for_splits, overnight_moves, split_nights, unexplained_jumps

SPLIT_SCHEMA = {
    "symbol": pl.String,
    "execution_date": pl.Date,
    "split_from": pl.Float64,
    "split_to": pl.Float64,
}


def splits(*rows: tuple[str, date, float, float]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SPLIT_SCHEMA, orient="row")


FRAME = bars("X", [400.0, 404.0, 101.0, 102.0], 10.0).with_columns(vwap=pl.col("close"))
DAY = FRAME["date"].to_list()
FOUR_FOR_ONE = splits(("X", DAY[2], 1, 4))


def test_prices_before_a_split_are_divided_and_volumes_multiplied():
    adjusted = adjust_for_splits(FRAME, FOUR_FOR_ONE, DAY[3])
    assert adjusted.columns == FRAME.columns
    assert adjusted["close"].to_list() == [100.0, 101.0, 101.0, 102.0]
    assert adjusted["vwap"].to_list() == [100.0, 101.0, 101.0, 102.0]
    assert adjusted["volume"].to_list() == [40.0, 40.0, 10.0, 10.0]


def test_a_split_counts_from_its_execution_day_and_not_before():
    before = adjust_for_splits(FRAME, FOUR_FOR_ONE, DAY[1])
    assert before["close"].to_list() == [400.0, 404.0]
    on_the_day = adjust_for_splits(FRAME, FOUR_FOR_ONE, DAY[2])
    assert on_the_day["close"].to_list() == [100.0, 101.0, 101.0]


def test_announced_splits_of_the_future_and_of_other_symbols_change_nothing():
    other = splits(("X", DAY[3] + timedelta(days=1), 1, 10), ("Y", DAY[2], 1, 2))
    assert adjust_for_splits(FRAME, other, DAY[3])["close"].to_list() == FRAME["close"].to_list()
    assert adjust_for_splits(FRAME, splits(), DAY[3])["close"].to_list() == FRAME["close"].to_list()


def test_splits_multiply_and_the_same_split_recorded_twice_counts_once():
    several = splits(("X", DAY[1], 1, 2), ("X", DAY[2], 1, 4), ("X", DAY[2], 25, 100), ("X", DAY[3], 10, 1))
    adjusted = adjust_for_splits(FRAME, several, DAY[3])
    assert adjusted["close"].to_list() == pytest.approx([400 / 0.8, 404 / 0.4, 1010.0, 102.0])


def test_a_split_without_a_positive_ratio_is_refused_by_name():
    with pytest.raises(ValueError, match=r"split of X on .* has no positive ratio"):
        adjust_for_splits(FRAME, splits(("X", DAY[2], 0, 4)), DAY[3])


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 1000),
    st.lists(st.tuples(st.integers(0, 60), st.sampled_from([(1, 2), (1, 4), (3, 2), (10, 1)])), max_size=4),
    st.integers(0, 59),
)
def test_adjustment_keeps_the_value_traded_and_the_returns_inside_each_epoch(seed, drawn, cut):
    frame = random_bars(2, 60, seed=seed)
    days = frame["date"].unique().sort()
    made = splits(*(("S000", days[0] + timedelta(days=k), float(a), float(b)) for k, (a, b) in drawn))
    adjusted = adjust_for_splits(frame, made, days[cut])
    raw = frame.filter(pl.col("date") <= days[cut]).sort("symbol", "date")
    assert adjusted.select("symbol", "date").equals(raw.select("symbol", "date"))
    traded = (adjusted["close"] * adjusted["volume"]) / (raw["close"] * raw["volume"])
    assert (traded - 1).abs().max() < 1e-12
    assert adjusted.filter(pl.col("symbol") == "S001").equals(raw.filter(pl.col("symbol") == "S001"))
    latest = adjusted.filter(pl.col("date") == days[cut])["close"]
    assert latest.to_list() == raw.filter(pl.col("date") == days[cut])["close"].to_list()


def findings(frame: pl.DataFrame, record: pl.DataFrame) -> list[tuple[str, date, str]]:
    return unexplained_jumps(frame, record).select("symbol", "date", "kind").rows()


def test_a_jump_explained_by_a_split_is_no_finding():
    assert findings(FRAME, FOUR_FOR_ONE) == []


def test_a_jump_without_a_split_on_record_is_found_with_its_ratio():
    found = unexplained_jumps(FRAME, splits())
    assert found.rows() == [("X", DAY[2], "jump_without_split", 0.25)]


def test_a_split_on_record_without_a_jump_is_found():
    calm = bars("X", [100.0, 101.0, 100.0, 99.0])
    assert findings(calm, FOUR_FOR_ONE) == [("X", DAY[2], "split_without_jump")]
    wrong_day = findings(FRAME, splits(("X", DAY[3], 1, 4)))
    assert wrong_day == [("X", DAY[2], "jump_without_split"), ("X", DAY[3], "split_without_jump")]


def test_a_move_of_forty_percent_is_not_more_than_forty_percent():
    assert findings(bars("X", [100.0, 60.0, 84.0]), splits()) == []
    assert len(findings(bars("X", [100.0, 59.9, 84.0]), splits())) == 2


def test_a_split_outside_the_bars_is_not_judged_and_one_over_a_gap_is_judged_at_the_next_bar():
    assert findings(bars("X", [100.0, 101.0]), splits(("X", date(2019, 1, 1), 1, 4))) == []
    gap = FRAME.filter(pl.col("date") != DAY[2])
    assert findings(gap, FOUR_FOR_ONE) == []


def test_two_different_ratios_for_one_day_are_a_conflict():
    both = splits(("X", DAY[2], 1, 4), ("X", DAY[2], 1, 8))
    assert ("X", DAY[2], "conflicting_splits") in findings(FRAME, both)


def test_recorded_splits_of_large_names_are_explained_and_their_absence_is_found():
    path = shared_data("ohlcv", "sp500_raw_unadjusted_2014-01_2021-04.parquet")
    recorded = pl.read_parquet(path).filter(pl.col("symbol").is_in(["AAPL", "TSLA", "NFLX", "NKE"]))
    record = recorded.filter(pl.col("split_coefficient") != 1).select(
        "symbol",
        pl.col("date").alias("execution_date"),
        pl.lit(1.0).alias("split_from"),
        pl.col("split_coefficient").alias("split_to"),
    )
    assert record.height > 0
    assert unexplained_jumps(recorded, record).height == 0
    missing = unexplained_jumps(recorded, record.clear())
    assert ("AAPL", date(2020, 8, 31)) in missing.select("symbol", "date").rows()
    adjusted = adjust_for_splits(recorded, record, date(2021, 4, 21))
    assert unexplained_jumps(adjusted, record.clear()).height == 0


def test_a_night_is_judged_between_two_bars_only():
    moves = overnight_moves(FRAME)
    assert moves.select("date", "previous_date").rows() == list(zip(DAY[1:4], DAY[:3], strict=True))
    assert moves["move"].to_list() == [404 / 400, 101 / 404, 102 / 101]
    outside = splits(("X", DAY[0], 1, 2), ("X", DAY[3] + timedelta(days=1), 1, 2), ("Y", DAY[2], 1, 2))
    assert split_nights(outside, moves).height == 0
    assert split_nights(FOUR_FOR_ONE, moves).select("date", "move").rows() == [(DAY[2], 0.25)]


KNOWN_SPLITS = splits(
    ("AAPL", date(2014, 6, 9), 1, 7),
    ("AAPL", date(2020, 8, 31), 1, 4),
    ("TSLA", date(2020, 8, 31), 1, 5),
    ("NFLX", date(2015, 7, 15), 1, 7),
)


def around(frame: pl.DataFrame, symbol: str, day: date, days: int) -> pl.DataFrame:
    near = (pl.col("date") - day).dt.total_days().is_between(-days, days)
    return frame.filter((pl.col("symbol") == symbol) & near)


@pytest.mark.parametrize(
    ("file", "symbol", "executed", "ratio"),
    [
        ("sp500_raw_unadjusted_2014-01_2021-04.parquet", "AAPL", date(2020, 8, 31), 4),
        ("sp500_raw_unadjusted_2014-01_2021-04.parquet", "TSLA", date(2020, 8, 31), 5),
        ("sp500_raw_unadjusted_2014-01_2021-04.parquet", "NFLX", date(2015, 7, 15), 7),
        ("us_universe_raw_2015-03_2017-03.parquet", "NFLX", date(2015, 7, 15), 7),
    ],
)
def test_a_recorded_split_leaves_a_continuous_price_and_a_rescaled_volume(file, symbol, executed, ratio):
    raw = around(pl.read_parquet(shared_data("ohlcv", file)), symbol, executed, 60)
    adjusted = adjust_for_splits(raw, KNOWN_SPLITS, raw["date"].max())
    night = around(adjusted, symbol, executed, 4)
    close = night.filter(pl.col("date") < executed)["close"][-1]
    assert 0.97 < night.filter(pl.col("date") == executed)["open"][0] / close < 1.03
    daily = (adjusted["close"].pct_change().abs()).drop_nulls()
    assert daily.max() < 0.22  # TSLA fell 21 % on 2020-09-08, NFLX rose 18 % on 2015-07-16
    before = adjusted["date"] < executed
    assert adjusted.filter(before)["volume"].to_list() == (raw.filter(before)["volume"] * ratio).to_list()
    median = [adjusted.filter(part)["volume"].median() for part in (before, ~before)]
    assert 0.5 < median[0] / median[1] < 2.0  # as traded the two differ by the ratio
    assert adjusted.filter(~before)["close"].to_list() == raw.filter(~before)["close"].to_list()


def test_the_bar_before_a_recorded_split_equals_what_the_vendor_restated_a_day_later():
    path = shared_data("ohlcv", "us_universe_raw_2015-03_2017-03.parquet")
    raw = around(pl.read_parquet(path), "NFLX", date(2015, 7, 14), 0)
    adjusted = adjust_for_splits(raw, KNOWN_SPLITS, date(2015, 7, 15))
    assert adjusted["close"][0] == pytest.approx(raw["adj_close"][0], rel=1e-7)
    assert adjust_for_splits(raw, KNOWN_SPLITS, date(2015, 7, 14))["close"][0] == raw["close"][0]


def test_names_without_dividends_equal_the_vendors_own_adjusted_close():
    path = shared_data("ohlcv", "sp500_raw_unadjusted_2014-01_2021-04.parquet")
    recorded = pl.read_parquet(path)
    splits_only = (
        recorded.group_by("symbol")
        .agg(pl.col("dividend").sum(), split_count=(pl.col("split_coefficient") != 1).sum())
        .filter((pl.col("dividend") == 0) & (pl.col("split_count") > 0) & (pl.col("symbol") != "HSIC"))[
            "symbol"
        ]
    )  # HSIC has a spin-off among its coefficients
    assert sorted(splits_only) == ["CNC", "CPRT", "EW", "FISV", "IDXX", "ISRG", "NFLX", "TSLA", "UAA"]
    held = recorded.filter(pl.col("symbol").is_in(splits_only.to_list()))
    record = held.filter(pl.col("split_coefficient") != 1).select(
        "symbol", execution_date="date", split_from=pl.lit(1.0), split_to="split_coefficient"
    )
    adjusted = adjust_for_splits(held, record, date(2021, 4, 21))
    assert (adjusted["close"] / adjusted["adj_close"] - 1).abs().max() < 1e-11
