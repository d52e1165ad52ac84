"""Every number of the dealer, volatility and price columns redone from its JSON document alone, with plain arithmetic.

Nothing here calls a formula of the product: what a reader has is the document and the definitions.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from metrics_builders import SESSION, cboe_evening, random_bars, spot_of, stored_chain, stored_row
from recorded_chains import cleaned

from kapman_metrics.dealer import dealer_metrics
from kapman_metrics.price import price_metrics
from kapman_metrics.volatility import volatility_metrics

Row = dict[str, Any]


def with_document(frame: pl.DataFrame) -> Iterator[tuple[Row, Row]]:
    name = next(column for column in frame.columns if column.endswith("_json"))
    for row in frame.iter_rows(named=True):
        yield row, json.loads(row[name])


@pytest.fixture(scope="module")
def evening() -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Recorded chains of nine names, spots, and a made history of their volatility."""
    raw, spot = cboe_evening()
    rng = np.random.default_rng(5)
    days = [SESSION - timedelta(days=back) for back in range(60, -1, -1)]
    history = pl.concat(
        pl.DataFrame(
            {
                "symbol": [symbol] * len(days),
                "date": days,
                # AAPL's implied history is too short for a rank: its regime comes from realised volatility
                "average_iv": [
                    None if symbol == "AAPL" and k > 10 else v
                    for k, v in enumerate(rng.uniform(0.2, 0.7, len(days)).tolist())
                ],
                "hv_20": rng.uniform(0.2, 0.7, len(days)),
            }
        )
        for symbol in spot["symbol"]
    )
    return cleaned(raw, spot, SESSION).chain, spot, history


@pytest.fixture(scope="module")
def dealers(evening: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]) -> list[tuple[Row, Row]]:
    chain, spot, _ = evening
    return list(with_document(dealer_metrics(chain, spot, SESSION)))


@pytest.fixture(scope="module")
def volatilities(evening: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]) -> list[tuple[Row, Row]]:
    return list(with_document(volatility_metrics(*evening, SESSION)))


# -- dealer -----------------------------------------------------------------------------------------------------------


def strikes_of(document: Row) -> list[Row]:
    return [dict(zip(document["strike_columns"], values, strict=True)) for values in document["strikes"]]


def test_a_dealer_document_names_its_convention_its_inputs_and_its_windows(
    dealers: list[tuple[Row, Row]],
) -> None:
    for row, document in dealers:
        assert document["sign_convention"] == "calls +, puts -"
        assert document["as_of"] == "2026-05-05" and document["spot"] > 0, row["symbol"]
        assert (document["rate"], document["dividend_yield"]) == (0.04, 0.0)
        assert document["windows"]["dte"] == [0, 90]
        counted = document["contracts_eligible"] + sum(document["contracts_excluded"].values())
        assert counted == document["contracts"]


def test_exposure_totals_are_the_sums_of_the_document_s_strikes(dealers: list[tuple[Row, Row]]) -> None:
    for row, document in dealers:
        rows = strikes_of(document)
        calls, puts = sum(r["call_exposure"] for r in rows), sum(r["put_exposure"] for r in rows)
        assert min(r["call_exposure"] for r in rows) >= 0 >= max(r["put_exposure"] for r in rows)
        assert row["gex_total"] == pytest.approx(calls - puts, rel=1e-9)
        assert row["gex_net"] == pytest.approx(calls + puts, abs=1e-9 * row["gex_total"])
        assert document["gex_calls"] == pytest.approx(calls, rel=1e-9)
        assert document["gex_puts"] == pytest.approx(puts, rel=1e-9)


def test_the_pressure_index_and_the_position_are_those_of_the_document_s_strikes(
    dealers: list[tuple[Row, Row]],
) -> None:
    for row, document in dealers:
        spot, width = document["spot"], document["windows"]["proximity_width"]
        near = size = 0.0
        for r in strikes_of(document):
            weight = math.exp(-0.5 * ((r["strike"] / spot - 1) / width) ** 2)
            near += weight * (r["call_exposure"] + r["put_exposure"])
            size += weight * (r["call_exposure"] - r["put_exposure"])
        assert document["dgpi_near_net"] == pytest.approx(near, abs=1e-8 * size)
        assert document["dgpi_near_total"] == pytest.approx(size, rel=1e-8)
        assert row["dgpi"] == document["dgpi"] == pytest.approx(100 * near / size, abs=1e-6)
        limit = document["windows"]["neutral_dgpi"]
        expected = (
            "neutral" if abs(row["dgpi"]) < limit else "long_gamma" if row["dgpi"] > 0 else "short_gamma"
        )
        assert row["dealer_position"] == document["dealer_position"] == expected
        net = document["gex_net"]
        older = math.copysign(min(10 * math.log10(abs(net) + 1), 100), net)
        assert document["dgpi_log"] == pytest.approx(older)


