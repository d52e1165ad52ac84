"""Black-Scholes-Merton: the normal distribution, prices, greeks and implied volatility against independent
truth.
"""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics_builders import SESSION, cboe_evening
from scipy.special import ndtr

from kapman_metrics import greeks
from kapman_metrics.normal import erfc, normal_cdf

spots = st.floats(1.0, 1000.0)
moneyness = st.floats(0.5, 2.0)
years = st.floats(0.01, 3.0)
volatilities = st.floats(0.03, 3.0)


def test_erfc_equals_the_c_library_to_fifteen_digits():
    x = np.concatenate([np.linspace(-6, 26, 5001), [-0.46875, 0.46875, 4.0, 0.0]])
    expected = np.array([math.erfc(value) for value in x])
    assert np.max(np.abs(erfc(x) / expected - 1)) < 2e-15
    assert erfc(np.array([30.0]))[0] == 0.0 and np.isnan(erfc(np.array([np.nan]))[0])


def test_the_normal_distribution_equals_scipy():
    x = np.linspace(-9, 9, 4001)
    np.testing.assert_allclose(normal_cdf(x), ndtr(x), rtol=1e-12)


def test_the_textbook_call_and_put_have_the_textbook_price():
    # Hull, Options, Futures and Other Derivatives, example 15.6: S 42, K 40, r 10 %, sigma 20 %, half a year
    price = greeks.price(np.array([42.0, 42.0]), 40.0, 0.5, 0.2, np.array([True, False]), rate=0.10)
    np.testing.assert_allclose(price, [4.7594, 0.8086], atol=5e-5)


@settings(max_examples=30, deadline=None)
@given(spots, moneyness, years, volatilities, st.floats(0, 0.1), st.floats(0, 0.05))
def test_put_and_call_keep_parity(spot, ratio, time, sigma, rate, dividend_yield):
    strike = spot * ratio
    call, put = greeks.price(
        spot, strike, time, sigma, np.array([True, False]), rate=rate, dividend_yield=dividend_yield
    )
    forward = spot * math.exp(-dividend_yield * time) - strike * math.exp(-rate * time)
    assert call - put == pytest.approx(forward, abs=1e-11 * spot)


@settings(max_examples=20, deadline=None)
@given(moneyness, st.floats(0.05, 2.0), st.floats(0.1, 1.5), st.booleans())
def test_greeks_are_the_slopes_of_the_price_in_their_stated_units(ratio, time, sigma, is_call):
    terms = {"spot": 100.0, "strike": 100.0 * ratio, "years": time, "volatility": sigma}
    call = np.array([is_call])

    def value(**changed: float) -> float:
        return float(greeks.price(**(terms | changed), is_call=call, rate=0.03, dividend_yield=0.01)[0])

    def slope(name: str, step: float) -> float:
        return (value(**{name: terms[name] + step}) - value(**{name: terms[name] - step})) / (2 * step)

    both = {"rate": 0.03, "dividend_yield": 0.01}
    assert greeks.delta(**terms, is_call=call, **both)[0] == pytest.approx(slope("spot", 1e-3), abs=1e-6)
    curve = (value(spot=100.05) - 2 * value() + value(spot=99.95)) / 0.05**2
    assert float(greeks.gamma(**terms, **both)) == pytest.approx(curve, abs=1e-6, rel=1e-3)
    assert float(greeks.vega(**terms, **both)) == pytest.approx(slope("volatility", 1e-4) / 100, abs=1e-6)
    assert greeks.theta(**terms, is_call=call, **both)[0] == pytest.approx(
        -slope("years", 1e-5) / 365, abs=1e-6
    )


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(spots, moneyness, years, volatilities, st.booleans()), min_size=1, max_size=40),
)
def test_implied_volatility_finds_the_volatility_that_made_the_price(cases):
    spot, ratio, time, sigma, is_call = (np.array(column) for column in zip(*cases, strict=True))
    strike = spot * ratio
    price = greeks.price(spot, strike, time, sigma, is_call)
    found = greeks.implied_volatility(price, spot, strike, time, is_call)
    # where a volatility point moves the price by less than rounding, no solver can tell
    telling = greeks.vega(spot, strike, time, sigma) > 1e-6 * spot
    np.testing.assert_allclose(found[telling], sigma[telling], rtol=1e-6)


def test_a_price_outside_the_no_arbitrage_bounds_or_missing_has_no_volatility():
    price = np.array([19.0, 101.0, 0.0, -1.0, np.nan, 25.0])
    strike = np.array([80.0, 80.0, 120.0, 120.0, 100.0, 80.0])
    found = greeks.implied_volatility(price, 100.0, strike, 0.5, np.ones(6, bool), rate=0.0)
    assert np.isnan(found[:5]).all() and 0 < found[5] < 2


def test_a_contract_on_its_last_day_has_a_quarter_of_a_day_and_finite_greeks():
    np.testing.assert_allclose(greeks.years_to_expiry(np.array([0, 1, 365])), [0.25 / 365, 1 / 365, 1.0])
    assert np.isfinite(greeks.gamma(100.0, 100.0, greeks.years_to_expiry(np.array([0])), 0.3)).all()


def _recorded_gamma_ratio(spot_column: str) -> pl.DataFrame:
    raw, spot = cboe_evening()
    priced = raw.join(spot, on="symbol").with_columns(dte=(pl.col("expiration") - SESSION).dt.total_days())
    priced = priced.filter(
        pl.col("dte").is_between(7, 180)
        & pl.col("delta").abs().is_between(0.05, 0.95, closed="none")
        & (pl.col("implied_volatility") > 0)
        & (pl.col("gamma") > 0)
    )
    ours = greeks.gamma(
        priced[spot_column].to_numpy(),
        priced["strike"].to_numpy(),
        greeks.years_to_expiry(priced["dte"].to_numpy()),
        priced["implied_volatility"].to_numpy(),
    )
    return priced.select("symbol", ratio=pl.Series(ours) / pl.col("gamma"))


def test_our_gamma_is_the_exchange_s_gamma_on_recorded_chains_at_the_regular_close():
    ratio = _recorded_gamma_ratio("spot")
    assert ratio.height > 5000
    assert abs(ratio["ratio"].median() - 1) < 0.02
    assert ((ratio["ratio"] - 1).abs() < 0.10).mean() >= 0.90
    assert ratio.group_by("symbol").median().select(((pl.col("ratio") - 1).abs() < 0.02).all()).item()


def test_the_after_hours_price_is_the_wrong_spot_on_an_earnings_night():
    after_hours = _recorded_gamma_ratio("underlying_current_price").filter(pl.col("symbol") == "AMD")
    assert ((after_hours["ratio"] - 1).abs() < 0.10).mean() < 0.5
