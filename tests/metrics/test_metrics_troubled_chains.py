"""Recorded and made chains with known troubles: what is dead, empty, absurd or thin must not reach a number."""

from __future__ import annotations

import json
from datetime import date, timedelta

import polars as pl
import pytest
from metrics_builders import SESSION, bars, cboe_evening, spot_of, stored_chain, stored_row
from recorded_chains import cleaned, lean_session, no_history, yahoo_session

from kapman_metrics.dealer import contract_exposure, dealer_metrics
from kapman_metrics.quality import data_quality, missing_inputs
from kapman_metrics.volatility import volatility_metrics

DEAD_STRIKE = 300.0  # above it NFLX lists only what is left from before its 10:1 split of 2025-11-17
AFTER_SPLIT = date(2025, 12, 4)


def both(chain: pl.DataFrame, spot: pl.DataFrame, session: date) -> dict[str, dict[str, object]]:
    """symbol -> dealer and volatility columns and both documents (`dealer`, `volatility`)."""
    dealer = dealer_metrics(chain, spot, session)
    joined = dealer.join(volatility_metrics(chain, spot, no_history(), session), on="symbol")
    found = {}
    for row in joined.iter_rows(named=True):
        documents = {name: json.loads(row.pop(f"{name}_metrics_json")) for name in ("dealer", "volatility")}
        found[str(row["symbol"])] = row | documents
    return found


def numbers(row: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in row.items() if name not in ("dealer", "volatility")}


@pytest.fixture(scope="module")
def netflix() -> tuple[pl.DataFrame, pl.DataFrame]:
    raw, spot = yahoo_session(AFTER_SPLIT)
    only = pl.col("symbol") == "NFLX"
    return cleaned(raw.filter(only), spot.filter(only), AFTER_SPLIT).chain, spot.filter(only)


def test_dead_strikes_after_netflix_split_reach_no_number(
    netflix: tuple[pl.DataFrame, pl.DataFrame],
) -> None:
    chain, spot = netflix
    dead = chain.filter(pl.col("strike") > DEAD_STRIKE)
    assert dead.height > 3000 and dead["open_interest"].sum() > 400_000
    # a strike of 310 and the like are quoted at a volatility somebody could pay; far more are not
    assert dead.filter(pl.col("is_live")).height < 0.05 * dead.height
    whole = both(chain, spot, AFTER_SPLIT)["NFLX"]
    without = both(chain.filter(pl.col("is_live")), spot, AFTER_SPLIT)["NFLX"]
    assert numbers(whole) == numbers(without)
    assert whole["dealer"]["contracts_excluded"]["not_live"] == chain.height - int(chain["is_live"].sum())
    assert whole["volatility"]["call_oi_not_live"] + whole["volatility"]["put_oi_not_live"] > 400_000


