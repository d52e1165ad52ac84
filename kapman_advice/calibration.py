"""How often advice was right: the shrunk base rate behind `p_direction`, and the Brier score judging it.

Works on resolved outcomes only, each older than the session it informs. No model is fitted here yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import polars as pl

HISTORY_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "event": pl.String,
    "phase": pl.String,
    "direction": pl.String,
    "correct": pl.Boolean,
    "resolved_on": pl.Date,
}
"""One row per advice resolved at the primary horizon of 20 sessions."""

PRIMARY_HORIZON = 20
PRIOR_STRENGTH = 20.0
ENOUGH_OUTCOMES = 30


@dataclass(frozen=True)
class Calibrated:
    """`p`: probability that the direction is right at 20 sessions; `n`: like cases; `basis`: in words."""

    p: float
    n: int
    basis: str


@dataclass(frozen=True)
class BrierSummary:
    """Brier score of `n` outcomes beside that of always saying their base rate.

    `skill` = 1 - brier / base_rate_brier, None under 30 outcomes or when all outcomes are alike.
    """

    n: int
    brier: float | None
    base_rate: float | None
    base_rate_brier: float | None
    skill: float | None
    verdict: str


def _shrunk(cases: pl.DataFrame, prior: float) -> float:
    """Posterior mean of a beta-binomial whose prior has mean `prior` and weighs PRIOR_STRENGTH cases."""
    return (int(cases["correct"].sum()) + PRIOR_STRENGTH * prior) / (cases.height + PRIOR_STRENGTH)


def p_direction(
    event: str | None,
    phase: str | None,
    direction: str,
    history: pl.DataFrame | None,
    before: date | None = None,
) -> Calibrated:
    """Probability that `direction` (LONG or SHORT) is right at 20 sessions, from what was resolved by then.

    `history` has HISTORY_SCHEMA; only rows with resolved_on < `before` count, so `before` (the session
    judged) is required with a history: ValueError otherwise. The rate of the direction is shrunk to one
    half, the rate of the event to that, the rate of event and phase to that, each prior weighing 20 cases
    (beta-binomial, posterior mean). Without resolved cases: 0.5, "no record yet".
    """
    if history is None:
        return Calibrated(0.5, 0, "no record yet")
    if before is None:
        raise ValueError("a history needs `before`, the session judged: later outcomes must not inform it")
    known = history.filter(
        (pl.col("resolved_on") < before)
        & (pl.col("direction") == direction)
        & pl.col("correct").is_not_null()
    )
    if known.is_empty():
        return Calibrated(0.5, 0, "no record yet")
    same_event = known.filter(pl.col("event").eq_missing(pl.lit(event, dtype=pl.String)))
    same_case = same_event.filter(pl.col("phase").eq_missing(pl.lit(phase, dtype=pl.String)))
    base = _shrunk(known, 0.5)
    p = _shrunk(same_case, _shrunk(same_event, base))
    basis = (
        f"{same_case['correct'].sum()} of {same_case.height} right for {event or 'no event'} in phase "
        f"{phase or 'unknown'}, {direction}, at {PRIMARY_HORIZON} sessions; shrunk to {base:.2f}, the rate "
        f"of {known.height} resolved {direction} cases"
    )
    return Calibrated(p, same_case.height, basis)


def brier_summary(outcomes: Iterable[tuple[float | None, bool | None]] | pl.DataFrame) -> BrierSummary:
    """Brier score and its skill against the base rate.

    `outcomes` are pairs (p_direction, direction_correct), or a frame with these two columns; pairs with a
    null on either side are unresolved and not counted. Brier = mean (p - outcome)^2; the base rate is that
    of the same outcomes, which favours the baseline. Under 30 outcomes the verdict is "too few" and no
    skill is claimed.
    """
    if isinstance(outcomes, pl.DataFrame):
        outcomes = outcomes.select("p_direction", "direction_correct").iter_rows()
    pairs = [(p, float(right)) for p, right in outcomes if p is not None and right is not None]
    n = len(pairs)
    if n == 0:
        return BrierSummary(0, None, None, None, None, "too few")
    brier = sum((p - right) ** 2 for p, right in pairs) / n
    base_rate = sum(right for _, right in pairs) / n
    base_brier = base_rate * (1 - base_rate)
    if n < ENOUGH_OUTCOMES:
        return BrierSummary(n, brier, base_rate, base_brier, None, "too few")
    if base_brier == 0:
        return BrierSummary(n, brier, base_rate, base_brier, None, "all outcomes alike, no skill to measure")
    skill = 1 - brier / base_brier
    verdict = "better than the base rate" if skill > 0 else "no better than the base rate"
    return BrierSummary(n, brier, base_rate, base_brier, skill, verdict)
