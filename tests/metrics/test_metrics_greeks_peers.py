"""Our Black-Scholes-Merton against two independent ones: QuantLib's analytic engine and vollib (Jaeckel's rational
approximation), over short and long expiries, far strikes and dividends, units included.

Tolerances: prices and greeks 1e-8 relative down to 1e-10 of their scale against vollib, to 1e-5 against QuantLib, whose
tail of the normal distribution loses digits below 1e-8; implied volatility 1e-6 relative wherever a volatility point
moves the price by 1e-8 of spot.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import QuantLib as ql
from hypothesis import given, settings
from hypothesis import strategies as st
from vollib.black_scholes_merton import black_scholes_merton as vollib_price
from vollib.black_scholes_merton.greeks import analytical as vollib_greeks
from vollib.black_scholes_merton.implied_volatility import implied_volatility as vollib_iv

from kapman_metrics import greeks

RELATIVE = 1e-8
NEGLIGIBLE = {"vollib": 1e-10, "quantlib": 1e-5}
GREEKS = ("delta", "gamma", "theta", "vega")
TODAY = ql.Date(5, 5, 2026)


@dataclass(frozen=True)
class Case:
    """One option: dollars, calendar days, decimals a year."""

    spot: float
    strike: float
    days: float
    volatility: float
    is_call: bool
    rate: float
    dividend_yield: float

    @property
    def years(self) -> float:
        return self.days / greeks.DAYS_PER_YEAR

    @property
    def flag(self) -> str:
        return "c" if self.is_call else "p"

    def ours(self, name: str) -> float:
        side = (self.is_call,) if name in ("price", "delta", "theta") else ()
        terms = (self.spot, self.strike, self.years, self.volatility, *side, self.rate, self.dividend_yield)
        return float(getattr(greeks, name)(*map(np.asarray, terms)))

    def our_volatility_of(self, price: float) -> float:
        terms = (self.spot, self.strike, self.years, self.is_call, self.rate, self.dividend_yield)
        return float(greeks.implied_volatility(np.array([price]), *terms)[0])

    @property
    def tells(self) -> bool:
        """Whether the price depends on the volatility by more than rounding."""
        return self.ours("vega") > 1e-8 * self.spot

    def vollib(self, name: str) -> float:
        terms = (self.spot, self.strike, self.years)
        formula = vollib_price if name == "price" else getattr(vollib_greeks, name)
        return float(formula(self.flag, *terms, self.rate, self.volatility, self.dividend_yield))

    def quantlib(self) -> tuple[ql.VanillaOption, ql.BlackScholesMertonProcess]:
        ql.Settings.instance().evaluationDate = TODAY
        count = ql.Actual365Fixed()

        def flat(level: float) -> ql.YieldTermStructureHandle:
            return ql.YieldTermStructureHandle(ql.FlatForward(TODAY, level, count))

        surface = ql.BlackConstantVol(TODAY, ql.NullCalendar(), self.volatility, count)
        process = ql.BlackScholesMertonProcess(
            ql.QuoteHandle(ql.SimpleQuote(self.spot)), flat(self.dividend_yield), flat(self.rate),
            ql.BlackVolTermStructureHandle(surface),
        )  # fmt: skip
        payoff = ql.PlainVanillaPayoff(ql.Option.Call if self.is_call else ql.Option.Put, self.strike)
        option = ql.VanillaOption(payoff, ql.EuropeanExercise(TODAY + int(self.days)))
        option.setPricingEngine(ql.AnalyticEuropeanEngine(process))
        return option, process


def cases(days: st.SearchStrategy[float]) -> st.SearchStrategy[list[Case]]:
    """Lists of options whose strikes reach from an eighth to eight times spot."""
    case = st.builds(
        lambda spot, ratio, *rest: Case(spot, spot * float(np.exp(ratio)), *rest),
        st.floats(1.0, 5000.0), st.one_of(st.floats(-0.1, 0.1), st.floats(-2.08, 2.08)), days,
        st.floats(0.03, 3.0), st.booleans(), st.floats(-0.01, 0.12), st.sampled_from([0.0, 0.0049, 0.02, 0.09]),
    )  # fmt: skip
    return st.lists(case, min_size=15, max_size=40)


# QuantLib counts whole days; vollib takes any time: our shortest is a quarter of a day
whole_days = st.one_of(st.integers(1, 10), st.integers(1, 3650)).map(float)
any_days = st.one_of(st.floats(greeks.SHORTEST_DAYS, 10.0), st.floats(greeks.SHORTEST_DAYS, 3650.0))


def agree(peer: str, name: str, case: Case, theirs: float) -> bool:
    """Equal within the stated tolerance; the scale is the share's price, one share of delta, its change a dollar."""
    scale = {"delta": 1.0, "gamma": 1.0 / case.spot}.get(name, case.spot)
    return abs(case.ours(name) - theirs) <= RELATIVE * max(abs(theirs), NEGLIGIBLE[peer] * scale)


@settings(max_examples=25, deadline=None)
@given(cases(any_days))
def test_price_and_greeks_are_vollib_s(found: list[Case]) -> None:
    for case in found:
        for name in ("price", *GREEKS):
            assert agree("vollib", name, case, case.vollib(name)), (name, case)


@settings(max_examples=25, deadline=None)
@given(cases(whole_days))
def test_price_and_greeks_are_those_of_quantlib_s_analytic_engine(found: list[Case]) -> None:
    for case in found:
        option, _ = case.quantlib()
        theirs = {
            "price": option.NPV(),
            "delta": option.delta(),
            "gamma": option.gamma(),
            "theta": option.thetaPerDay(),
            "vega": option.vega() / 100.0,  # theirs is per 1.00 of volatility
        }
        for name, value in theirs.items():
            assert agree("quantlib", name, case, value), (name, value, case)


@settings(max_examples=25, deadline=None)
@given(cases(any_days))
def test_implied_volatility_returns_from_the_price_as_vollib_s_does(found: list[Case]) -> None:
    for case in [case for case in found if case.tells]:
        price = case.vollib("price")
        theirs = vollib_iv(
            price, case.spot, case.strike, case.years, case.rate, case.dividend_yield, case.flag
        )
        ours = case.our_volatility_of(price)
        assert ours == pytest.approx(case.volatility, rel=1e-6), case
        assert ours == pytest.approx(theirs, rel=1e-6), case


@settings(max_examples=10, deadline=None)
@given(cases(whole_days))
def test_implied_volatility_returns_from_the_price_as_quantlib_s_does(found: list[Case]) -> None:
    for case in [case for case in found if case.tells]:
        option, process = case.quantlib()
        price = option.NPV()
        theirs = option.impliedVolatility(price, process, 1e-12 * case.spot, 500, 1e-3, 10.0)
        ours = case.our_volatility_of(price)
        assert ours == pytest.approx(case.volatility, rel=1e-6), case
        assert ours == pytest.approx(theirs, rel=1e-6), case


@settings(max_examples=15, deadline=None)
@given(cases(any_days), st.floats(0.001, 0.5))
def test_a_price_without_time_value_or_above_the_bounds_has_no_volatility_here_either(
    found: list[Case], beyond: float
) -> None:
    for case in found:
        lowest, highest = (
            float(bound)
            for bound in greeks.price_bounds(
                *map(np.asarray, (case.spot, case.strike, case.years, case.is_call)),
                case.rate,
                case.dividend_yield,
            )
        )
        for price in (lowest, lowest * (1 - beyond), highest, highest * (1 + beyond)):
            assert np.isnan(case.our_volatility_of(price)), (price, case)
