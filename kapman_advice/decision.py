"""What is decided about one symbol: the context a provider sees, its decision, and the gate between.

The gate trusts nobody: ids, legs, prices and levels must be those that were enumerated. No rule lives here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

import polars as pl

from kapman_advice.calibration import Calibrated, p_direction
from kapman_advice.candidates import Candidate, CandidateSet, Leg, enumerate_candidates
from kapman_advice.evidence import (
    EVIDENCE_COLUMNS,
    compact_json,
    dealer_grade,
    is_absent,
    json_object,
    number,
    plain,
    range_levels,
)
from kapman_advice.signals import Signal, signal_of

ACTIONS = ("ENTER", "WAIT", "NO_TRADE", "EXIT")
DIRECTIONS = ("LONG", "SHORT", "NEUTRAL")
RULE_OUTCOMES = ("fired", "vetoed", "missing", "passed")


class DecisionError(ValueError):
    """A decision that names something which was not enumerated, or contradicts itself."""


@dataclass(frozen=True)
class RuleResult:
    """What one rule saw and said.

    `outcome`: fired (it speaks for or qualifies the trade), vetoed (it blocks or forbids), missing (its
    input is not there: neither bullish nor bearish), passed (looked at, nothing to say). `weight` is its
    effect on `confidence`, `remedy` what would change a veto.
    """

    rule_id: str
    outcome: str
    numbers: Mapping[str, float | str | None]
    sentence: str
    weight: float = 0.0
    remedy: str = ""


@dataclass(frozen=True)
class Alternative:
    """A candidate ranked strictly below the verdict, and why it stands there."""

    candidate_id: str
    strategy: str
    reason: str


@dataclass(frozen=True)
class Context:
    """Everything a provider may look at for one symbol and session. `calibration` is keyed LONG and SHORT."""

    symbol: str
    session: date
    snapshot: Mapping[str, Any]
    signal: Signal
    candidates: CandidateSet
    missing: tuple[str, ...] = ()
    calibration: Mapping[str, Calibrated] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """The advice for one symbol and session.

    `confidence` 0..1 ranks decisions of one day and is no probability; `p_direction` 0..1 is the calibrated
    probability that `direction` is right at 20 sessions (None when the direction is NEUTRAL),
    `p_direction_basis` says from what. `entry_price_target`, `stop_loss` and `profit_target` are prices of
    the UNDERLYING in dollars as traded in `session`; `breakeven` is the underlying's price at expiry,
    `max_loss` dollars for one unit of the trade. `legs` repeats the chosen candidate's legs; it is empty
    for everything but ENTER.
    """

    symbol: str
    session: date
    action: str
    direction: str
    strategy: str | None
    candidate_id: str | None
    legs: tuple[Leg, ...]
    confidence: float
    p_direction: float | None
    p_direction_basis: str
    justification: str
    entry_price_target: float | None
    stop_loss: float | None
    profit_target: float | None
    breakeven: float | None
    max_loss: float | None
    alternatives: tuple[Alternative, ...]
    what_would_change: tuple[str, ...]
    trace: tuple[RuleResult, ...]
    provider: str
    model_version: str


def missing_evidence(snapshot: Mapping[str, Any], candidates: CandidateSet) -> tuple[str, ...]:
    """The names of inputs that a decision would look at and that are not there, in a fixed order."""
    missing = [name for name in EVIDENCE_COLUMNS if is_absent(snapshot.get(name))]
    # "range": null is a finding of the structure engine (no range just now), not an absence.
    if json_object(snapshot, "events_json").get("range", "unstated") is not None:
        edges = zip(("range_support", "range_resistance"), range_levels(snapshot), strict=True)
        missing += [name for name, level in edges if level is None]
    if dealer_grade(snapshot) in (None, "invalid"):
        missing.append("usable dealer metrics")
    if not candidates.candidates:
        missing.append("candidates")
    return tuple(missing)


def build_context(
    chain: pl.DataFrame, snapshot: Mapping[str, Any], session: date, history: pl.DataFrame | None = None
) -> Context:
    """The context of one symbol: its snapshot (with `symbol` and `spot`), CHAIN frame and resolved outcomes.

    `history` has `calibration.HISTORY_SCHEMA`; only rows resolved before `session` are used. The event and
    phase looked up are the snapshot's `primary_event` and `wyckoff_phase`.
    """
    candidates = enumerate_candidates(chain, snapshot, session)
    event, phase = snapshot.get("primary_event"), snapshot.get("wyckoff_phase")
    return Context(
        symbol=str(snapshot["symbol"]),
        session=session,
        snapshot=snapshot,
        signal=signal_of(snapshot),
        candidates=candidates,
        missing=missing_evidence(snapshot, candidates),
        calibration={
            side: p_direction(event, phase, side, history, before=session) for side in ("LONG", "SHORT")
        },
    )


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise DecisionError(message)


def _check_share(name: str, value: float | None) -> None:
    if value is not None:
        _require(math.isfinite(value) and 0 <= value <= 1, f"{name} is {value}, expected 0 to 1")


def _check_levels(decision: Decision) -> None:
    levels = {
        "entry_price_target": decision.entry_price_target,
        "stop_loss": decision.stop_loss,
        "profit_target": decision.profit_target,
    }
    for name, value in levels.items():
        _require(
            value is None or (math.isfinite(value) and value > 0),
            f"{name} is {value}, expected a positive price",
        )
    stop, entry, target = decision.stop_loss, decision.entry_price_target, decision.profit_target
    if decision.action == "ENTER":
        _require(
            None not in (stop, entry, target),
            "ENTER needs entry, stop and target of the underlying, all three",
        )
    if stop is not None and entry is not None and target is not None:
        ordered = stop < entry < target if decision.direction == "LONG" else target < entry < stop
        _require(
            ordered, f"stop {stop}, entry {entry}, target {target} are in no order for {decision.direction}"
        )


def _check_entry(decision: Decision, candidate: Candidate) -> None:
    _require(
        decision.legs == candidate.legs,
        f"the legs of {decision.candidate_id} differ from those enumerated for it",
    )
    for name in ("strategy", "direction", "breakeven", "max_loss"):
        told, known = getattr(decision, name), getattr(candidate, name)
        _require(told == known, f"{name} is {told!r}, candidate {candidate.candidate_id} has {known!r}")


def validate(decision: Decision, context: Context) -> None:
    """Raises DecisionError unless every id, leg, price and level was enumerated or is consistent.

    ENTER names one enumerated candidate and repeats its legs, strategy, direction, breakeven and maximum
    loss; every other action has no candidate and no legs. Alternatives are enumerated, unique and not the
    choice itself.
    """
    _require(decision.action in ACTIONS, f"action {decision.action!r} is not one of {', '.join(ACTIONS)}")
    _require(decision.direction in DIRECTIONS, f"direction {decision.direction!r} is unknown")
    _require(
        (decision.symbol, decision.session) == (context.symbol, context.session),
        f"decision is for {decision.symbol} at {decision.session}, "
        f"context for {context.symbol} at {context.session}",
    )
    _check_share("confidence", decision.confidence)
    _check_share("p_direction", decision.p_direction)
    _require(
        (decision.p_direction is None) == (decision.direction == "NEUTRAL"),
        "p_direction is the probability of a direction: give it for LONG and SHORT, leave it out for NEUTRAL",
    )
    _check_levels(decision)
    if decision.action == "ENTER":
        candidate = context.candidates.get(decision.candidate_id or "")
        if candidate is None:
            raise DecisionError(
                f"candidate {decision.candidate_id!r} of {context.symbol} was not enumerated; "
                f"choose one of {[item.candidate_id for item in context.candidates.candidates]}"
            )
        _check_entry(decision, candidate)
    else:
        _require(
            decision.candidate_id is None and decision.strategy is None and not decision.legs,
            f"{decision.action} opens nothing: it has no candidate, no strategy and no legs",
        )
    offered = [item.candidate_id for item in decision.alternatives]
    for candidate_id in offered:
        _require(
            context.candidates.get(candidate_id) is not None,
            f"alternative {candidate_id!r} was not enumerated",
        )
    _require(
        len(set(offered)) == len(offered) and decision.candidate_id not in offered,
        "alternatives stand strictly below the choice, each once",
    )
    for result in decision.trace:
        _require(
            result.outcome in RULE_OUTCOMES, f"rule {result.rule_id} has unknown outcome {result.outcome!r}"
        )


def decision_json(decision: Decision) -> str:
    """The whole decision as compact JSON with sorted keys; the same decision gives the same bytes."""
    return compact_json(decision)


def context_json(context: Context) -> str:
    """The context as compact JSON: the evidence copied beside the advice, so that it outlives retention."""
    return compact_json(context)


def advice_record(decision: Decision, context: Context) -> dict[str, Any]:
    """The decision as one flat record, with the keys that `outcomes.evaluate` reads.

    Adds recommendation_date, spot, dte, expiration, expected_move (the last three None without a candidate).
    `legs` is a list of mappings of Leg with dates kept as dates; alternatives and trace are JSON-ready lists.
    """
    candidate = context.candidates.get(decision.candidate_id or "")
    return {
        **{name: getattr(decision, name) for name in _FLAT_FIELDS},
        "recommendation_date": decision.session,
        "spot": number(context.snapshot, "spot"),
        "dte": candidate.dte if candidate else None,
        "expiration": candidate.legs[0].expiration if candidate else None,
        "expected_move": candidate.expected_move if candidate else None,
        "legs": [asdict(leg) for leg in decision.legs],
        "alternatives": plain(decision.alternatives),
        "trace": plain(decision.trace),
        "what_would_change": list(decision.what_would_change),
    }


_FLAT_FIELDS = (
    "symbol",
    "action",
    "direction",
    "strategy",
    "candidate_id",
    "confidence",
    "p_direction",
    "p_direction_basis",
    "justification",
    "entry_price_target",
    "stop_loss",
    "profit_target",
    "breakeven",
    "max_loss",
    "provider",
    "model_version",
)
