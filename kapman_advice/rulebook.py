"""The small named rules in their order of authority, each saying what it saw.

Wyckoff may veto, volatility forbids long premium at its extreme, dealer positioning may only defer,
indicators only qualify. What follows from the verdicts is decided in `rules`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kapman_advice.candidates import Candidate
from kapman_advice.decision import Context, RuleResult
from kapman_advice.evidence import climax_points, dealer_grade, number
from kapman_advice.levels import Levels, usable_wall
from kapman_advice.signals import BC_LOW, BC_WARNING, ENTRY_FAMILY, EXIT_FAMILY, Signal
from kapman_advice.wording import dollars

IV_RANK_EXTREME = 80.0
IV_RANK_RICH = 50.0
DGPI_STRONG = 50.0
WALL_TOO_NEAR_ATR = 0.5
LEAST_REWARD_TO_RISK = 1.0
SURE_PHASE = 0.5
QUALIFIER = 0.04
MISSING_QUALIFIER = -0.02

_EXIT_REMEDY = f"the buying climax score falls below {BC_WARNING} and an entry signal appears"
_PHASES_AGAINST = {"LONG": ("D", "E"), "SHORT": ("A", "B")}
_PREFERENCE: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    # structures in the order wanted when premium is cheap, when it is rich or unknown, when it is extreme
    "LONG": (
        ("long_call", "bull_call", "cash_secured_put", "bull_put"),
        ("bull_call", "cash_secured_put", "bull_put", "long_call"),
        ("cash_secured_put", "bull_put"),
    ),
    "SHORT": (
        ("long_put", "bear_put", "bear_call"),
        ("bear_put", "bear_call", "long_put"),
        ("bear_call",),
    ),
}


@dataclass(frozen=True)
class Case:
    """One context judged for one side (None when the signal justifies neither)."""

    context: Context
    side: str | None
    levels: Levels | None
    allowed: tuple[Candidate, ...]

    def number(self, key: str) -> float | None:
        return number(self.context.snapshot, key)


def side_of(signal: Signal) -> str | None:
    """LONG for an entry signal, SHORT for an exit warning that rests on SOW (row 5), else None.

    Row 4 (bc_score >= 20) means no new positions at all, so it justifies no side.
    """
    if signal.signal_type in ENTRY_FAMILY:
        return "LONG"
    return "SHORT" if signal.signal_type == "EXIT_WARNING" and signal.rule == 5 else None


def preference(side: str, iv_rank: float | None) -> tuple[str, ...]:
    """Structures of `side` in the order wanted at this iv_rank (0-100).

    Below 50 premium is bought outright; from 50, or when the rank is unknown, defined risk comes first;
    from 80 only structures that receive premium remain (extreme volatility forbids long premium, debit
    verticals included).
    """
    cheap, rich, extreme = _PREFERENCE[side]
    if iv_rank is None:
        return rich
    if iv_rank >= IV_RANK_EXTREME:
        return extreme
    return cheap if iv_rank < IV_RANK_RICH else rich


def allowed_candidates(context: Context, side: str | None) -> tuple[Candidate, ...]:
    """The enumerated candidates of `side` that volatility allows, the one to prefer first."""
    if side is None:
        return ()
    wanted = preference(side, number(context.snapshot, "iv_rank"))
    listed = [item for item in context.candidates.candidates if item.structure in wanted]
    return tuple(sorted(listed, key=lambda item: (wanted.index(item.structure), item.candidate_id)))


# Wyckoff: may veto


def wyc_exit_critical(case: Case) -> RuleResult:
    """A buying climax score of 24 or more closes everything, no exceptions."""
    numbers = {"bc_score": case.number("bc_score")}
    if case.context.signal.signal_type == "EXIT_CRITICAL":
        return RuleResult(
            "WYC-EXIT-CRITICAL",
            "vetoed",
            numbers,
            "No exceptions, and no new position of any kind in this ticker.",
            remedy=_EXIT_REMEDY,
        )
    if numbers["bc_score"] is None:
        return RuleResult("WYC-EXIT-CRITICAL", "missing", numbers, "The buying climax score is not known.")
    return RuleResult(
        "WYC-EXIT-CRITICAL", "passed", numbers, f"Buying climax score {climax_points(case.context.snapshot)}."
    )


def wyc_signal(case: Case) -> RuleResult:
    """Without an entry signal or a sign of weakness there is no side to trade."""
    signal = case.context.signal
    numbers: dict[str, float | str | None] = {
        "signal_type": signal.signal_type,
        "signal_rule": float(signal.rule),
        "bc_score": case.number("bc_score"),
        "spring_score": case.number("spring_score"),
    }
    if case.side is not None:
        return RuleResult("WYC-SIGNAL", "fired", numbers, f"{signal.message}: {case.side}.")
    if signal.signal_type in EXIT_FAMILY:
        return RuleResult(
            "WYC-SIGNAL",
            "vetoed",
            numbers,
            f"{signal.message}.",
            remedy=_EXIT_REMEDY,
        )
    return RuleResult(
        "WYC-SIGNAL",
        "vetoed",
        numbers,
        f"{signal.message}; no entry signal and no sign of weakness.",
        remedy="SPRING, TEST, SOS or SOW becomes active in the current range",
    )


def wyc_phase(case: Case) -> RuleResult:
    """A sure phase on the other side of the market vetoes the trade."""
    phase = case.context.snapshot.get("wyckoff_phase")
    sureness = case.number("phase_confidence")
    numbers: dict[str, float | str | None] = {"wyckoff_phase": phase, "phase_confidence": sureness}
    if phase is None or sureness is None:
        return RuleResult("WYC-PHASE", "missing", numbers, "Phase or its confidence is not known.")
    told = f"Phase {phase} with confidence {sureness:.2f}"
    against = _PHASES_AGAINST[case.side or "LONG"]
    if phase in against and sureness >= SURE_PHASE:
        return RuleResult(
            "WYC-PHASE",
            "vetoed",
            numbers,
            f"{told} stands against {case.side}.",
            remedy=f"the phase leaves {' and '.join(against)}, or its confidence falls below {SURE_PHASE:g}",
        )
    sign = -1.0 if phase in against else 1.0
    return RuleResult("WYC-PHASE", "passed", numbers, f"{told}.", weight=sign * 0.2 * (sureness - 0.5))


def wyc_bc_caution(case: Case) -> RuleResult:
    """A buying climax score of 12 to 19 qualifies a long entry."""
    score, told = case.number("bc_score"), climax_points(case.context.snapshot)
    numbers = {"bc_score": score}
    if score is None:
        return RuleResult(
            "WYC-BC", "missing", numbers, "Whether a buying climax builds is not known.", MISSING_QUALIFIER
        )
    if case.side == "LONG" and score >= BC_LOW:
        return RuleResult(
            "WYC-BC", "fired", numbers, f"Buying climax score {told} speaks for caution.", -QUALIFIER
        )
    return RuleResult("WYC-BC", "passed", numbers, f"Buying climax score {told}.")


def wyc_reward(case: Case) -> RuleResult:
    """A target nearer than the stop is a trade to wait for."""
    levels = case.levels
    if levels is None:
        return RuleResult("WYC-REWARD", "missing", {}, "No stop and target, so no reward to risk.")
    ratio = levels.reward_to_risk
    numbers = {"reward_to_risk": ratio, "stop_loss": levels.stop, "profit_target": levels.target}
    sentence = f"Reward to risk {ratio:.2f} from {dollars(levels.entry)}."
    if ratio < LEAST_REWARD_TO_RISK:
        fair = (levels.target + LEAST_REWARD_TO_RISK * levels.stop) / (1 + LEAST_REWARD_TO_RISK)
        return RuleResult(
            "WYC-REWARD", "vetoed", numbers, sentence, remedy=f"the price comes back to {dollars(fair)}"
        )
    return RuleResult("WYC-REWARD", "passed", numbers, sentence)


# Data: what must be there


def data_quality(case: Case) -> RuleResult:
    """A stale snapshot vetoes; a partial one qualifies."""
    quality = case.context.snapshot.get("data_quality")
    numbers: dict[str, float | str | None] = {
        "data_quality": quality,
        "missing_inputs": float(len(case.context.missing)),
    }
    lacks = f"Missing: {', '.join(case.context.missing)}." if case.context.missing else "Nothing is missing."
    if quality == "stale":
        return RuleResult(
            "DATA-QUALITY",
            "vetoed",
            numbers,
            f"The snapshot is stale. {lacks}",
            remedy="the session's data arrives",
        )
    if quality is None:
        return RuleResult("DATA-QUALITY", "missing", numbers, f"Data quality is not stated. {lacks}")
    if quality == "partial":
        return RuleResult("DATA-QUALITY", "fired", numbers, f"The snapshot is partial. {lacks}", weight=-0.10)
    return RuleResult("DATA-QUALITY", "passed", numbers, f"The snapshot is {quality}. {lacks}")


def data_levels(case: Case) -> RuleResult:
    """Without a close and an ATR no stop can be computed, and without a stop nothing is entered."""
    numbers = {"spot": case.number("spot"), "atr_14": case.number("atr_14")}
    if case.levels is None:
        return RuleResult(
            "DATA-LEVELS",
            "vetoed",
            numbers,
            "No stop can be computed: it needs the session's close and ATR(14), and positive levels.",
            remedy="the symbol has a close of this session and at least 15 bars",
        )
    return RuleResult("DATA-LEVELS", "passed", numbers, f"Stop {case.levels.stop_basis}.")


def data_candidates(case: Case) -> RuleResult:
    """Nothing is advised that the session's chain does not list."""
    listed = case.context.candidates
    sided = [item for item in listed.candidates if item.direction == case.side]
    numbers = {"candidates": float(len(listed.candidates)), "of_this_direction": float(len(sided))}
    if not sided:
        why = "; ".join(listed.reasons) or "none of this direction"
        return RuleResult(
            "DATA-CANDIDATES",
            "vetoed",
            numbers,
            f"No {case.side} candidate: {why}.",
            remedy="the chain lists a liquid contract of 30 to 90 days with a price of its session",
        )
    return RuleResult(
        "DATA-CANDIDATES",
        "passed",
        numbers,
        f"{len(sided)} of {len(listed.candidates)} candidates are {case.side}.",
    )


