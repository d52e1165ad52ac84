"""The append-only log of one symbol's walk: features as lists, records written once, the campaign in force.

Does not belong here: any condition of an event. Everything is written from the accumulation's point of view;
distribution is the same walk on the chart turned upside down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from kapman_wyckoff.bars import Features, View, view
from kapman_wyckoff.events import (
    BASE,
    CONFIRMED,
    FAILED,
    SUPERSEDED,
    Record,
    confidence,
    describe,
)
from kapman_wyckoff.ranges import (
    Track,
    TradingRange,
)


@dataclass
class Ledger:
    """Bars as lists and the log of one symbol; the stages of a campaign build on it."""

    features: Features

    def __post_init__(self) -> None:
        f = self.features
        self.views: dict[int, View] = {1: view(f, 1), -1: view(f, -1)}
        self.volume_ratio: list[float] = f.volume_ratio.tolist()
        self.spread_ratio: list[float] = f.spread_ratio.tolist()
        self.atr: list[float] = f.atr.tolist()
        self.volume: list[float] = f.volume.tolist()
        self.records: list[Record] = []
        self.ranges: list[TradingRange] = []
        self.current: TradingRange | None = None
        self.candidate: dict[int, int | None] = {1: None, -1: None}
        self.track = Track.empty(len(f))

    def emit(self, record: Record, rng: TradingRange | None = None) -> Record:
        self.records.append(record)
        if rng is not None:
            rng.log[record.event] = record
        return record

    def restate(self, rng: TradingRange, record: Record, t: int, status: str, why: str) -> None:
        """Append a dated record that changes the standing of an earlier one."""
        text = describe(record.event, why)
        self.records.append(replace(record, detected=t, status=status, description=text))
        standing = rng.log.get(record.event)
        if standing is not None and standing.bar == record.bar and status in (FAILED, SUPERSEDED):
            del rng.log[record.event]

    def record(
        self, rng: TradingRange, event: str, bar: int, t: int, evidence: float, facts: str,
        *, gaps: tuple[str, ...] = (), status: str = CONFIRMED, price: float, penalty: int = 0,
        points: dict[str, int] | None = None,
    ) -> Record:  # fmt: skip
        ratio = self.volume_ratio[bar]
        text = facts if math.isnan(ratio) else f"{facts}, volume {ratio:.1f}x"
        return self.emit(
            Record(
                event=event,
                bar=bar,
                detected=t,
                confidence=confidence(BASE[event], evidence, len(gaps) + penalty),
                status=status,
                price=price,
                volume_ratio=None if math.isnan(ratio) else ratio,
                description=describe(event, text, gaps),
                range_id=rng.number,
                points=points or {},
            ),
            rng,
        )

    def close(self, rng: TradingRange, t: int) -> None:
        rng.closed = t
        self.current = None
        self.candidate = {1: None, -1: None}
