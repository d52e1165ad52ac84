"""The 17 events: their codes, names by side, the append-only record, and evidence turned into confidence.

Does not belong here: when an event happens (ranges) and what follows from it (sequence, phases, scores).
"""

from __future__ import annotations

from dataclasses import dataclass, field

EVENT_CODES: tuple[str, ...] = (
    "PS", "SC", "AR", "ST", "SPRING", "TEST", "SOS", "LPS", "BU",
    "PSY", "BC", "AR_DIST", "ST_DIST", "UT", "UTAD", "SOW", "LPSY",
)  # fmt: skip
FIRST_RELEASE: tuple[str, ...] = ("SC", "AR", "ST", "SPRING", "TEST", "SOS", "BC", "SOW")

PROVISIONAL, CONFIRMED, FAILED, SUPERSEDED = "provisional", "confirmed", "failed", "superseded"
STANDING = (PROVISIONAL, CONFIRMED)

TITLES: dict[str, str] = {
    "PS": "Preliminary support",
    "SC": "Selling climax",
    "AR": "Automatic rally",
    "ST": "Secondary test",
    "SPRING": "Spring",
    "TEST": "Test of the spring",
    "SOS": "Sign of strength",
    "LPS": "Last point of support",
    "BU": "Back-up to the edge",
    "PSY": "Preliminary supply",
    "BC": "Buying climax",
    "AR_DIST": "Automatic reaction",
    "ST_DIST": "Secondary test of the high",
    "UT": "Upthrust",
    "UTAD": "Upthrust after distribution",
    "SOW": "Sign of weakness",
    "LPSY": "Last point of supply",
}

# Most telling first: what a reader should see when two events became known on the same bar.
SIGNIFICANCE: tuple[str, ...] = (
    "SOS", "SOW", "SPRING", "UTAD", "BC", "SC", "TEST", "BU", "LPSY", "LPS", "UT",
    "ST", "ST_DIST", "AR", "AR_DIST", "PS", "PSY",
)  # fmt: skip


@dataclass(frozen=True)
class Names:
    """Codes of one side's events; `breakout` leaves by the reaction's edge, `breakdown` by the climax's
    edge.
    """

    preliminary: str
    climax: str
    reaction: str
    secondary: str
    breakout: str
    breakdown: str


NAMES: dict[int, Names] = {
    1: Names("PS", "SC", "AR", "ST", "SOS", "SOW"),
    -1: Names("PSY", "BC", "AR_DIST", "ST_DIST", "SOW", "SOS"),
}


@dataclass(frozen=True)
class Record:
    """One line of the append-only log: bars are indices into the symbol's bars, prices as printed on the
    chart.

    A later record with the same event and bar changes the standing of an earlier one; nothing is rewritten.
    """

    event: str
    bar: int
    detected: int
    confidence: float
    status: str
    price: float
    volume_ratio: float | None
    description: str
    range_id: int
    points: dict[str, int] = field(default_factory=dict)  # spring score signals, empty for other events


def grade(value: float, *steps: float) -> int:
    """How many of the ascending `steps` the value reaches; an undefined value reaches none."""
    return sum(value >= step for step in steps)


def confidence(base: float, evidence: float, gaps: int = 0) -> float:
    """Confidence from a base rate, the share of graded evidence present (0..1) and missing predecessors.

    The base rates stand beside the detectors; until the calibration of model_parameters replaces this line
    the figure ranks events of one kind honestly but is only roughly a probability.
    """
    return round(min(0.95, max(0.05, base + 0.40 * (evidence - 0.5) - 0.10 * gaps)), 4)


def describe(event: str, facts: str, gaps: tuple[str, ...] = ()) -> str:
    """Plain sentence for a record: title, facts, and the predecessors that are missing."""
    missing = f"; without {', '.join(gaps)}" if gaps else ""
    return f"{TITLES[event]}: {facts}{missing}"


# Confidence of a detection with half of its evidence present and no predecessor missing.
BASE: dict[str, float] = {
    "PS": 0.45,
    "SC": 0.60,
    "AR": 0.70,
    "ST": 0.60,
    "SPRING": 0.60,
    "TEST": 0.60,
    "SOS": 0.60,
    "LPS": 0.45,
    "BU": 0.55,
    "PSY": 0.45,
    "BC": 0.55,
    "AR_DIST": 0.70,
    "ST_DIST": 0.60,
    "UT": 0.50,
    "UTAD": 0.50,
    "SOW": 0.55,
    "LPSY": 0.45,
}