# Volatility: forbids long premium at its extreme


def vol_iv_rank(case: Case) -> RuleResult:
    """iv_rank of 80 or more forbids long premium; below that it orders the structures."""
    rank = case.number("iv_rank")
    numbers = {"iv_rank": rank, "iv_hv_diff": case.number("iv_hv_diff")}
    if rank is None:
        return RuleResult(
            "VOL-IV-RANK", "missing", numbers, "IV rank is not known: structures of defined risk come first."
        )
    if rank >= IV_RANK_EXTREME:
        return RuleResult(
            "VOL-IV-RANK",
            "vetoed",
            numbers,
            f"IV rank {rank:.0f} of 100 forbids long premium.",
            remedy=f"IV rank falls below {IV_RANK_EXTREME:.0f}",
        )
    told = "premium is cheap enough to buy" if rank < IV_RANK_RICH else "defined risk comes first"
    return RuleResult("VOL-IV-RANK", "passed", numbers, f"IV rank {rank:.0f} of 100: {told}.")


def vol_structure(case: Case) -> RuleResult:
    """After the volatility veto something must be left to trade."""
    numbers = {"allowed_candidates": float(len(case.allowed))}
    if not any(item.direction == case.side for item in case.context.candidates.candidates):
        return RuleResult("VOL-STRUCTURE", "missing", numbers, f"No {case.side} candidate to judge.")
    if not case.allowed:
        return RuleResult(
            "VOL-STRUCTURE",
            "vetoed",
            numbers,
            f"No {case.side} candidate is left that this volatility allows.",
            remedy=f"IV rank falls below {IV_RANK_EXTREME:.0f}, or a credit structure is listed",
        )
    return RuleResult("VOL-STRUCTURE", "passed", numbers, f"{len(case.allowed)} candidates are allowed.")


