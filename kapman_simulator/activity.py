"""What trading left behind in a chain: which contracts traded when, their volume, their open interest.

Looked up by hash of contract and session, so that it moves slowly without a state that is carried along.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kapman_simulator.contracts import Contracts, Underlying
from kapman_simulator.noise import Floats, mix, normal, uniform

_LOOKBACK, _STRIDE = 60, 12  # sessions in which a contract's last trade is searched, and how many at once


@dataclass(frozen=True)
class Activity:
    """What trading left behind: each contract's newest trade day, its volume, open interest before today."""

    last_trade: np.ndarray  # index into the underlying's days, -1 = never traded
    volume: Floats  # of the last trade day
    open_interest: Floats

    @classmethod
    def of(cls, c: Contracts, u: Underlying) -> Activity:
        today = len(u.days) - 1
        last = _last_trade(c, u, np.full(len(c.strike), today))
        previous = _last_trade(c, u, last - 1)
        before = np.where(last == today, previous, last)
        held_before = _interest(c, u, before)
        change = np.abs(_interest(c, u, last) - _interest(c, u, previous))
        turnover = (
            0.05 * held_before * np.exp(0.8 * normal(mix(c.ident, u.ordinals[last].astype(np.uint64)), 7))
        )
        heat = 1.0 + 0.6 * max(abs(u.momentum) - 1.0, 0.0) * (c.call == (u.momentum > 0))
        volume = np.floor(change + heat * turnover) + 1.0
        return cls(last, volume, np.where(before >= 0, held_before, 0.0))


def trades(c: Contracts, u: Underlying, which: np.ndarray, when: np.ndarray) -> np.ndarray:
    """Whether contract `which[i]` traded on session number `when[i]`."""
    age = u.ordinals[when] - c.listed[which]
    tenor = np.maximum((c.expiration[which].astype("i8") + 719163) - u.ordinals[when], 1) / 365.0
    distance = np.log(c.strike[which] / u.centre[when]) / (u.calm[when] * np.sqrt(tenor) + 0.04)
    otm = np.where(c.call[which], distance, -distance)
    busy = np.clip(np.log10(max(u.dollars, 1e6)) / 10 + np.where(c.monthly[which], 0.15, 0.0), 0.5, 1.1)
    bell = np.exp(-0.5 * (np.where(otm > 0, otm, otm * 1.7) / 1.9) ** 2)
    chance = np.clip(busy * bell, 0.12, 0.98)
    dead = uniform(c.ident[which], 11) < np.where(bell < 0.35, 0.26, 0.015)
    luck = uniform(mix(c.ident[which], u.ordinals[when].astype(np.uint64)), 13)
    return (luck < chance) & ~dead & (age >= 0)


def _last_trade(c: Contracts, u: Underlying, start: np.ndarray) -> np.ndarray:
    """Index of each contract's newest trade day at or before `start`; -1 when there is none in reach."""
    found = np.full(len(c.strike), -1)
    pending = np.flatnonzero(start >= 0)
    for back in range(0, _LOOKBACK, _STRIDE):
        if not len(pending):
            break
        at = start[pending, None] - back - np.arange(_STRIDE)
        hits = trades(c, u, pending[:, None], np.maximum(at, 0)) & (at >= 0)
        hit, first = hits.any(axis=1), hits.argmax(axis=1)
        found[pending[hit]] = at[hit, first[hit]]
        pending = pending[~hit]
    return found


def _interest(c: Contracts, u: Underlying, when: np.ndarray) -> Floats:
    """Open interest at the end of session `when` (0 where -1): grows with age, gathers on round strikes."""
    at = np.maximum(when, 0)
    years = np.maximum((c.expiration.astype("i8") + 719163) - u.ordinals[at], 1) / 365.0
    distance = np.log(c.strike / u.centre[at]) / (u.calm[at] * np.sqrt(np.minimum(years, 0.5)) + 0.05)
    otm = np.where(c.call, distance, -distance)
    bell = np.exp(-0.5 * ((otm - 0.55) / np.where(otm > 0.55, 1.15, 0.8)) ** 2)
    round_strike = np.where(
        c.strike % (c.step * 10) == 0, 4.0, np.where(c.strike % (c.step * 4) == 0, 2.2, 1.0)
    )
    tenor = np.where(c.leaps, 2.2, np.where(c.monthly, 2.8, 0.7))
    size = 260.0 * (max(u.dollars, 1e6) / 1e9) ** 0.55
    age = (u.ordinals[at] - c.listed).astype(float)
    ramp = 0.12 + 1.0 - np.exp(-np.maximum(age, 0) / np.where(c.monthly, 45.0, 14.0))
    week = u.ordinals[at] / 10.0
    knot = np.floor(week)
    here = normal(mix(c.ident, knot.astype(np.uint64)), 17)
    there = normal(mix(c.ident, (knot + 1).astype(np.uint64)), 17)
    wave = np.exp(0.16 * (here + (week - knot) * (there - here)))
    taste = np.exp(1.0 * normal(c.ident, 19))
    held = size * bell * round_strike * tenor * ramp * wave * taste + 9.0 * uniform(c.ident, 21) * ramp
    return np.where(when >= 0, np.floor(held), 0.0)