def test_walls_are_the_strikes_of_the_document_with_the_most_open_interest_and_exposure(
    dealers: list[tuple[Row, Row]],
) -> None:
    for row, document in dealers:
        spot, reach = document["spot"], document["windows"]["wall_reach"]
        for kind, sign in (("call", 1), ("put", -1)):
            side = [
                r
                for r in strikes_of(document)
                if 0 <= sign * (r["strike"] / spot - 1) <= reach and r[f"{kind}_oi"] > 0
            ]
            by_oi = sorted(side, key=lambda r: (-r[f"{kind}_oi"], abs(r["strike"] - spot)))
            found = [(w["strike"], w["open_interest"]) for w in document[f"{kind}_walls"]]
            assert found == [(r["strike"], r[f"{kind}_oi"]) for r in by_oi[:3]]
            assert (row[f"{kind}_wall_primary"], row[f"{kind}_wall_primary_oi"]) == found[0]
            strongest = max(side, key=lambda r: abs(r[f"{kind}_exposure"]))
            assert document[f"{kind}_wall_by_exposure"]["strike"] == strongest["strike"]
            assert document[f"{kind}_wall_by_exposure"]["exposure"] == pytest.approx(
                abs(strongest[f"{kind}_exposure"]), rel=1e-9
            )


def test_the_flip_is_where_the_document_s_profile_crosses_zero_nearest_to_spot(
    dealers: list[tuple[Row, Row]],
) -> None:
    for row, document in dealers:
        profile, spot = document["gamma_flip_profile"], document["spot"]
        net = np.array(profile["net_exposure"])
        prices = np.linspace(profile["from"], profile["to"], len(net))
        at = np.flatnonzero(np.sign(net[:-1]) != np.sign(net[1:]))
        assert at.size, row["symbol"]
        crossings = prices[at] - net[at] * np.diff(prices)[at] / np.diff(net)[at]
        nearest = crossings[np.abs(crossings - spot).argmin()]
        assert row["gamma_flip_level"] == document["gamma_flip_level"]
        assert row["gamma_flip_level"] == pytest.approx(nearest, rel=2e-4), row["symbol"]


