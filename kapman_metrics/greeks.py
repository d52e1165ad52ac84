"""Black-Scholes-Merton on arrays: price, greeks, implied volatility (Merton 1973; Hull, Options, Futures, ch.
15 and 19).

Units: prices in dollars per share, volatility and rates as decimals a year, time in years of 365 days, delta
per dollar, gamma per dollar squared, theta per calendar day, vega per volatility point (0.01). US equity
options are American: early exercise is not priced, which matters for deep puts and before dividends. Does not
belong here: frames and chains.
"""

from __future__ import annotations

import numpy as np

from kapman_metrics.normal import normal_cdf, normal_pdf

Array = np.ndarray

DAYS_PER_YEAR = 365.0
# Explicit inputs everywhere; these are the values a caller without a better one states.
DEFAULT_RATE = 0.04
DEFAULT_DIVIDEND_YIELD = 0.0
# A session's chain is valued at its close, 16:00 ET, and contracts expire at 16:00 ET: those of the session
# itself have no
# time left. A quarter of a day (about one regular session) keeps their greeks finite instead of a spike at
# the strike.
SHORTEST_DAYS = 0.25

LOWEST_VOLATILITY = 1e-3
HIGHEST_VOLATILITY = 10.0


def years_to_expiry(days_to_expiry: Array) -> Array:
    """Calendar days to years of 365 days, at least `SHORTEST_DAYS`."""
    return np.maximum(np.asarray(days_to_expiry, dtype=float), SHORTEST_DAYS) / DAYS_PER_YEAR


def _d1_d2(
    spot: Array, strike: Array, years: Array, volatility: Array, rate: float, dividend_yield: float
) -> tuple[Array, Array]:
    deviation = volatility * np.sqrt(years)
    d1 = (np.log(spot / strike) + (rate - dividend_yield + 0.5 * volatility**2) * years) / deviation
    return d1, d1 - deviation


def price(
    spot: Array,
    strike: Array,
    years: Array,
    volatility: Array,
    is_call: Array,
    rate: float = DEFAULT_RATE,
    dividend_yield: float = DEFAULT_DIVIDEND_YIELD,
) -> Array:
    """Value of a European option per share. NaN where an input is NaN."""
    d1, d2 = _d1_d2(spot, strike, years, volatility, rate, dividend_yield)
    side = np.where(is_call, 1.0, -1.0)
    carried_spot = spot * np.exp(-dividend_yield * years)
    discounted_strike = strike * np.exp(-rate * years)
    return side * (carried_spot * normal_cdf(side * d1) - discounted_strike * normal_cdf(side * d2))


def delta(
    spot: Array,
    strike: Array,
    years: Array,
    volatility: Array,
    is_call: Array,
    rate: float = DEFAULT_RATE,
    dividend_yield: float = DEFAULT_DIVIDEND_YIELD,
) -> Array:
    """Change of value per dollar of spot: 0..1 for calls, -1..0 for puts."""
    d1, _ = _d1_d2(spot, strike, years, volatility, rate, dividend_yield)
    side = np.where(is_call, 1.0, -1.0)
    return side * np.exp(-dividend_yield * years) * normal_cdf(side * d1)


def gamma(
    spot: Array,
    strike: Array,
    years: Array,
    volatility: Array,
    rate: float = DEFAULT_RATE,
    dividend_yield: float = DEFAULT_DIVIDEND_YIELD,
) -> Array:
    """Change of delta per dollar of spot, the same for calls and puts."""
    d1, _ = _d1_d2(spot, strike, years, volatility, rate, dividend_yield)
    return np.exp(-dividend_yield * years) * normal_pdf(d1) / (spot * volatility * np.sqrt(years))


def theta(
    spot: Array,
    strike: Array,
    years: Array,
    volatility: Array,
    is_call: Array,
    rate: float = DEFAULT_RATE,
    dividend_yield: float = DEFAULT_DIVIDEND_YIELD,
) -> Array:
    """Change of value per calendar day, usually negative."""
    d1, d2 = _d1_d2(spot, strike, years, volatility, rate, dividend_yield)
    side = np.where(is_call, 1.0, -1.0)
    carried_spot = spot * np.exp(-dividend_yield * years)
    discounted_strike = strike * np.exp(-rate * years)
    decay = -carried_spot * normal_pdf(d1) * volatility / (2.0 * np.sqrt(years))
    carry = dividend_yield * carried_spot * normal_cdf(side * d1)
    interest = rate * discounted_strike * normal_cdf(side * d2)
    return (decay + side * (carry - interest)) / DAYS_PER_YEAR


