"""European option prices and greeks by Black-Scholes-Merton, for the generated chains only.

The product has its own formulas; this small copy stays independent on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erf

import numpy as np

from kapman_simulator.noise import Floats

_SQRT2, _SQRT2PI = np.sqrt(2.0), np.sqrt(2.0 * np.pi)


@dataclass(frozen=True)
class Priced:
    """Parallel arrays: dollars a share, gamma per dollar, theta per calendar day, vega and rho per 1 point."""

    price: Floats
    delta: Floats
    gamma: Floats
    theta: Floats
    vega: Floats
    rho: Floats


def normal_cdf(x: Floats) -> Floats:
    return np.array([0.5 + 0.5 * erf(value) for value in (x / _SQRT2).tolist()])


def price_options(
    spot: Floats | float,
    strike: Floats,
    years: Floats,
    iv: Floats,
    call: np.ndarray,
    rate: float,
    dividend: float,
) -> Priced:
    """Prices and greeks (Hull, Options, Futures and Other Derivatives, ch. 19); `years`, `iv` > 0."""
    root = iv * np.sqrt(years)
    d1 = (np.log(spot / strike) + (rate - dividend + iv**2 / 2) * years) / root
    d2 = d1 - root
    carry, discount = np.exp(-dividend * years), np.exp(-rate * years)
    n1, n2 = normal_cdf(d1), normal_cdf(d2)
    density = np.exp(-(d1**2) / 2) / _SQRT2PI
    sign = np.where(call, 1.0, -1.0)
    p1, p2 = np.where(call, n1, 1 - n1), np.where(call, n2, 1 - n2)
    price = sign * (spot * carry * p1 - strike * discount * p2)
    decay = -spot * carry * density * iv / (2 * np.sqrt(years))
    theta = decay - sign * rate * strike * discount * p2 + sign * dividend * spot * carry * p1
    return Priced(
        price=np.maximum(price, 0.0),
        delta=sign * carry * p1,
        gamma=carry * density / (spot * root),
        theta=theta / 365.0,
        vega=spot * carry * density * np.sqrt(years) / 100.0,
        rho=sign * strike * years * discount * p2 / 100.0,
    )
