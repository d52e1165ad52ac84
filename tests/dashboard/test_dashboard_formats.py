"""How numbers, dates and legs are worded, and where the chart puts its labels."""

from __future__ import annotations

import itertools
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from kapman_dashboard import formats
from kapman_dashboard.price_chart import LABEL_STEP, PRICE_BOTTOM, TOP, WIDTH, Level, price_chart


def test_missing_numbers_are_a_dash_whatever_the_format() -> None:
    for show in (
        formats.price,
        formats.percent,
        formats.compact,
        formats.premium,
        formats.whole,
        formats.plain,
    ):
        assert show(None) == show(float("nan")) == "—"


def test_numbers_read_as_a_trader_writes_them() -> None:
    assert formats.price(1234.5) == "1,234.50" and formats.price(0.1234) == "0.1234"
    assert formats.premium(8.35) == "8.35" and formats.premium(4.075) == "4.075"
    assert formats.percent(-0.0123, 1, signed=True) == "\N{MINUS SIGN}1.2 %"
    assert formats.compact(-1.234e9) == "\N{MINUS SIGN}1.23 B" and formats.compact(950) == "950"
    assert formats.plain(292.5) == "292.5" and formats.plain(290.0) == "290"


def test_days_since_are_sessions_and_skip_the_weekend() -> None:
    assert formats.sessions_since("2026-05-01", date(2026, 5, 4)) == 1
    assert formats.sessions_since(date(2026, 5, 4), date(2026, 5, 4)) == 0
    assert formats.sessions_since("2026-05-05", date(2026, 5, 4)) is None
    assert formats.sessions_since("no date", date(2026, 5, 4)) is None


def _bars(closes: list[float]) -> list[dict[str, object]]:
    start = date(2026, 1, 2)
    return [
        {"date": start + timedelta(days=i), "open": c, "high": c, "low": c, "close": c, "volume": 100.0 + i}
        for i, c in enumerate(closes)
    ]


@given(
    closes=st.lists(st.floats(0.0001, 500_000), min_size=2, max_size=150),
    levels=st.lists(st.floats(0.0001, 600_000), max_size=3),
    edges=st.tuples(st.floats(0.0001, 500_000), st.floats(0.0001, 500_000)),
)
def test_everything_in_the_chart_stays_inside_its_frame_and_labels_do_not_touch(
    closes: list[float], levels: list[float], edges: tuple[float, float]
) -> None:
    named = [Level(f"L{i}", "L", value, "flip") for i, value in enumerate(levels)]
    events = [{"type": "SC", "event_date": "2026-01-02", "status": "confirmed", "confidence": 0.5}] * 3
    chart = price_chart(_bars(closes), named, *edges, None, events)
    assert chart is not None
    assert len(chart.levels) + len(chart.outside) == len(levels) + 1
    labels = sorted(item.label_y for item in chart.levels)
    assert all(TOP - 0.2 <= y <= PRICE_BOTTOM + 0.2 for y in labels)
    assert all(b - a >= LABEL_STEP - 0.2 for a, b in itertools.pairwise(labels))
    assert all(0 <= mark.x <= WIDTH and 0 <= mark.y <= PRICE_BOTTOM for mark in chart.marks)
    assert all(TOP - 0.2 <= tick.at <= PRICE_BOTTOM + 0.2 for tick in chart.price_ticks)
    if chart.range_box:
        assert chart.range_box.height > 0 and chart.range_box.width >= 0


def test_a_single_bar_is_no_chart() -> None:
    assert price_chart(_bars([10.0]), [], None, None, None, []) is None
