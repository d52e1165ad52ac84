"""From a vendor's raw rows to good bars: every fault has its reason, and the day goes on without its row."""

from __future__ import annotations

import math
from datetime import date
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kapman_metrics.bars import clean_bars
from kapman_resources.market_data.protocol import RAW_BAR_SCHEMA

SESSION = date(2026, 5, 5)
GOOD: dict[str, Any] = {
    "symbol": "AAPL", "open": 10.0, "high": 11.0, "low": 9.0, "close": 10.5, "volume": 0.25, "vwap": None,
    "session": SESSION,
}  # fmt: skip


def raw(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([GOOD | row for row in rows], schema=RAW_BAR_SCHEMA)


def test_a_good_row_is_a_bar_and_a_fractional_or_zero_volume_is_good() -> None:
    clean = clean_bars(raw({}, {"symbol": "NA", "volume": 0.0}, {"symbol": "TRUE", "vwap": 10.2}), SESSION)
    assert clean.rejected.height == 0
    assert clean.bars["symbol"].to_list() == ["AAPL", "NA", "TRUE"]
    assert clean.bars.row(0) == ("AAPL", 10.0, 11.0, 9.0, 10.5, 0.25, None)
    assert clean.bars["vwap"].to_list() == [None, None, 10.2]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"symbol": None}, "symbol is not a ticker"),
        ({"symbol": "A B"}, "symbol is not a ticker"),
        ({"symbol": "A\x01"}, "symbol is not a ticker"),
        ({"symbol": "1A"}, "symbol is not a ticker"),
        ({"symbol": "A" * 21}, "symbol is not a ticker"),
        ({"symbol": "A\nB"}, "symbol is not a ticker"),
        ({"symbol": "ZVZZT"}, "exchange test symbol"),
        ({"session": date(2026, 5, 4)}, "belongs to another session"),
        ({"session": None}, "belongs to another session"),
        ({"open": None}, "price is missing or not a number"),
        ({"close": math.nan}, "price is missing or not a number"),
        ({"high": math.inf}, "price is missing or not a number"),
        ({"low": 0.0}, "price is not above zero"),
        ({"open": -1.0}, "price is not above zero"),
        ({"high": 10.4}, "high is below open or close"),
        ({"low": 10.1}, "low is above open or close"),
        ({"volume": None}, "volume is missing or not a number"),
        ({"volume": math.nan}, "volume is missing or not a number"),
        ({"volume": math.inf}, "volume is missing or not a number"),
        ({"volume": -1.0}, "volume is negative"),
    ],
)
def test_each_fault_is_rejected_with_its_reason_and_the_values_seen(
    fault: dict[str, Any], reason: str
) -> None:
    clean = clean_bars(raw(fault, {"symbol": "MSFT"}), SESSION)
    assert clean.bars["symbol"].to_list() == ["MSFT"]
    assert clean.rejected["reason"].to_list() == [reason]
    detail = clean.rejected["detail"][0]
    assert "open=" in detail and "session=" in detail
    if None in fault.values() and "symbol" not in fault:
        assert "missing" in detail


def test_of_rows_with_the_same_symbol_the_last_good_one_is_kept() -> None:
    clean = clean_bars(raw({"close": 10.1}, {"close": 10.2}, {"close": -1.0}), SESSION)
    assert clean.bars["close"].to_list() == [10.2]
    assert sorted(clean.rejected["reason"]) == ["duplicate of a later row", "price is not above zero"]


def test_a_file_without_rows_gives_no_bars_and_no_rejects() -> None:
    clean = clean_bars(raw(), SESSION)
    assert (clean.bars.height, clean.rejected.height) == (0, 0)


odd = st.floats(allow_nan=True, allow_infinity=True) | st.none()


def mostly(*values: float) -> st.SearchStrategy[float | None]:
    return st.integers(0, 9).flatmap(lambda n: odd if n == 0 else st.sampled_from(values))


ROWS = st.fixed_dictionaries(
    {
        "symbol": st.sampled_from(["A", "B", "NA", "A B", None]),
        "open": mostly(10.0),
        "high": mostly(10.0, 11.0),
        "low": mostly(9.0, 10.0),
        "close": mostly(9.5, 10.0),
        "volume": mostly(0.0, 0.5),
        "vwap": odd | st.sampled_from([math.nan, math.inf, 0.0, 10.0]),
        "session": st.sampled_from([SESSION, SESSION, None]),
    }
)


@given(st.lists(ROWS, max_size=12))
def test_no_row_is_lost_and_no_bar_contradicts_itself(rows: list[dict[str, Any]]) -> None:
    clean = clean_bars(pl.DataFrame(rows, schema=RAW_BAR_SCHEMA), SESSION)
    assert clean.bars.height + clean.rejected.height == len(rows)
    assert clean.bars["symbol"].is_unique().all()
    for bar in clean.bars.iter_rows(named=True):
        assert (
            0 < bar["low"] <= min(bar["open"], bar["close"]) <= max(bar["open"], bar["close"]) <= bar["high"]
        )
        assert bar["high"] < math.inf and 0 <= bar["volume"] < math.inf
        assert bar["vwap"] is None or 0 < bar["vwap"] < math.inf