def test_at_spot_the_profile_is_close_to_the_net_exposure_of_the_vendor_s_own_gamma(
    dealers: list[tuple[Row, Row]],
) -> None:
    for row, document in dealers:
        profile = document["gamma_flip_profile"]["net_exposure"]
        assert profile[len(profile) // 2] == pytest.approx(row["gex_net"], abs=0.15 * row["gex_total"])


def test_the_ladder_crossing_is_where_the_running_sum_of_the_document_s_strikes_turns(
    dealers: list[tuple[Row, Row]],
) -> None:
    for row, document in dealers:
        running, turns, before = 0.0, [], 0.0
        for r in strikes_of(document):
            before, running = running, running + r["call_exposure"] + r["put_exposure"]
            if before * running < 0:
                turns.append(r["strike"])
        expected = min(turns, key=lambda strike: abs(strike - document["spot"]), default=None)
        assert document["gamma_flip_strike"] == expected, row["symbol"]


def test_a_flip_can_be_redone_to_the_last_digit_from_one_contract_on_each_side() -> None:
    """Two contracts whose inputs stand in the test: gamma by the textbook formula at the stored flip balances."""
    chain = stored_chain(
        stored_row(strike=92.0, option_type="put", open_interest=150.0, implied_volatility=0.35),
        stored_row(strike=109.0, open_interest=100.0, implied_volatility=0.28),
    )
    ((row, document),) = with_document(dealer_metrics(chain, spot_of(ABC=100.0), SESSION))
    years = 30 / document["days_per_year"]

    def size(price: float, strike: float, iv: float, held: float) -> float:
        deviation = iv * math.sqrt(years)
        carry = (document["rate"] - document["dividend_yield"] + iv * iv / 2) * years
        d1 = (math.log(price / strike) + carry) / deviation
        gamma = math.exp(-d1 * d1 / 2) / (math.sqrt(2 * math.pi) * price * deviation)
        return gamma * held * 100 * price**2 * 0.01

    flip = row["gamma_flip_level"]
    assert size(flip, 109.0, 0.28, 100) == pytest.approx(size(flip, 92.0, 0.35, 150), rel=1e-11)


# -- volatility -------------------------------------------------------------------------------------------------------


def test_the_average_is_the_quotient_of_its_stored_sums_and_every_contract_is_accounted_for(
    volatilities: list[tuple[Row, Row]],
) -> None:
    for row, document in volatilities:
        assert row["average_iv"] == document["averaged_iv_x_oi"] / document["averaged_oi"]
        out = document["contracts_excluded"]
        assert document["contracts_averaged"] + sum(out.values()) == document["contracts"]
        assert document["filter"] == {"dte_min": 7, "iv_max": 2.0, "moneyness_max": 0.2}
        assert document["as_of"] == "2026-05-05" and document["spot"] > 0


def at_tenor(curve: list[tuple[int, float]], tenor: int) -> float:
    days, values = zip(*curve, strict=True)
    return float(np.interp(tenor, days, values))


def test_skew_is_interpolated_from_the_expiries_in_the_document(volatilities: list[tuple[Row, Row]]) -> None:
    for row, document in volatilities:
        parts = document["skew"]["by_expiry"]
        assert [days for days, _, _ in parts] == document["skew"]["dte_used"]
        put = at_tenor([(days, put) for days, put, _ in parts], document["windows"]["near_tenor"])
        call = at_tenor([(days, call) for days, _, call in parts], document["windows"]["near_tenor"])
        assert row["iv_skew_25d"] == pytest.approx(put - call, abs=1e-12)


def test_term_structure_is_interpolated_from_the_expiries_in_the_document(
    volatilities: list[tuple[Row, Row]],
) -> None:
    for row, document in volatilities:
        curve = document["term_structure"]["by_expiry"]
        slope = at_tenor(curve, document["windows"]["far_tenor"]) - at_tenor(curve, 30)
        assert row["iv_term_structure"] == pytest.approx(slope, abs=1e-12)


def test_ratios_are_the_quotients_of_the_document_s_sides(volatilities: list[tuple[Row, Row]]) -> None:
    for row, document in volatilities:
        assert row["put_call_ratio_oi"] == document["put_oi"] / document["call_oi"]
        assert row["put_call_ratio_volume"] == document["put_volume"] / document["call_volume"]


def test_rank_percentile_and_regime_follow_from_the_stored_standing(
    volatilities: list[tuple[Row, Row]],
) -> None:
    sources = set()
    for row, document in volatilities:
        past = document["iv_history"]
        assert past["value"] == row["average_iv"]
        if past["sessions"] < document["windows"]["shortest_history"]:
            assert row["iv_rank"] is None and row["iv_percentile"] is None
            judged, past = document["hv_history"]["percentile"], document["hv_history"]
        else:
            span = past["highest"] - past["lowest"]
            rank = 100 * (row["average_iv"] - past["lowest"]) / span
            assert row["iv_rank"] == pytest.approx(min(max(rank, 0), 100))
            assert row["iv_percentile"] == pytest.approx(100 * past["below"] / past["sessions"])
            judged = row["iv_percentile"]
        assert document["regime_percentile"] == judged == 100 * (past["below"] / past["sessions"])
        limits = ((25, "low"), (75, "normal"), (95, "high"), (101, "extreme"))
        assert row["volatility_regime"] == next(name for limit, name in limits if judged < limit)
        sources.add(document["regime_from"])
    assert sources == {"average_iv", "hv_20"}


# -- price ------------------------------------------------------------------------------------------------------------


def test_price_numbers_are_redone_from_the_closes_and_volumes_in_the_document() -> None:
    frame = random_bars(5, 260, seed=11)
    for row, document in with_document(price_metrics(frame, frame["date"].max())):
        volumes, closes = document["volumes_before"], document["closes"]
        assert len(volumes) == 20 and len(closes) == 61
        assert row["rvol"] == pytest.approx(document["volume"] / statistics.fmean(volumes), rel=1e-12)
        surge = (document["volume"] - statistics.fmean(volumes)) / statistics.pstdev(volumes)
        assert row["vsi"] == pytest.approx(surge, rel=1e-9)
        returns = [math.log(b / a) for a, b in pairwise(closes)]
        year = document["windows"]["sessions_per_year"]
        for sessions in document["windows"]["hv_sessions"]:
            deviation = statistics.pstdev(returns[-sessions:])
            assert row[f"hv_{sessions}"] == pytest.approx(deviation * math.sqrt(year), rel=1e-10)
        assert closes[-1] == document["close"]
        for sessions in (20, 50):
            mean = statistics.fmean(closes[-sessions:])
            assert document[f"sma_{sessions}"] == pytest.approx(mean, rel=1e-12)
        for sessions in document["windows"]["sma_sessions"]:
            distance = document["close"] / document[f"sma_{sessions}"] - 1
            assert row[f"price_vs_sma{sessions}"] == pytest.approx(distance, rel=1e-9, abs=1e-15)


def test_a_short_history_stores_the_closes_it_has() -> None:
    frame = random_bars(1, 15, seed=3)
    ((row, document),) = with_document(price_metrics(frame, frame["date"].max()))
    assert document["closes"] == frame["close"].to_list() and len(document["volumes_before"]) == 14
    assert row["rvol"] is None and row["hv_20"] is None and document["sma_20"] is None
