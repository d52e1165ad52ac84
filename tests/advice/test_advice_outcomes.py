"""What became of an advice, worked by hand: entries, exits, gaps, splits, options, missing prices."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest
from advice_builders import SESSION, bars_of, context_of
from hypothesis import given, settings
from hypothesis import strategies as st

from kapman_advice.decision import advice_record
from kapman_advice.outcomes import Outcome, due_horizons, evaluate
from kapman_advice.rules import decide

NEXT = SESSION + timedelta(days=1)  # a Wednesday
CALL = "O:ABC260619C00100000"
NO_PRICES = pl.DataFrame(
    schema={"contract": pl.String, "date": pl.Date, "price": pl.Float64, "price_source": pl.String}
)


def advice_of(**changes):
    """LONG ABC at 100, stop 96, target 110, one bought call at 4.40, 45 days, expected move 10.53."""
    row = {
        "symbol": "ABC",
        "recommendation_date": SESSION,
        "direction": "LONG",
        "confidence": 0.7,
        "p_direction": 0.6,
        "spot": 100.0,
        "stop_loss": 96.0,
        "profit_target": 110.0,
        "expected_move": 10.53,
        "dte": 45,
        "max_loss": 440.0,
        "legs": [
            {
                "contract": CALL,
                "expiration": SESSION + timedelta(days=45),
                "strike": 100.0,
                "option_type": "call",
                "side": "buy",
                "quantity": 1,
                "price": 4.4,
                "shares_per_contract": 100.0,
            }
        ],
    }
    return row | changes


def prices_of(*rows):
    return pl.DataFrame(list(rows), schema=NO_PRICES.schema, orient="row")


def last_day(bars: pl.DataFrame) -> date:
    return bars["date"].max()


def run(
    bars: pl.DataFrame, prices: pl.DataFrame = NO_PRICES, as_of: date | None = None, **changes
) -> list[Outcome]:
    return evaluate(advice_of(**changes), bars, prices, as_of or last_day(bars))


QUIET = [
    (101, 102, 100, 101),
    (101, 103, 100, 102),
    (102, 104, 101, 103),
    (103, 105, 102, 104),
    (104, 107, 99, 106),
]


def test_a_horizon_is_due_on_its_session_and_on_no_other():
    bars = bars_of(NEXT, *QUIET, (106, 107, 105, 106))
    days = bars["date"].to_list()
    due = [[item.horizon for item in run(bars, as_of=day)] for day in days]
    assert due == [[], [], [], [], ["5"], []]
    assert due_horizons(SESSION, 20) == (20,) and due_horizons(SESSION, 21) == ()
    with pytest.raises(ValueError, match="sessions_since is -1"):
        due_horizons(SESSION, -1)


def test_five_sessions_later_by_hand():
    bars = bars_of(NEXT, *QUIET)
    prices = prices_of((CALL, last_day(bars), 8.15, "day_close"))
    (five,) = run(bars, prices)
    assert (five.entry_date, five.entry_price_actual, five.exit_price_actual) == (NEXT, 101.0, 106.0)
    assert five.underlying_return == pytest.approx(106 / 101 - 1)
    assert five.direction_correct is True
    assert five.directional_brier == pytest.approx(0.16)  # (0.6 - 1)^2
    assert five.option_pnl == pytest.approx(375.0)  # (8.15 - 4.40) x 100
    assert five.option_return == pytest.approx(375 / 440)
    assert five.option_price_source == "day_close"
    assert five.max_favorable == pytest.approx(107 / 101 - 1)
    assert five.max_adverse == pytest.approx(1 - 99 / 101)
    # 7 calendar days of 45: 10.53 % x sqrt(7 / 45) = 4.15 %; half of it is less than the 4.95 % made
    assert five.expected_move == pytest.approx(0.1053 * (7 / 45) ** 0.5)
    assert five.outcome_status == "WIN"
    assert (five.direction_score, five.profitability_score) == (1.0, 1.0)
    assert five.timing_score == pytest.approx(6 / (6 + 2))
    assert five.success_score_v1 == pytest.approx((1 + 1 + 0.75) / 3)
    assert five.missing == ()


def test_a_move_smaller_than_half_the_expected_one_is_neutral_and_a_larger_loss_is_a_loss():
    small = bars_of(NEXT, *QUIET[:4], (104, 107, 99, 102))
    assert run(small)[0].outcome_status == "NEUTRAL"
    down = bars_of(NEXT, *QUIET[:4], (104, 107, 96.5, 97))
    (loss,) = run(down)
    assert (loss.outcome_status, loss.direction_correct) == ("LOSS", False)
    assert loss.directional_brier == pytest.approx(0.36)


def test_a_missing_option_price_is_reported_and_never_filled_in():
    bars = bars_of(NEXT, *QUIET)
    yesterday = prices_of((CALL, bars["date"][3], 7.0, "day_close"), ("O:OTHER", last_day(bars), 9.0, "mid"))
    (five,) = run(bars, yesterday)
    assert five.option_pnl is None and five.profitability_score is None
    assert f"option price of {CALL} at {last_day(bars)}" in five.missing
    assert "success part profitability" in five.missing
    assert five.success_score_v1 == pytest.approx((1 + 0.75) / 2)


def test_a_spread_is_one_trade_and_needs_both_prices():
    other = "O:ABC260619C00105000"
    first = advice_of()["legs"][0]
    legs = [first, first | {"contract": other, "strike": 105.0, "side": "sell", "price": 2.3}]
    bars = bars_of(NEXT, *QUIET)
    day = last_day(bars)
    (both,) = run(
        bars, prices_of((CALL, day, 8.0, "mid"), (other, day, 4.5, "mid")), legs=legs, max_loss=210.0
    )
    assert both.option_pnl == pytest.approx(140.0)  # (8.0 - 4.5) - (4.4 - 2.3), times 100
    assert both.option_return == pytest.approx(140 / 210)
    (half,) = run(bars, prices_of((CALL, day, 8.0, "mid")), legs=legs)
    assert half.option_pnl is None and f"option price of {other} at {day}" in half.missing


def test_a_midpoint_is_preferred_where_both_prices_are_stored():
    bars = bars_of(NEXT, *QUIET)
    day = last_day(bars)
    (five,) = run(bars, prices_of((CALL, day, 9.0, "day_close"), (CALL, day, 8.0, "mid")))
    assert (five.option_pnl, five.option_price_source) == (pytest.approx(360.0), "mid")


# Exits


def the_exit(bars: pl.DataFrame, **changes) -> tuple[str, date, float]:
    """Walks the sessions one by one; the exit must be reported exactly once."""
    found = [
        item for day in bars["date"] for item in run(bars, as_of=day, **changes) if item.horizon == "exit"
    ]
    assert len(found) == 1
    return found[0].exit_reason, found[0].exit_date, found[0].exit_price_actual


def test_a_stop_touched_within_the_bar_exits_at_the_stop():
    bars = bars_of(NEXT, (101, 102, 100, 101), (99, 100, 95, 98), (98, 112, 97, 111))
    assert the_exit(bars) == ("stop", bars["date"][1], 96.0)


def test_a_gap_through_the_stop_exits_at_the_open_and_not_at_the_stop():
    bars = bars_of(NEXT, (101, 102, 100, 101), (90, 97, 88, 95))
    assert the_exit(bars) == ("stop", bars["date"][1], 90.0)


def test_a_gap_over_the_target_exits_at_the_better_open_even_if_the_stop_is_touched_later_that_day():
    bars = bars_of(NEXT, (101, 102, 100, 101), (113, 114, 95, 96))
    assert the_exit(bars) == ("target", bars["date"][1], 113.0)


def test_a_bar_that_holds_both_levels_counts_as_stopped():
    bars = bars_of(NEXT, (101, 102, 100, 101), (101, 111, 95, 105))
    assert the_exit(bars) == ("stop", bars["date"][1], 96.0)


def test_the_first_touch_decides_whatever_comes_later():
    bars = bars_of(NEXT, (101, 110, 100, 109), (96, 97, 90, 91))
    assert the_exit(bars) == ("target", bars["date"][0], 110.0)


def test_an_entry_that_opens_through_its_stop_exits_there_with_nothing_gained():
    bars = bars_of(NEXT, (94, 99, 93, 98))
    (exit_,) = run(bars)
    assert (exit_.exit_reason, exit_.exit_price_actual, exit_.underlying_return) == ("stop", 94.0, 0.0)
    assert exit_.direction_correct is False and exit_.outcome_status == "NEUTRAL"


def test_a_short_advice_mirrors_stop_target_gap_and_excursions():
    short = {"direction": "SHORT", "stop_loss": 104.0, "profit_target": 90.0}
    gap = bars_of(NEXT, (99, 100, 98, 99), (108, 109, 105, 106))
    assert the_exit(gap, **short) == ("stop", gap["date"][1], 108.0)
    hit = bars_of(NEXT, (99, 100, 98, 99), (98, 99, 89, 91))
    assert the_exit(hit, **short) == ("target", hit["date"][1], 90.0)
    exit_ = run(hit, **short)[-1]
    assert exit_.direction_correct is True and exit_.underlying_return == pytest.approx(90 / 99 - 1)
    assert exit_.max_favorable == pytest.approx(1 - 90 / 99)  # the low of 89 came with or after the exit


def test_timing_is_one_after_the_target_and_nought_after_the_stop():
    assert run(bars_of(NEXT, (101, 111, 100, 110)))[0].timing_score == 1.0
    assert run(bars_of(NEXT, (101, 102, 95, 96)))[0].timing_score == 0.0


def test_expiry_ends_the_trade_at_its_intrinsic_value():
    legs = [advice_of()["legs"][0] | {"expiration": NEXT + timedelta(days=1)}]
    bars = bars_of(NEXT, (101, 103, 100, 102), (102, 108, 101, 107.5), (107, 108, 106, 107))
    assert the_exit(bars, legs=legs) == ("expiry", bars["date"][1], 107.5)
    exit_ = run(bars, as_of=bars["date"][1], legs=legs)[-1]
    assert exit_.option_pnl == pytest.approx((7.5 - 4.4) * 100)
    assert exit_.option_price_source == "expiry_intrinsic"


def test_an_expiry_on_a_holiday_settles_at_the_session_before_it():
    saturday = NEXT + timedelta(days=3)
    legs = [advice_of()["legs"][0] | {"expiration": saturday}]
    bars = bars_of(NEXT, (101, 103, 100, 102), (102, 104, 101, 103), (103, 105, 102, 104), (90, 91, 80, 85))
    assert the_exit(bars, legs=legs) == ("expiry", bars["date"][2], 104.0)


def test_after_expiry_a_horizon_still_judges_the_direction_but_claims_no_option_price():
    legs = [advice_of()["legs"][0] | {"expiration": NEXT}]
    bars = bars_of(NEXT, *QUIET)
    (five,) = run(bars, prices_of((CALL, last_day(bars), 8.0, "mid")), legs=legs)
    assert five.horizon == "5" and five.direction_correct is True
    assert five.option_pnl is None and any("expired on" in told for told in five.missing)


# Splits, halts, look-ahead


def test_a_later_split_is_undone_so_that_entry_and_levels_compare():
    bars = bars_of(SESSION, (100, 100, 100, 100), *QUIET)
    adjusted = bars.with_columns(pl.col("open", "high", "low", "close") / 4, pl.col("volume") * 4)
    (five,) = run(adjusted, split_factor=4.0)
    (plain,) = run(bars)
    assert (five.entry_price_actual, five.exit_price_actual) == (101.0, 106.0)
    assert five.underlying_return == pytest.approx(plain.underlying_return)
    assert five.option_pnl is None
    assert "option price: the contracts were adjusted by a split" in five.missing


def test_a_forgotten_split_factor_is_noticed_instead_of_reported_as_a_crash():
    bars = bars_of(SESSION, (100, 100, 100, 100), *QUIET)
    adjusted = bars.with_columns(pl.col("open", "high", "low", "close") / 4)
    (five,) = run(adjusted)
    assert five.outcome_status is None and five.entry_price_actual is None
    assert "give split_factor" in five.missing[0]


def test_a_halt_on_the_entry_session_is_reported_when_the_exchange_sessions_are_given():
    bars = bars_of(NEXT, *QUIET)
    sessions = bars["date"].to_list()
    (five,) = evaluate(advice_of(), bars[1:], NO_PRICES, sessions[-1], sessions=sessions)
    assert five.horizon == "5" and five.entry_price_actual is None and five.direction_correct is None
    assert five.missing == (f"underlying open of {sessions[0]}",)


def test_a_halt_on_the_horizon_itself_is_reported_too():
    bars = bars_of(NEXT, *QUIET)
    sessions = bars["date"].to_list()
    (five,) = evaluate(advice_of(), bars[:-1], NO_PRICES, sessions[-1], sessions=sessions)
    assert five.exit_price_actual is None and five.missing == (f"underlying close of {sessions[-1]}",)


def test_a_neutral_advice_and_one_without_a_later_session_have_no_outcome():
    bars = bars_of(NEXT, *QUIET)
    assert run(bars, direction="NEUTRAL") == []
    assert run(bars_of(SESSION, (100, 101, 99, 100))) == []


def test_without_an_expected_move_no_win_or_loss_is_claimed():
    (five,) = run(bars_of(NEXT, *QUIET), expected_move=None)
    assert five.outcome_status is None and "expected move" in five.missing


bar = st.tuples(st.floats(80, 120), st.floats(0, 8), st.floats(0, 8), st.floats(0, 1)).map(
    lambda t: (t[0], t[0] + t[1], t[0] - t[2], t[0] - t[2] + t[3] * (t[1] + t[2]))
)


@settings(max_examples=60, deadline=None)
@given(st.lists(bar, min_size=1, max_size=24), st.sampled_from(["LONG", "SHORT"]))
def test_nothing_after_the_evaluation_date_changes_an_outcome_and_each_is_reported_once(rows, direction):
    levels = {"LONG": (96.0, 110.0), "SHORT": (110.0, 90.0)}[direction]
    changes = {"direction": direction, "stop_loss": levels[0], "profit_target": levels[1]}
    bars = bars_of(NEXT, *rows)
    seen = []
    for index, day in enumerate(bars["date"]):
        full, cut = run(bars, as_of=day, **changes), run(bars[: index + 1], as_of=day, **changes)
        assert full == cut
        seen += full
    assert len({item.horizon for item in seen}) == len(seen)
    for item in seen:
        assert item.max_favorable >= 0 and item.max_adverse >= 0
        assert 0 <= item.success_score_v1 <= 1


def test_a_decision_of_the_rules_can_be_evaluated_from_its_record():
    context = context_of()
    record = advice_record(decide(context), context)
    bars = bars_of(SESSION, (99, 101, 98, 100), *QUIET)
    (five,) = evaluate(record, bars, prices_of((CALL, last_day(bars), 8.15, "day_close")), last_day(bars))
    assert record["legs"][0]["contract"] == CALL
    assert (five.option_pnl, five.outcome_status) == (pytest.approx(375.0), "WIN")
    assert five.p_direction == 0.5 and five.directional_brier == 0.25
