"""Where a trade is wrong and where it is done: stop and target as prices of the underlying.

Computed from the trading range, ATR and dealer walls only; no candidate and no probability enters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kapman_advice.evidence import dealer_grade, number, range_levels

EDGE_BUFFER_ATR = 0.5
PLAIN_STOP_ATR = 2.0
BREAKOUT_STOP_ATR = 1.5
FARTHEST_STOP_ATR = 3.0
NEAREST_TARGET_ATR = 1.0
PLAIN_REWARD = 2.0
BREAKOUT_RULE = 6


@dataclass(frozen=True)
class Levels:
    """Entry, stop and target of the underlying in dollars as traded, each with the words that explain it."""

    entry: float
    stop: float
    target: float
    stop_basis: str
    target_basis: str

    @property
    def reward_to_risk(self) -> float:
        """Distance to the target over distance to the stop."""
        return abs(self.target - self.entry) / abs(self.entry - self.stop)


def usable_wall(snapshot: Mapping[str, Any], side: str) -> float | None:
    """The wall in the way of `side` (call wall for LONG, put wall for SHORT); None under an invalid grade."""
    if dealer_grade(snapshot) in (None, "invalid"):
        return None
    return number(snapshot, "call_wall_primary" if side == "LONG" else "put_wall_primary")


def _stop(spot: float, sign: float, edges: list[float], atr: float, breakout: bool) -> tuple[float, str]:
    behind = [edge for edge in edges if sign * (spot - edge) > 0]
    plain = BREAKOUT_STOP_ATR if breakout else PLAIN_STOP_ATR
    if behind:
        edge = min(behind, key=lambda level: abs(spot - level))
        distance = abs(spot - edge) + EDGE_BUFFER_ATR * atr
        if distance <= (BREAKOUT_STOP_ATR if breakout else FARTHEST_STOP_ATR) * atr:
            return spot - sign * distance, f"{EDGE_BUFFER_ATR:g} ATR beyond the range edge ${edge:,.2f}"
    return spot - sign * plain * atr, f"{plain:g} ATR from the close"


def _target(
    spot: float, sign: float, edges: list[float], atr: float, risk: float, wall: float | None
) -> tuple[float, str]:
    ahead = [edge for edge in edges if sign * (edge - spot) >= NEAREST_TARGET_ATR * atr]
    target, basis = spot + sign * PLAIN_REWARD * risk, f"{PLAIN_REWARD:g} times the risk"
    if ahead:
        target = min(ahead, key=lambda level: abs(level - spot))
        basis = f"the far edge of the range ${target:,.2f}"
    elif len(edges) == 2 and all(sign * (spot - edge) > 0 for edge in edges):
        broken = max(edges) if sign > 0 else min(edges)
        measured = broken + sign * abs(edges[1] - edges[0])
        if sign * (measured - spot) >= NEAREST_TARGET_ATR * atr:
            target, basis = measured, f"the height of the range added beyond ${broken:,.2f}"
    if wall is not None and NEAREST_TARGET_ATR * atr <= sign * (wall - spot) < sign * (target - spot):
        name = "call wall" if sign > 0 else "put wall"
        return wall, f"the {name} at ${wall:,.2f}, before {basis}"
    return target, basis


def levels_for(snapshot: Mapping[str, Any], side: str, signal_rule: int) -> Levels | None:
    """Stop and target for `side` (LONG or SHORT) from a snapshot with `spot`, `atr_14` and perhaps a range.

    Entry is the session's close. Stop: half an ATR beyond the nearest range edge behind the price, when
    that is at most 3 ATR away (1.5 for a breakout, signal row 6), else 2 ATR (1.5). Target: the nearest
    range edge at least one ATR ahead; beyond a broken range its height measured from the broken edge; else
    twice the risk; a usable dealer wall at least one ATR ahead of the price and nearer than that replaces
    it. None without a close or an ATR, or when a level, in whole cents, would not be a positive price on its
    own side of the close.
    """
    spot, atr = number(snapshot, "spot"), number(snapshot, "atr_14")
    if spot is None or atr is None or spot <= 0 or atr <= 0:
        return None
    sign = 1.0 if side == "LONG" else -1.0
    edges = [edge for edge in range_levels(snapshot) if edge is not None]
    stop, stop_basis = _stop(spot, sign, edges, atr, breakout=signal_rule == BREAKOUT_RULE)
    target, target_basis = _target(spot, sign, edges, atr, abs(spot - stop), usable_wall(snapshot, side))
    stop, target = round(stop, 2), round(target, 2)
    if min(stop, target) <= 0 or sign * (spot - stop) <= 0 or sign * (target - spot) <= 0:
        return None
    return Levels(spot, stop, target, stop_basis, target_basis)