def vega(
    spot: Array,
    strike: Array,
    years: Array,
    volatility: Array,
    rate: float = DEFAULT_RATE,
    dividend_yield: float = DEFAULT_DIVIDEND_YIELD,
) -> Array:
    """Change of value per volatility point (0.01), the same for calls and puts."""
    d1, _ = _d1_d2(spot, strike, years, volatility, rate, dividend_yield)
    return 0.01 * spot * np.exp(-dividend_yield * years) * normal_pdf(d1) * np.sqrt(years)


def price_bounds(
    spot: Array,
    strike: Array,
    years: Array,
    is_call: Array,
    rate: float = DEFAULT_RATE,
    dividend_yield: float = DEFAULT_DIVIDEND_YIELD,
) -> tuple[Array, Array]:
    """Lowest and highest price of a European option that leaves no arbitrage."""
    carried_spot = spot * np.exp(-dividend_yield * years)
    discounted_strike = strike * np.exp(-rate * years)
    side = np.where(is_call, 1.0, -1.0)
    lowest = np.maximum(side * (carried_spot - discounted_strike), 0.0)
    return lowest, np.where(is_call, carried_spot, discounted_strike)


def implied_volatility(
    option_price: Array,
    spot: Array,
    strike: Array,
    years: Array,
    is_call: Array,
    rate: float = DEFAULT_RATE,
    dividend_yield: float = DEFAULT_DIVIDEND_YIELD,
) -> Array:
    """Volatility at which `price` gives `option_price`; arrays of one length, NaN where there is none.

    NaN: an input missing or not positive, a price at or outside the no-arbitrage bounds, a solution outside
    `LOWEST_VOLATILITY`..`HIGHEST_VOLATILITY`. Newton steps kept inside a shrinking bracket, halving it
    otherwise.
    """
    inputs = (option_price, spot, strike, years, np.asarray(is_call, dtype=bool))
    option_price, spot, strike, years, is_call = np.broadcast_arrays(*inputs)
    out = np.full(option_price.shape, np.nan)
    with np.errstate(all="ignore"):
        lowest, highest = price_bounds(spot, strike, years, is_call, rate, dividend_yield)
        positive = (option_price > 0) & (spot > 0) & (strike > 0) & (years > 0)
        solvable = np.flatnonzero(positive & (option_price > lowest) & (option_price < highest))
        if solvable.size:
            terms = (spot[solvable], strike[solvable], years[solvable], is_call[solvable])
            out[solvable] = _solve(option_price[solvable], *terms, rate, dividend_yield)
    return out


def _solve(
    target: Array,
    spot: Array,
    strike: Array,
    years: Array,
    is_call: Array,
    rate: float,
    dividend_yield: float,
) -> Array:
    low = np.full(target.shape, LOWEST_VOLATILITY)
    high = np.full(target.shape, HIGHEST_VOLATILITY)
    # an answer outside the range of volatilities is none
    reachable = (price(spot, strike, years, low, is_call, rate, dividend_yield) <= target) & (
        price(spot, strike, years, high, is_call, rate, dividend_yield) >= target
    )
    forward_log_moneyness = np.log(spot / strike) + (rate - dividend_yield) * years
    # price is steepest in volatility there, so Newton's first step cannot overshoot (Manaster and Koehler
    # 1982)
    steepest = np.sqrt(2.0 * np.abs(forward_log_moneyness) / years)
    sigma = np.clip(np.where(steepest > 0, steepest, 0.5), 0.05, 5.0)
    out = np.full(target.shape, np.nan)
    active = np.flatnonzero(reachable)
    for _ in range(100):
        if not active.size:
            break
        s, k, t, c, sig = spot[active], strike[active], years[active], is_call[active], sigma[active]
        error = price(s, k, t, sig, c, rate, dividend_yield) - target[active]
        high[active] = np.where(error > 0, sig, high[active])
        low[active] = np.where(error <= 0, sig, low[active])
        slope = 100.0 * vega(s, k, t, sig, rate, dividend_yield)
        newton = sig - error / slope
        inside = (newton > low[active]) & (newton < high[active])
        following = np.where(inside, newton, 0.5 * (low[active] + high[active]))
        moved = np.abs(following - sig)
        sigma[active] = following
        done = (moved <= 1e-12 * sig) | (high[active] - low[active] <= 1e-12 * sig) | (error == 0)
        finished = active[done]
        out[finished] = np.where(error[done] == 0, sig[done], sigma[finished])
        active = active[~done]
    out[active] = sigma[active]
    return out
