"""The rules provider: the decision that follows from the named rules, pure and deterministic.

The default provider and the fallback of every other one. The rules themselves stand in `rulebook`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kapman_advice.candidates import Candidate
from kapman_advice.decision import Alternative, Context, Decision, RuleResult, validate
from kapman_advice.levels import levels_for
from kapman_advice.rulebook import RULES, Case, allowed_candidates, side_of
from kapman_advice.signals import ENTRY_FAMILY, EXIT_FAMILY, Signal, signal_of
from kapman_advice.wording import dollars, justify

__all__ = ["MODEL_VERSION", "PROVIDER", "RuleResult", "decide", "is_actionable"]

PROVIDER = "rules"
MODEL_VERSION = "rules-1"
MAX_ALTERNATIVES = 3
STRENGTH_CONFIDENCE = {"STRONG": 0.70, "NORMAL": 0.60, "WEAK": 0.45, "NONE": 0.30}


def is_actionable(snapshot: Mapping[str, Any]) -> bool:
    """True when the snapshot's signal belongs to the entry or the exit family (FR-009)."""
    return signal_of(snapshot).signal_type in ENTRY_FAMILY + EXIT_FAMILY


def _judge(case: Case) -> tuple[tuple[RuleResult, ...], tuple[tuple[str, RuleResult], ...]]:
    """The whole trace, and the vetoes that stop an entry with the action each leads to, by authority."""
    trace, stops = [], []
    for rule in RULES:
        if case.side is None and rule.needs_side:
            continue
        result = rule.check(case)
        trace.append(result)
        if rule.stops_with is not None and result.outcome == "vetoed":
            stops.append((rule.stops_with, result))
    return tuple(trace), tuple(stops)


def _confidence(action: str, signal: Signal, trace: tuple[RuleResult, ...]) -> float:
    """Rank within the day: exits on top, refusals at the bottom, the rest by strength and qualifiers."""
    if action in ("EXIT", "NO_TRADE"):
        return 1.0 if action == "EXIT" else 0.0
    score = STRENGTH_CONFIDENCE[signal.signal_strength] + sum(result.weight for result in trace)
    return round(min(max(score, 0.05), 0.95), 4)


def _alternatives(case: Case, chosen: Candidate | None, remedy: str) -> tuple[Alternative, ...]:
    rest = [item for item in case.allowed if item is not chosen][:MAX_ALTERNATIVES]
    reason = "ranked below the choice" if chosen else f"only when {remedy}"
    return tuple(Alternative(item.candidate_id, item.strategy, reason) for item in rest)


def _probability(context: Context, direction: str) -> tuple[float | None, str]:
    if direction == "NEUTRAL":
        return None, "no direction taken"
    record = context.calibration.get(direction)
    return (record.p, record.basis) if record else (0.5, "no record yet")


def decide(context: Context) -> Decision:
    """The advice of the rules provider: same context, same decision.

    All rules are judged in order of authority and stay in the trace; the first veto that stops sets the
    action: EXIT (close all positions), NO_TRADE or WAIT. Without one the first allowed candidate, in the
    order that volatility prefers, is entered. Rules that need a side are left out when the signal gives
    none.
    """
    side = side_of(context.signal)
    levels = levels_for(context.snapshot, side, context.signal.rule) if side else None
    case = Case(context, side, levels, allowed_candidates(context, side))
    trace, stops = _judge(case)
    action = stops[0][0] if stops else "ENTER"
    chosen = case.allowed[0] if action == "ENTER" else None
    direction = side if side and action in ("ENTER", "WAIT") else "NEUTRAL"
    shown = levels if direction != "NEUTRAL" else None
    changes = tuple(dict.fromkeys(result.remedy for _, result in stops))
    if shown and not changes:
        changes = (f"a close beyond the stop at {dollars(shown.stop)} proves the entry wrong",)
    p, basis = _probability(context, direction)
    decision = Decision(
        symbol=context.symbol,
        session=context.session,
        action=action,
        direction=direction,
        strategy=chosen.strategy if chosen else None,
        candidate_id=chosen.candidate_id if chosen else None,
        legs=chosen.legs if chosen else (),
        confidence=_confidence(action, context.signal, trace),
        p_direction=p,
        p_direction_basis=basis,
        justification=justify(context, action, direction, chosen, shown, trace),
        entry_price_target=shown.entry if shown else None,
        stop_loss=shown.stop if shown else None,
        profit_target=shown.target if shown else None,
        breakeven=chosen.breakeven if chosen else None,
        max_loss=chosen.max_loss if chosen else None,
        alternatives=_alternatives(case, chosen, changes[0]),
        what_would_change=changes,
        trace=trace,
        provider=PROVIDER,
        model_version=MODEL_VERSION,
    )
    validate(decision, context)
    return decision
