"""Which option series are listed: expirations by the exchange's rules, strike ladders around the price.

Step and reach of a ladder are fixed when its series is listed; it follows the price, and strikes that the
price left long ago are delisted. No prices and no open interest here.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

import numpy as np

from kapman_resources.calendar import is_session
from kapman_simulator.noise import Floats

_WEEKLY_LIFE, _MONTHLY_LIFE, _QUARTERLY_LIFE, _LEAPS_LIFE = 42, 130, 275, 900
_STEPS = np.array([0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 25.0, 50.0, 100.0])
_MEMORY = 63  # sessions after which strikes far from the price are delisted
SERIES_EXPECTED = 13  # expirations a symbol has on a typical day


@dataclass(frozen=True)
class Series:
    """One expiration: its date, when it was listed and whether it is a standard monthly."""

    expiration: date
    listed: date
    monthly: bool
    leaps: bool


def _third_friday(year: int, month: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(4 - first.weekday()) % 7 + 14)


@lru_cache(maxsize=64)
def series_on(session: date) -> tuple[Series, ...]:
    """The expirations listed on `session`, soonest first, today's own included."""
    friday = session + timedelta(days=(4 - session.weekday()) % 7)
    if friday - timedelta(days=1) == session and not is_session(friday):
        friday = session + timedelta(days=1)
    found = []
    while (friday - session).days <= _LEAPS_LIFE:
        monthly = friday == _third_friday(friday.year, friday.month)
        leaps = monthly and friday.month == 1
        life = (
            _LEAPS_LIFE
            if leaps
            else _QUARTERLY_LIFE
            if monthly and friday.month in (3, 6, 9, 12)
            else _MONTHLY_LIFE
            if monthly
            else _WEEKLY_LIFE
        )
        expiration = friday if is_session(friday) else friday - timedelta(days=1)
        listed = friday - timedelta(days=life)
        if listed <= session <= expiration:
            found.append(Series(expiration, listed, monthly, leaps))
        friday += timedelta(days=7)
    return tuple(found)


def ladder(series: Series, days: list[date], spot: Floats, volatility: float, wanted: int) -> Floats:
    """Strikes of one series on the last of `days`.

    `spot` is the price history on that day's split basis, `volatility` the symbol's long-run annual one,
    `wanted` the number of strikes to aim at when the series is listed.
    """
    born = min(bisect_left(days, series.listed), len(days) - 1)
    anchor = float(spot[born])
    years = max((series.expiration - days[born]).days, 7) / 365.0
    reach = float(np.clip(2.2 * volatility * np.sqrt(years), 0.10, 0.55))
    been = spot[max(born, len(spot) - _MEMORY) :]
    low, high = float(been.min()) * (1 - 0.85 * reach), float(been.max()) * (1 + reach)
    width = 1.85 * reach * anchor
    step = float(_STEPS[min(int(np.searchsorted(_STEPS, 0.8 * width / wanted)), len(_STEPS) - 1)])
    first = max(int(np.ceil(low / step)), 1)
    return step * np.arange(first, max(int(np.floor(high / step)), first) + 1, dtype=np.float64)