# Dealer positioning: may defer, never turns the side


def dlr_wall(case: Case) -> RuleResult:
    """A wall within half an ATR ahead defers the entry until it is passed."""
    side = case.side or "LONG"
    wall, spot, atr = usable_wall(case.context.snapshot, side), case.number("spot"), case.number("atr_14")
    name = "call wall" if side == "LONG" else "put wall"
    numbers: dict[str, float | str | None] = {
        name.replace(" ", "_") + "_primary": wall,
        "spot": spot,
        "atr_14": atr,
        "grade": dealer_grade(case.context.snapshot),
    }
    if wall is None or spot is None or atr is None:
        return RuleResult("DLR-WALL", "missing", numbers, f"No usable {name}.")
    ahead = wall - spot if side == "LONG" else spot - wall
    if 0 <= ahead < WALL_TOO_NEAR_ATR * atr:
        beyond = "above" if side == "LONG" else "below"
        return RuleResult(
            "DLR-WALL",
            "vetoed",
            numbers,
            f"The {name} at {dollars(wall)} is {dollars(ahead)} away, less than {WALL_TOO_NEAR_ATR:g} ATR.",
            remedy=f"a close {beyond} {dollars(wall)}",
        )
    return RuleResult("DLR-WALL", "passed", numbers, f"The {name} stands at {dollars(wall)}.")


