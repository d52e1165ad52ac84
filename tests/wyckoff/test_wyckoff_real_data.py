"""Recorded bars: plausible counts, exact prefixes, and no event from a split on record."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from kapman_wyckoff import engine
from kapman_wyckoff.events import FIRST_RELEASE

SHARED = Path(os.environ.get("KAPMAN_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
RECENT = SHARED / "ohlcv" / "ndx103_2018-03_2026-05.parquet"
RAW = SHARED / "ohlcv" / "sp500_raw_unadjusted_2014-01_2021-04.parquet"

pytestmark = pytest.mark.skipif(not RECENT.exists(), reason=f"recorded bars are absent: {RECENT}")


@pytest.fixture(scope="module")
def recent() -> tuple[pl.DataFrame, engine.WyckoffResult]:
    bars = pl.read_parquet(RECENT)
    return bars, engine.analyze(bars)


def test_large_names_show_every_first_release_event_at_a_plausible_rate(recent):
    bars, result = recent
    first = result.events.unique(["symbol", "event", "event_date"], keep="first")
    per_thousand = 1000 * first.height / bars.height
    assert 5 <= per_thousand <= 35
    assert set(FIRST_RELEASE) <= set(first["event"])


def test_every_phase_letter_occurs_and_none_swallows_the_rest(recent):
    shares = recent[1].phases["phase"].drop_nulls().value_counts(normalize=True)
    assert set(shares["phase"]) == set("ABCDE")
    assert shares["proportion"].max() <= 0.5


def test_the_exit_scores_stay_rare(recent):
    bars, result = recent
    hot = result.scores.with_columns(hot=pl.col("bc_score") >= 20, boiling=pl.col("bc_score") >= 24)
    years = bars.height / 252
    for column, most in (("hot", 1.5), ("boiling", 0.3)):
        starts = hot.with_columns(
            begins=pl.col(column) & ~pl.col(column).shift(1, fill_value=False).over("symbol")
        )
        assert starts["begins"].sum() / years <= most


def test_a_replayed_session_says_what_the_full_history_says_of_it(recent):
    bars, result = recent
    some = bars.filter(pl.col("symbol").is_in(["AAPL", "NVDA", "TSLA", "META", "SPY"]))
    for day in (dt.date(2019, 1, 4), dt.date(2020, 3, 24), dt.date(2022, 11, 11), dt.date(2025, 4, 9)):
        then = engine.analyze(some, as_of=day)
        symbols = then.phases["symbol"].unique().to_list()
        known = result.events.filter(pl.col("symbol").is_in(symbols) & (pl.col("detected_at") <= day))
        assert_frame_equal(then.events, known, check_exact=True)
        full = engine.snapshot(result, day).filter(pl.col("symbol").is_in(symbols))
        assert_frame_equal(engine.snapshot(then, day), full, check_exact=True)


def test_the_nvidia_climax_of_october_2025_scores_17_of_24_on_recorded_bars(recent):
    scores = recent[1].scores.filter((pl.col("symbol") == "NVDA") & (pl.col("date") == dt.date(2025, 10, 29)))
    assert scores["bc_score"].to_list() == [17]
    assert scores["bc_available_max"].to_list() == [24]


@pytest.mark.skipif(not RAW.exists(), reason=f"unadjusted bars are absent: {RAW}")
@pytest.mark.parametrize(
    ("symbol", "ratio", "ex"), [("AAPL", 4, dt.date(2020, 8, 31)), ("TSLA", 5, dt.date(2020, 8, 31))]
)
def test_a_split_on_record_adds_no_event_once_bars_are_adjusted_as_of_the_session(symbol, ratio, ex):
    raw = pl.read_parquet(RAW).filter((pl.col("symbol") == symbol) & (pl.col("date") >= dt.date(2018, 1, 1)))
    if raw.is_empty():
        pytest.skip(f"{symbol} is not in the shared part of the file")
    old = pl.col("date") < ex
    adjusted = raw.with_columns(
        *(
            pl.when(old).then(pl.col(c) / ratio).otherwise(pl.col(c)).alias(c)
            for c in ("open", "high", "low", "close")
        ),
        volume=pl.when(old).then(pl.col("volume") * ratio).otherwise(pl.col("volume")),
    )
    columns = ["event", "event_date", "detected_at", "status"]
    before = engine.analyze(raw.filter(old)).events.select(columns)
    after = engine.analyze(adjusted).events.filter(pl.col("detected_at") < ex).select(columns)
    assert_frame_equal(before, after)
    on_the_day = engine.analyze(adjusted).events.filter(
        pl.col("event_date").is_between(ex, ex + dt.timedelta(days=1))
    )
    assert not set(on_the_day["event"]) & {"SC", "SOW"}