def test_netflix_walls_and_flip_stand_on_the_new_scale(netflix: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    chain, spot = netflix
    price = spot["spot"][0]
    row = both(chain, spot, AFTER_SPLIT)["NFLX"]
    for name in ("call_wall_primary", "put_wall_primary", "gamma_flip_level"):
        assert abs(row[name] / price - 1) <= 0.25, name
    far = contract_exposure(chain, spot, AFTER_SPLIT).filter(pl.col("strike") > DEAD_STRIKE)
    assert far["exposure"].abs().sum() < 1e-6 * row["gex_total"]
    assert row["dealer"]["usability"] == "full"


def test_counting_the_dead_would_have_turned_netflix_put_call_ratio_above_one(
    netflix: tuple[pl.DataFrame, pl.DataFrame],
) -> None:
    chain, spot = netflix
    found = both(chain, spot, AFTER_SPLIT)["NFLX"]
    document = found["volatility"]
    all_puts = document["put_oi"] + document["put_oi_not_live"]
    all_calls = document["call_oi"] + document["call_oi_not_live"]
    assert all_puts / all_calls > 1 > found["put_call_ratio_oi"]


def test_the_eight_recorded_names_give_finite_bounded_numbers_on_every_recorded_day() -> None:
    for day in (date(2025, 11, 25), date(2025, 11, 28), AFTER_SPLIT):
        raw, spot = yahoo_session(day)
        found = both(cleaned(raw, spot, day).chain, spot, day)
        assert len(found) == 8
        for symbol, row in found.items():
            assert row["dealer"]["usability"] == "full", (day, symbol)
            assert abs(row["dgpi"]) <= 100 and abs(row["gex_net"]) <= row["gex_total"], (day, symbol)
            assert 0.1 < row["average_iv"] < 1.0, (day, symbol)
            assert row["call_wall_primary"] >= row["dealer"]["spot"] >= row["put_wall_primary"]


def test_the_half_day_has_fewer_contracts_and_says_so() -> None:
    whole_day, half_day = date(2025, 11, 26), date(2025, 11, 28)
    counts = {}
    for day in (whole_day, half_day):
        raw, spot = yahoo_session(day)
        counts[day] = {s: row["dealer"] for s, row in both(cleaned(raw, spot, day).chain, spot, day).items()}
    for symbol, row in counts[half_day].items():
        assert row["contracts"] < 0.85 * counts[whole_day][symbol]["contracts"], symbol
        assert row["contracts_eligible"] + sum(row["contracts_excluded"].values()) == row["contracts"]


def test_a_stale_copy_of_the_day_before_trades_nothing_and_its_volume_counts_for_nothing() -> None:
    """On Thanksgiving the source served the file of the day before: no contract traded in that session."""
    day = date(2025, 11, 27)
    raw, spot = yahoo_session(day)
    result = cleaned(raw, spot, day)
    assert result.counts["traded_in_session"] == 0
    for row in both(result.chain, spot, day).values():
        assert row["put_call_ratio_volume"] is None
        assert row["volatility"]["call_volume"] == 0.0 and row["volatility"]["put_volume"] == 0.0
        assert row["put_call_ratio_oi"] is not None


@pytest.mark.parametrize("day", [date(2014, 6, 5), date(2014, 6, 9), date(2014, 6, 10)])
def test_apple_across_its_seven_for_one_split_is_measured_on_the_scale_of_its_day(day: date) -> None:
    raw, spot = lean_session("AAPL", day)
    chain = cleaned(raw, spot, day).chain
    price = spot["spot"][0]
    assert (price > 600) == (day < date(2014, 6, 9))
    row = both(chain, spot, day)["AAPL"]
    for name in ("call_wall_primary", "put_wall_primary", "gamma_flip_level"):
        assert abs(row[name] / price - 1) <= 0.25, name
    other_scale = (pl.col("strike") > 3 * price) | (pl.col("strike") < price / 5)
    leftover = contract_exposure(chain, spot, day).filter(other_scale)["exposure"].abs().sum()
    assert leftover < 0.001 * row["gex_total"]


def test_volatilities_of_zero_and_above_two_hundred_percent_stay_out_of_the_average() -> None:
    raw, spot = cboe_evening()
    assert (raw["implied_volatility"] == 0).sum() > 1000 and (raw["implied_volatility"] > 3).sum() > 0
    chain = cleaned(raw, spot, SESSION).chain
    for symbol, row in both(chain, spot, SESSION).items():
        document = row["volatility"]
        assert 0.2 < row["average_iv"] < 1.0, symbol
        out = document["contracts_excluded"]
        assert sum(out.values()) + document["contracts_averaged"] == document["contracts"], symbol
    # the same chains with every odd volatility taken away give the same averages
    odd = ~pl.col("implied_volatility").is_between(0, 2, closed="right").fill_null(False)
    plain = chain.with_columns(implied_volatility=pl.when(~odd).then("implied_volatility"))
    again = both(plain, spot, SESSION)
    for symbol, row in both(chain, spot, SESSION).items():
        assert row["average_iv"] == again[symbol]["average_iv"]


def test_a_volatility_above_three_hundred_percent_is_counted_where_it_fell_out() -> None:
    chain = stored_chain(
        stored_row(strike=100.0),
        stored_row(strike=105.0, implied_volatility=3.4),
        stored_row(strike=95.0, implied_volatility=0.0),
        stored_row(strike=90.0, implied_volatility=None),
    )
    row = both(chain, spot_of(ABC=100.0), SESSION)["ABC"]
    assert row["average_iv"] == pytest.approx(0.3)
    out = row["volatility"]["contracts_excluded"]
    assert (out["iv_too_high"], out["no_iv"]) == (1, 2)


@pytest.mark.parametrize("day", [date(2013, 6, 25), date(2013, 6, 28), date(2013, 7, 2)])
def test_a_thin_name_is_graded_by_its_contracts_and_every_number_is_in_bounds(day: date) -> None:
    raw, spot = lean_session("NWSA", day)
    row = both(cleaned(raw, spot, day).chain, spot, day)["NWSA"]
    assert row["dealer"]["contracts_eligible"] >= 25 and row["dealer"]["usability"] == "full"
    assert abs(row["dgpi"]) <= 100
    assert row["gamma_flip_level"] is None or 0.75 <= row["gamma_flip_level"] / spot["spot"][0] <= 1.25


def test_one_contract_gives_numbers_that_no_rule_may_use() -> None:
    raw, spot = lean_session("AAPL", date(2015, 12, 11))
    row = both(cleaned(raw, spot, date(2015, 12, 11)).chain, spot, date(2015, 12, 11))["AAPL"]
    assert row["dealer"]["usability"] == "invalid" and row["dealer"]["contracts_eligible"] == 1
    assert row["dgpi"] == 100.0 and row["iv_skew_25d"] is None and row["iv_term_structure"] is None


def test_a_chain_whose_gammas_are_all_zero_has_no_pressure_index_instead_of_a_division_by_zero() -> None:
    row = both(stored_chain(stored_row(gamma=0.0)), spot_of(ABC=100.0), SESSION)["ABC"]
    assert (row["gex_total"], row["dgpi"], row["dealer_position"]) == (0.0, None, None)


def test_a_contract_counts_on_its_last_day_and_not_on_the_day_after() -> None:
    chain = stored_chain(stored_row(expiration=SESSION))
    assert both(chain, spot_of(ABC=100.0), SESSION)["ABC"]["dealer"]["contracts_eligible"] == 1
    later = both(chain, spot_of(ABC=100.0), SESSION + timedelta(days=1))["ABC"]["dealer"]
    assert later["contracts_excluded"]["days_to_expiry"] == 1


def test_a_chain_without_greeks_or_volatility_makes_a_snapshot_partial_and_says_which() -> None:
    chain = stored_chain(
        stored_row(symbol="WHOLE"),
        stored_row(symbol="BARE", gamma=None, implied_volatility=None),
        stored_row(symbol="LEVEL", gamma=None),
    )
    prices = pl.concat(bars(symbol, [100.0] * 300) for symbol in ("WHOLE", "BARE", "LEVEL"))
    newest = prices["date"].max()
    missing = missing_inputs(["WHOLE", "BARE", "LEVEL"], prices, chain, newest)
    assert dict(missing.iter_rows()) == {
        "WHOLE": [],
        "BARE": ["no greeks in the chain", "no implied volatility in the chain"],
        "LEVEL": ["no greeks in the chain"],
    }
    quality = dict(data_quality(missing).iter_rows())
    assert quality == {"WHOLE": "complete", "BARE": "partial", "LEVEL": "partial"}