def dlr_gamma(case: Case) -> RuleResult:
    """Strong dealer gamma on the wrong side of the flip defers: short for LONG, long for SHORT."""
    snapshot, side = case.context.snapshot, case.side or "LONG"
    grade = dealer_grade(snapshot)
    dgpi, flip, spot = case.number("dgpi"), case.number("gamma_flip_level"), case.number("spot")
    numbers: dict[str, float | str | None] = {
        "dgpi": dgpi,
        "gamma_flip_level": flip,
        "spot": spot,
        "grade": grade,
    }
    if grade in (None, "invalid"):
        return RuleResult(
            "DLR-GAMMA", "missing", numbers, f"Dealer metrics are graded {grade or 'nothing'}: not used."
        )
    if dgpi is None or flip is None or spot is None:
        return RuleResult("DLR-GAMMA", "missing", numbers, "DGPI or the gamma flip is not known.")
    told = f"DGPI {dgpi:.0f} of 100 (calls +, puts -), flip at {dollars(flip)}"
    if side == "LONG" and dgpi <= -DGPI_STRONG and spot < flip:
        return RuleResult(
            "DLR-GAMMA",
            "vetoed",
            numbers,
            f"{told}: below the flip dealers amplify falls.",
            remedy=f"a close above the flip at {dollars(flip)}",
        )
    if side == "SHORT" and dgpi >= DGPI_STRONG and spot > flip:
        return RuleResult(
            "DLR-GAMMA",
            "vetoed",
            numbers,
            f"{told}: above the flip dealers dampen falls.",
            remedy=f"a close below the flip at {dollars(flip)}",
        )
    return RuleResult("DLR-GAMMA", "passed", numbers, f"{told}.")


# Indicators: only qualify


def _qualifies(
    case: Case, rule_id: str, key: str, supports: Callable[[float], bool | None], told: Callable[[float], str]
) -> RuleResult:
    """`supports` answers for LONG: True, False or None (says nothing); SHORT takes the opposite."""
    value = case.number(key)
    numbers = {key: value}
    if value is None:
        return RuleResult(rule_id, "missing", numbers, f"{key} is not known.", MISSING_QUALIFIER)
    answer = supports(value)
    if answer is None:
        return RuleResult(rule_id, "passed", numbers, f"{told(value)}.")
    helps = answer == (case.side == "LONG")
    return RuleResult(
        rule_id,
        "fired",
        numbers,
        f"{told(value)} speaks {'for' if helps else 'against'} {case.side}.",
        QUALIFIER if helps else -QUALIFIER,
    )


def ta_trend(case: Case) -> RuleResult:
    """The close against its 50-day average."""
    return _qualifies(
        case,
        "TA-TREND",
        "price_vs_sma50",
        lambda v: None if v == 0 else v > 0,
        lambda v: f"Close {v:+.1%} from its 50-day average",
    )


def ta_macd(case: Case) -> RuleResult:
    """The sign of the MACD histogram."""
    return _qualifies(
        case,
        "TA-MACD",
        "macd_histogram",
        lambda v: None if v == 0 else v > 0,
        lambda v: f"MACD histogram {v:+.2f}",
    )


def ta_rsi(case: Case) -> RuleResult:
    """An RSI above 70 speaks against LONG, below 30 against SHORT."""
    return _qualifies(
        case,
        "TA-RSI",
        "rsi_14",
        lambda v: False if v > 70 else (True if v < 30 else None),
        lambda v: f"RSI(14) {v:.0f}",
    )


@dataclass(frozen=True)
class Rule:
    """A rule and the action its veto leads to (None: it filters or qualifies and stops nothing)."""

    check: Callable[[Case], RuleResult]
    stops_with: str | None = None
    needs_side: bool = True


# In order of authority: the first veto decides the action.
RULES: tuple[Rule, ...] = (
    Rule(wyc_exit_critical, "EXIT", needs_side=False),
    Rule(data_quality, "NO_TRADE", needs_side=False),
    Rule(wyc_signal, "NO_TRADE", needs_side=False),
    Rule(wyc_phase, "NO_TRADE"),
    Rule(wyc_bc_caution),
    Rule(data_levels, "NO_TRADE"),
    Rule(data_candidates, "NO_TRADE"),
    Rule(vol_iv_rank),
    Rule(vol_structure, "NO_TRADE"),
    Rule(wyc_reward, "WAIT"),
    Rule(dlr_wall, "WAIT"),
    Rule(dlr_gamma, "WAIT"),
    Rule(ta_trend),
    Rule(ta_macd),
    Rule(ta_rsi),
)
