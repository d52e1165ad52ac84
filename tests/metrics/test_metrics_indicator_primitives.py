"""Smoothing and windows against pandas and plain definitions, whatever stands in the columns beside them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from kapman_metrics.indicators import primitives
from kapman_metrics.indicators.smoothing import adaptive_mean, ewm, wilder_mean

VALUES = st.one_of(st.floats(0.0001, 500_000.0), st.just(float("nan")), st.just(1.0))
PANELS = arrays.arrays(np.float64, st.tuples(st.integers(1, 40), st.integers(1, 4)), elements=VALUES)


@settings(max_examples=60, deadline=None)
@given(x=PANELS, span=st.sampled_from([2, 4, 5, 9, 12]))  # pandas 3.0 and 3.1 weigh gaps wrongly at span 3
def test_an_exponential_mean_is_that_of_pandas_with_leading_and_inner_gaps(x: np.ndarray, span: int):
    with np.errstate(all="ignore"):
        ours = ewm(x, 2.0 / (span + 1.0), span)
    theirs = pd.DataFrame(x).ewm(span=span, min_periods=span, adjust=False, ignore_na=False).mean().to_numpy()
    # after a long gap the newest value has nearly all the weight: what is left of the past is its rounding
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15 * np.nanmax(np.abs(x), initial=0.0))


@settings(max_examples=40, deadline=None)
@given(x=PANELS, span=st.integers(2, 6), keep=st.integers(1, 50))
def test_the_kept_rows_are_the_last_rows_of_all(x: np.ndarray, span: int, keep: int):
    with np.errstate(all="ignore"):
        whole, last = ewm(x, 2.0 / (span + 1.0), span), ewm(x, 2.0 / (span + 1.0), span, keep)
    np.testing.assert_array_equal(last, whole[-keep:])


@settings(max_examples=40, deadline=None)
@given(x=PANELS, span=st.integers(2, 6))
def test_a_column_is_smoothed_as_if_it_were_alone(x: np.ndarray, span: int):
    with np.errstate(all="ignore"):
        together = ewm(x, 2.0 / (span + 1.0), span)
        for column in range(x.shape[1]):
            alone = ewm(x[:, column : column + 1].copy(), 2.0 / (span + 1.0), span)
            np.testing.assert_array_equal(alone[:, 0], together[:, column])


def test_a_price_that_does_not_move_keeps_its_mean_to_the_last_bit():
    flat = np.full((300, 2), [37.13, 0.0001])
    assert (ewm(flat, 2.0 / 27.0, 1) == flat).all()


def test_wilders_average_starts_with_the_mean_of_the_first_window_of_each_column():
    x = np.arange(1.0, 13.0).reshape(6, 2)
    got = wilder_mean(x, 3, np.array([0, 2]))
    assert np.isnan(got[:2, 0]).all() and got[2, 0] == 3.0 and got[3, 0] == pytest.approx(3 + 4 / 3)
    assert np.isnan(got[:4, 1]).all() and got[4, 1] == 8.0 and got[5, 1] == pytest.approx(8 + 4 / 3)
    assert np.isnan(wilder_mean(x, 3, np.array([4, 9]))).all()


def test_an_adaptive_mean_moves_by_each_rows_own_step():
    x, step = np.array([[1.0], [2.0], [4.0]]), np.array([[0.9], [0.5], [0.25]])
    np.testing.assert_array_equal(adaptive_mean(x, step, np.array([0]))[:, 0], [1.0, 1.5, 2.125])


@settings(max_examples=60, deadline=None)
@given(x=PANELS, window=st.integers(1, 23))
def test_windows_hold_what_their_names_say(x: np.ndarray, window: int):
    frame = pd.DataFrame(x)
    for ours, theirs in (
        (primitives.rolling_max, frame.rolling(window).max()),
        (primitives.rolling_min, frame.rolling(window).min()),
        (primitives.rolling_max_so_far, frame.rolling(window, min_periods=1).max()),
    ):
        known = np.isfinite(frame.rolling(window).max().to_numpy())
        np.testing.assert_array_equal(ours(x, window)[known], theirs.to_numpy()[known])
    for ours_sum, exact in (
        (primitives.rolling_sum, np.sum),
        (primitives.rolling_mean, np.mean),
        (primitives.rolling_std, np.std),
    ):
        whole = np.full(x.shape, np.nan)
        if len(x) >= window:
            whole[window - 1 :] = exact(np.lib.stride_tricks.sliding_window_view(x, window, axis=0), axis=-1)
        size = np.nanmax(np.abs(x), initial=0.0)
        np.testing.assert_allclose(ours_sum(x, window), whole, rtol=1e-12, atol=1e-12 * size)


def test_the_bars_since_the_highest_count_from_the_oldest_of_equals():
    x = np.array([[1.0], [3.0], [3.0], [2.0], [2.0]])
    np.testing.assert_array_equal(primitives.bars_since_max(x, 3)[:, 0], [np.nan, np.nan, 1.0, 2.0, 2.0])


def test_slices_of_rows_do_not_change_a_value(monkeypatch: pytest.MonkeyPatch):
    @primitives.in_slices
    def mean(x: np.ndarray, window: int) -> np.ndarray:
        return primitives.rolling_mean(x, window)

    x = np.random.default_rng(1).standard_normal((100, 8))
    whole = mean(x, 7)
    monkeypatch.setattr(primitives, "SLICE_VALUES", 8 * 9)
    np.testing.assert_array_equal(mean(x, 7), whole)
