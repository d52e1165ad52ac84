"""The sentences of a justification, every number written by code with its unit.

Wording only: which trade, which level and which rule is decided elsewhere.
"""

from __future__ import annotations

from kapman_advice.candidates import Candidate, Leg
from kapman_advice.decision import Context, RuleResult
from kapman_advice.levels import Levels

_EVIDENCE_RULES = ("WYC-PHASE", "WYC-BC", "WYC-REWARD", "VOL-IV-RANK", "DLR-WALL", "DLR-GAMMA")
PRICE_SOURCES = {"mid": "midpoint", "day_close": "day close"}


def dollars(value: float) -> str:
    """$1,234.50, minus sign in front."""
    return f"{'-' if value < 0 else ''}${abs(value):,.2f}"


def premium(value: float) -> str:
    """Dollars per share with the half cents that midpoints have: $9.55, $4.075."""
    text = f"${value:,.4f}"
    return text[:-2] if text.endswith("00") else text.rstrip("0")


def leg_text(leg: Leg) -> str:
    """One leg in words: side, expiry, strike, type, price, its source and session."""
    source = PRICE_SOURCES[leg.price_source]
    return (
        f"{leg.side} the {leg.expiration} {dollars(leg.strike)} {leg.option_type} "
        f"at {premium(leg.price)} per share ({source} of {leg.price_session})"
    )


def candidate_text(candidate: Candidate) -> str:
    """The trade in words: legs, what is paid or received, breakeven, limits, expected move."""
    legs = " and ".join(leg_text(leg) for leg in candidate.legs)
    net = f"{'pays' if candidate.net_debit > 0 else 'receives'} {premium(abs(candidate.net_debit))} per share"
    gain = "not limited" if candidate.max_gain is None else dollars(candidate.max_gain)
    move = (
        "the expected move is not known (no IV)"
        if candidate.expected_move is None
        else f"the market expects a move of {dollars(candidate.expected_move)} in {candidate.dte} days"
    )
    return (
        f"{candidate.candidate_id} {candidate.strategy}: {legs}; it {net}, breaks even at "
        f"{dollars(candidate.breakeven)}, can lose {dollars(candidate.max_loss)}, its gain is {gain}; {move}."
    )


def levels_text(levels: Levels) -> str:
    """Entry, stop and target of the underlying with their reasons."""
    return (
        f"Underlying: entry {dollars(levels.entry)}, stop {dollars(levels.stop)} ({levels.stop_basis}), "
        f"target {dollars(levels.target)} ({levels.target_basis})."
    )


def _is_spoken(result: RuleResult) -> bool:
    """Vetoes and qualifiers always; of what passed only market evidence, not that the data was there."""
    if result.rule_id == "WYC-SIGNAL":
        return False
    return result.outcome in ("fired", "vetoed") or (
        result.outcome == "passed" and result.rule_id in _EVIDENCE_RULES
    )


def justify(
    context: Context,
    action: str,
    direction: str,
    chosen: Candidate | None,
    levels: Levels | None,
    trace: tuple[RuleResult, ...],
) -> str:
    """The justification text: verdict, reasons, trade, levels, qualifiers, what is missing."""
    headings = {
        "ENTER": f"ENTER {direction} {context.symbol}",
        "WAIT": f"WAIT with {direction} {context.symbol}",
        "NO_TRADE": f"NO_TRADE in {context.symbol}",
        "EXIT": f"EXIT {context.symbol}: close all positions",
    }
    parts = [f"{headings[action]} (session {context.session}).", f"{context.signal.message}."]
    spoken = [item for item in trace if _is_spoken(item)]
    spoken.sort(key=lambda item: item.outcome != "vetoed")
    parts.extend(f"{item.sentence} [{item.rule_id}]" for item in spoken)
    if chosen is not None:
        parts.append(candidate_text(chosen))
    if levels is not None:
        parts.append(levels_text(levels))
    parts.extend(f"Note: {note}." for note in context.signal.notes)
    if context.missing:
        parts.append(f"Missing, and neither bullish nor bearish: {', '.join(context.missing)}.")
    return " ".join(parts)
