"""The graded scores read like their tables: buying climax, spring, sentiment that may be missing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wyckoff_schematics import control, schematic

from kapman_wyckoff import engine
from kapman_wyckoff.bars import rsi, stochastic_k
from kapman_wyckoff.scores import (
    BC_SIGNALS,
    grade_behaviour,
    grade_divergence,
    grade_overbought,
    grade_parabolic,
    grade_spring,
    grade_volume,
    grade_wide_range,
    over_climax_window,
)


@pytest.mark.parametrize(
    ("gain", "before", "sigma", "points"),
    [
        (0.020, 0.0, 0.02, 0),
        (0.026, 0.0, 0.02, 2),
        (0.021, 0.0, 0.010, 2),
        (0.036, 0.0, 0.02, 3),
        (0.026, 0.0, 0.010, 3),
        (0.051, 0.0, 0.03, 4),
        (0.031, 0.0, 0.010, 4),
        (0.031, 0.031, 0.05, 4),
        (0.026, 0.0, np.nan, 2),
        (-0.10, 0.0, 0.01, 0),
    ],
)
def test_parabolic_price_earns_its_table_grade(gain, before, sigma, points):
    assert grade_parabolic(gain, before, sigma) == points


@pytest.mark.parametrize(("ratio", "points"), [(1.3, 0), (1.31, 2), (1.61, 3), (2.01, 4), (np.nan, 0)])
def test_volume_explosion_earns_its_table_grade(ratio, points):
    assert grade_volume(ratio) == points


@pytest.mark.parametrize(
    ("r", "k", "points"), [(60, 80, 0), (71, 50, 2), (60, 91, 2), (66, 81, 3), (71, 81, 4), (np.nan, 91, 2)]
)
def test_overbought_earns_its_table_grade(r, k, points):
    assert grade_overbought(r, k) == points


def test_wide_range_and_weak_close_add_up_over_the_window_and_count_most_on_one_bar():
    wide_only = grade_wide_range([0.05, 0.01], [1.0, 1.0], [0.8, 0.5], [True, True])
    on_two_bars = grade_wide_range([0.05, 0.01], [1.0, 1.0], [0.8, 0.3], [True, True])
    weak_but_not_at_highs = grade_wide_range([0.05, 0.01], [1.0, 1.0], [0.8, 0.3], [True, False])
    on_one_bar = grade_wide_range([0.01, 0.05], [1.0, 1.0], [0.8, 0.3], [False, False])
    assert [x[-1] for x in (wide_only, on_two_bars, weak_but_not_at_highs, on_one_bar)] == [1, 3, 1, 4]


def test_a_grade_lasts_five_sessions_and_no_longer():
    assert over_climax_window([4.0, 0, 0, 0, 0, 0]).tolist() == [4, 4, 4, 4, 4, 0]


def test_divergence_and_behaviour_at_highs_earn_their_table_grades():
    assert grade_divergence(True, True, False, False, False) == 2
    assert grade_divergence(True, False, True, True, False) == 3
    assert grade_divergence(True, False, True, True, True) == 4
    assert grade_behaviour(True, False, 0.015) == 2
    assert grade_behaviour(True, False, 0.02) == 3
    assert grade_behaviour(True, True, 0.025) == 4
    assert grade_behaviour(False, False, 0.05) == 0


def test_the_specifications_own_wording_of_a_signal_always_earns_at_least_three():
    assert grade_parabolic(0.051, 0.0, 0.1) >= 3
    assert grade_parabolic(0.031, 0.031, 0.1) >= 3
    assert grade_volume(2.01) >= 3
    assert grade_wide_range([0.041], [1.0], [0.30], [False])[-1] >= 3
    assert grade_overbought(70.1, 80.1) >= 3
    assert grade_divergence(True, True, True, True, False) >= 3
    assert grade_behaviour(True, False, 0.02) >= 3


def test_nvidia_on_28_and_29_october_2025_scores_17_of_24():
    """Stated numbers: +4.98 % and +2.99 %, volume 1.80x and 1.84x, ranges 5.6 % and 3.6 %, closes at 0.81
    and 0.30, new 60-bar high 212.17 with the close at 207.02, RSI 73, %K 92 and 85, OBV at its high; sigma
    of an ordinary month.
    """
    points = {
        "parabolic": max(grade_parabolic([0.0498, 0.0299], [0.02, 0.0498], [0.019, 0.019])),
        "volume": max(grade_volume([1.80, 1.84])),
        "wide": grade_wide_range([0.056, 0.036], [1.9, 1.2], [0.81, 0.30], [True, True])[-1],
        "overbought": max(grade_overbought([73, 73], [92, 85])),
        "divergence": max(grade_divergence([True, True], [False] * 2, [False] * 2, [True] * 2, [True] * 2)),
        "behaviour": grade_behaviour(True, True, 1 - 207.02 / 212.17),
    }
    assert points == {
        "parabolic": 3,
        "volume": 3,
        "wide": 3,
        "overbought": 4,
        "divergence": 0,
        "behaviour": 4,
    }
    assert sum(points.values()) == 17


def test_the_literal_spring_conditions_reach_nine_when_recovery_is_by_bar_two():
    for recovery in (1, 2):
        signals = grade_spring(0.6, 0.02, recovery, 0.99, 0.51, touches=2, is_range_support=True)
        assert sum(signals.values()) >= 9


@pytest.mark.parametrize(
    ("depth", "share"), [(0.0, 0.0), (-0.5, -0.01), (2.1, 0.03), (1.0, 0.09), (np.nan, 0.01)]
)
def test_no_break_or_one_too_deep_is_no_spring_at_all(depth, share):
    signals = grade_spring(depth, share, 0, 0.5, 0.9, touches=3, is_range_support=True)
    assert sum(signals.values()) == 0


def test_spring_support_grades_follow_the_level_that_was_broken():
    def support(depth, touches, is_range):
        return grade_spring(depth, 0.02, 0, 1.0, 0.5, touches=touches, is_range_support=is_range)[
            "support_break"
        ]

    assert support(0.05, 1, True) == 1
    assert support(1.7, 2, True) == 1
    assert support(0.5, 1, False) == 1
    assert support(0.5, 2, False) == 2
    assert support(0.5, 2, True) == 3


@given(
    st.floats(0.01, 2.0),
    st.integers(0, 3),
    st.floats(0.1, 5),
    st.floats(0, 1),
    st.integers(1, 5),
    st.booleans(),
)
def test_a_spring_score_stays_within_its_bounds(depth, bars, ratio, location, touches, is_range):
    signals = grade_spring(depth, 0.02, bars, ratio, location, touches=touches, is_range_support=is_range)
    assert all(0 <= points <= 3 for points in signals.values())
    assert signals["support_break"] >= 1


def test_without_sentiment_the_available_maximum_is_24_and_nothing_is_rescaled():
    series = schematic(7, distribution=True)
    plain = engine.analyze(series.bars).scores
    sentiment = series.bars.select("symbol", "date").with_columns(points=4.0)
    given_points = engine.analyze(series.bars, sentiment=sentiment).scores
    assert plain["bc_available_max"].drop_nulls().unique().to_list() == [24]
    assert given_points["bc_available_max"].drop_nulls().unique().to_list() == [28]
    assert plain["bc_score"].max() <= 24
    counted = plain["bc_score"] > 0
    assert (given_points["bc_score"].filter(counted) == plain["bc_score"].filter(counted) + 4).all()


def test_the_score_counts_only_within_ten_percent_of_the_sixty_bar_high():
    series = schematic(3, distribution=True)
    scores = engine.analyze(series.bars).scores
    high = series.bars["high"].rolling_max(60, min_samples=1)
    far = (series.bars["close"] < 0.9 * high) & scores["bc_score"].is_not_null()
    assert far.sum() > 20
    assert (scores["bc_score"].filter(far) == 0).all()


def test_a_buying_climax_scores_higher_than_a_quiet_walk():
    climaxes = []
    for seed in range(12):
        series = schematic(seed, distribution=True, noise=0.3)
        bar = next(bar for code, bar in series.labels if code == "BC")
        climaxes.append(engine.analyze(series.bars).scores["bc_score"][bar + 1])
    walks = [engine.analyze(control(seed, "walk").bars).scores["bc_score"].mean() for seed in range(4)]
    assert np.median(climaxes) >= 12
    assert np.mean(walks) <= 5


def test_oscillators_are_neutral_on_a_flat_series_and_bounded_on_any_other():
    flat = np.full(40, 10.0)
    assert set(rsi(flat)[14:]) == {50.0}
    assert set(stochastic_k(flat, flat, flat)[13:]) == {50.0}
    bars = control(5, "garch").bars
    values = rsi(bars["close"].to_numpy())[14:]
    assert ((values >= 0) & (values <= 100)).all()
    assert len(BC_SIGNALS) == 7
