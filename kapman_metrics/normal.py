"""The standard normal distribution on arrays, without a dependency.

erfc by W. J. Cody, "Rational Chebyshev approximation for the error function", Math. Comp. 23 (1969), 631-637,
coefficients of his CALERF: relative error below 1e-15 over the whole line. Does not belong here: anything
about options.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray

_SQRT_2 = np.sqrt(2.0)
_INV_SQRT_PI = 5.6418958354775628695e-1
_INV_SQRT_2PI = 1.0 / np.sqrt(2.0 * np.pi)

# numerator and denominator per range of |x|, highest power first
_SMALL_N = (
    1.85777706184603153e-1,
    3.16112374387056560e00,
    1.13864154151050156e02,
    3.77485237685302021e02,
    3.20937758913846947e03,
)
_SMALL_D = (
    1.0,
    2.36012909523441209e01,
    2.44024637934444173e02,
    1.28261652607737228e03,
    2.84423683343917062e03,
)
_MIDDLE_N = (
    2.15311535474403846e-8,
    5.64188496988670089e-1,
    8.88314979438837594e00,
    6.61191906371416295e01,
    2.98635138197400131e02,
    8.81952221241769090e02,
    1.71204761263407058e03,
    2.05107837782607147e03,
    1.23033935479799725e03,
)
_MIDDLE_D = (
    1.0,
    1.57449261107098347e01,
    1.17693950891312499e02,
    5.37181101862009858e02,
    1.62138957456669019e03,
    3.29079923573345963e03,
    4.36261909014324716e03,
    3.43936767414372164e03,
    1.23033935480374942e03,
)
_LARGE_N = (
    1.63153871373020978e-2,
    3.05326634961232344e-1,
    3.60344899949804439e-1,
    1.25781726111229246e-1,
    1.60837851487422766e-2,
    6.58749161529837803e-4,
)
_LARGE_D = (
    1.0,
    2.56852019228982242e00,
    1.87295284992346725e00,
    5.27905102951428412e-1,
    6.05183413124413191e-2,
    2.33520497626869185e-3,
)


def _horner(coefficients: tuple[float, ...], x: Array) -> Array:
    total = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * x + coefficient
    return total


def _exp_minus_square(x: Array) -> Array:
    # x split at 1/16: the square of the coarse part is exact, so no relative error grows with x
    coarse = np.trunc(x * 16.0) / 16.0
    return np.exp(-coarse * coarse) * np.exp(-(x - coarse) * (x + coarse))


def erfc(x: Array) -> Array:
    """Complementary error function, elementwise; NaN stays NaN."""
    x = np.asarray(x, dtype=float)
    size = np.abs(x)
    out = np.full(x.shape, np.nan)

    small = size <= 0.46875
    square = size[small] ** 2
    out[small] = 1.0 - x[small] * _horner(_SMALL_N, square) / _horner(_SMALL_D, square)

    middle = (size > 0.46875) & (size <= 4.0)
    y = size[middle]
    out[middle] = _exp_minus_square(y) * _horner(_MIDDLE_N, y) / _horner(_MIDDLE_D, y)

    large = size > 4.0
    y = np.minimum(size[large], 28.0)  # erfc(28) is 0 in double precision
    inverse = 1.0 / (y * y)
    tail = inverse * _horner(_LARGE_N, inverse) / _horner(_LARGE_D, inverse)
    out[large] = _exp_minus_square(y) * (_INV_SQRT_PI - tail) / y

    mirrored = (x < 0) & ~small
    out[mirrored] = 2.0 - out[mirrored]
    return out


def normal_cdf(x: Array) -> Array:
    """P(Z <= x)."""
    return 0.5 * erfc(-np.asarray(x, dtype=float) / _SQRT_2)


def normal_pdf(x: Array) -> Array:
    """Density at x."""
    x = np.asarray(x, dtype=float)
    return _INV_SQRT_2PI * np.exp(-0.5 * x * x)
