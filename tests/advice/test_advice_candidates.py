"""Candidates are trades that exist in the chain, with a price of this session and honest limits."""

from __future__ import annotations

import os
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from advice_builders import CHAIN_SCHEMA, SESSION, chain_of, contract, full_chain, snapshot_of
from hypothesis import given, settings
from hypothesis import strategies as st

from kapman_advice.candidates import STRATEGIES, Candidate, CandidateSet, enumerate_candidates


def only(structure: str, found: CandidateSet) -> Candidate:
    matches = [item for item in found.candidates if item.structure == structure]
    assert matches, f"no {structure} among {[item.structure for item in found.candidates]}"
    return matches[0]


def enumerate_full(**changes) -> CandidateSet:
    return enumerate_candidates(full_chain(), snapshot_of(**changes), SESSION)


def test_all_four_strategies_are_offered_with_positional_ids_best_first():
    found = enumerate_full()
    assert {item.strategy for item in found.candidates} == set(STRATEGIES)
    assert [item.candidate_id for item in found.candidates] == [
        f"C{index:02d}" for index in range(1, len(found.candidates) + 1)
    ]
    assert [item.score for item in found.candidates] == sorted(
        (item.score for item in found.candidates), reverse=True
    )


def test_a_long_call_risks_its_premium_and_breaks_even_above_its_strike():
    chain = chain_of(contract(100.0, "call", 0.54, 4.4))
    (call,) = enumerate_candidates(chain, snapshot_of(), SESSION).candidates
    assert (call.strategy, call.direction, call.net_debit) == ("LONG_CALL", "LONG", 4.4)
    assert (call.breakeven, call.max_loss, call.max_gain) == (104.4, 440.0, None)
    assert call.expected_move == pytest.approx(100 * 0.30 * (45 / 365) ** 0.5)
    (leg,) = call.legs
    assert (leg.side, leg.price_source, leg.price_session) == ("buy", "day_close", SESSION)


def test_a_long_put_and_a_cash_secured_put_by_hand():
    puts = chain_of(contract(100.0, "put", -0.48, 4.0), contract(90.0, "put", -0.25, 1.0))
    found = enumerate_candidates(puts, snapshot_of(), SESSION)
    bought, sold = only("long_put", found), only("cash_secured_put", found)
    assert (bought.direction, bought.breakeven, bought.max_loss, bought.max_gain) == (
        "SHORT",
        96.0,
        400.0,
        9600.0,
    )
    assert (sold.direction, sold.breakeven, sold.max_loss, sold.max_gain) == ("LONG", 89.0, 8900.0, 100.0)
    assert sold.net_debit == -1.0 and sold.legs[0].side == "sell"


def test_a_debit_and_a_credit_vertical_by_hand():
    found = enumerate_candidates(
        chain_of(contract(100.0, "call", 0.55, 4.4), contract(105.0, "call", 0.30, 2.3)),
        snapshot_of(),
        SESSION,
    )
    debit = only("bull_call", found)
    assert [(leg.side, leg.strike) for leg in debit.legs] == [("buy", 100.0), ("sell", 105.0)]
    assert (debit.net_debit, debit.breakeven, debit.max_loss, debit.max_gain) == (2.1, 102.1, 210.0, 290.0)

    found = enumerate_candidates(
        chain_of(contract(95.0, "put", -0.30, 2.1), contract(90.0, "put", -0.12, 1.0)),
        snapshot_of(),
        SESSION,
    )
    credit = only("bull_put", found)
    assert [(leg.side, leg.strike) for leg in credit.legs] == [("sell", 95.0), ("buy", 90.0)]
    assert (credit.net_debit, credit.breakeven, credit.max_loss, credit.max_gain) == (
        -1.1,
        93.9,
        390.0,
        110.0,
    )
    assert credit.direction == "LONG"


def test_a_quote_gives_the_midpoint_and_its_name():
    chain = chain_of(contract(100.0, "call", 0.54, 9.9, bid=4.3, ask=4.5, last_session=None, volume=None))
    (call,) = enumerate_candidates(chain, snapshot_of(), SESSION).candidates
    assert (call.legs[0].price, call.legs[0].price_source) == ((4.3 + 4.5) / 2, "mid")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"is_standard": False}, "no standard, live contract"),
        ({"is_live": False}, "no standard, live contract"),
        ({"expiration": SESSION + timedelta(days=29)}, "no standard, live contract"),
        ({"expiration": SESSION + timedelta(days=91)}, "no standard, live contract"),
        ({"open_interest": 99.0}, "open interest below 100"),
        ({"open_interest": None}, "open interest missing"),
        ({"delta": None}, "delta missing"),
        ({"delta": float("nan")}, "delta missing"),
        ({"bid": 3.0, "ask": 5.0}, "quoted wider than 15%"),
        ({"bid": 0.0, "ask": 0.05}, "quoted wider than 15%"),
        ({"bid": 4.5, "ask": 4.3}, "quoted wider than 15%"),
        ({"last_session": SESSION - timedelta(days=1)}, "no quote and no trade in this session"),
        ({"last_session": SESSION + timedelta(days=1)}, "no quote and no trade in this session"),
        ({"volume": None}, "no quote and no trade in this session"),
        ({"close": None}, "no quote and no trade in this session"),
        ({"close": 0.04}, "price below $0.05"),
        ({"close": 101.0}, "price outside the no-arbitrage bounds"),
        ({"strike": 90.0, "close": 9.0}, "price outside the no-arbitrage bounds"),
    ],
)
def test_what_cannot_be_traded_is_no_candidate_and_the_reason_is_given(changes, reason):
    row = contract(100.0, "call", 0.54, 4.4) | changes
    found = enumerate_candidates(chain_of(row), snapshot_of(), SESSION)
    assert found.candidates == ()
    assert any(reason in told for told in found.reasons), found.reasons


def test_a_contract_at_the_edges_of_the_band_is_a_candidate():
    for days in (30, 90):
        row = contract(100.0, "call", 0.54, 4.4, expiration=SESSION + timedelta(days=days))
        assert enumerate_candidates(chain_of(row), snapshot_of(), SESSION).candidates


def test_without_a_chain_or_a_close_the_reason_names_symbol_and_session():
    nothing = enumerate_candidates(pl.DataFrame(schema=CHAIN_SCHEMA), snapshot_of(), SESSION)
    assert nothing.reasons == (f"no chain stored for ABC at {SESSION}",)
    other = enumerate_candidates(full_chain(), snapshot_of(symbol="XYZ"), SESSION)
    assert other.reasons == (f"no chain stored for XYZ at {SESSION}",)
    assert enumerate_full(spot=None).reasons == (f"no closing price of ABC at {SESSION}",)


def test_a_single_expiry_and_a_missing_strategy_are_named():
    found = enumerate_candidates(chain_of(contract(100.0, "call", 0.54, 4.4)), snapshot_of(), SESSION)
    assert any(reason.startswith("one expiry in 30-90 DTE") for reason in found.reasons)
    assert "no CSP candidate" in found.reasons and "no LONG_CALL candidate" not in found.reasons


def test_a_midpoint_is_never_set_against_a_day_close_in_one_spread():
    mixed = chain_of(contract(100.0, "call", 0.55, 4.4, bid=4.3, ask=4.5), contract(105.0, "call", 0.30, 2.3))
    found = enumerate_candidates(mixed, snapshot_of(), SESSION)
    assert [item.strategy for item in found.candidates] == ["LONG_CALL"]


def test_without_any_iv_the_expected_move_is_unknown_and_average_iv_is_used_where_stored():
    row = contract(100.0, "call", 0.54, 4.4, implied_volatility=None)
    unknown = enumerate_candidates(chain_of(row), snapshot_of(average_iv=None), SESSION)
    assert unknown.candidates[0].expected_move is None
    average = enumerate_candidates(chain_of(row), snapshot_of(average_iv=0.5), SESSION)
    assert average.candidates[0].expected_move == pytest.approx(100 * 0.5 * (45 / 365) ** 0.5)


prices = st.one_of(st.none(), st.floats(0.0, 30.0), st.just(float("nan")))
contracts = st.builds(
    lambda strike, kind, size, close, bid, width, oi, days, age, standard, symbol: contract(
        strike,
        kind,
        size if kind == "call" else -size,
        close,
        symbol=symbol,
        bid=bid,
        ask=None if bid is None else bid + width,
        open_interest=oi,
        expiration=SESSION + timedelta(days=days),
        last_session=SESSION - timedelta(days=age),
        is_standard=standard,
    ),
    st.integers(70, 130).map(float),
    st.sampled_from(["call", "put"]),
    st.floats(0.01, 0.99),
    prices,
    prices,
    st.floats(-0.1, 2.0),
    st.one_of(st.none(), st.floats(0, 5000)),
    st.sampled_from([10, 30, 45, 60, 90, 120]),
    st.integers(0, 2),
    st.booleans(),
    st.sampled_from(["ABC", "ABC", "XYZ"]),
)
chains = st.lists(contracts, max_size=60, unique_by=lambda row: row["contract"])


@settings(max_examples=60, deadline=None)
@given(chains)
def test_candidates_are_always_a_subset_of_the_chain_with_consistent_limits(rows):
    found = enumerate_candidates(chain_of(*rows), snapshot_of(), SESSION)
    listed = {row["contract"]: row for row in rows if row["symbol"] == "ABC"}
    assert len(found.candidates) <= 12
    assert found.reasons or len(found.candidates) == 12
    for item in found.candidates:
        assert len(item.legs) == (2 if item.strategy == "VERTICAL_SPREAD" else 1)
        assert 30 <= item.dte <= 90
        assert item.max_loss > 0 and (item.max_gain is None or item.max_gain > 0)
        for leg in item.legs:
            row = listed[leg.contract]
            assert (leg.strike, leg.expiration, leg.option_type) == (
                row["strike"],
                row["expiration"],
                row["option_type"],
            )
            assert row["is_standard"] and row["open_interest"] >= 100
            if leg.price_source == "mid":
                assert leg.price == (row["bid"] + row["ask"]) / 2
            else:
                assert row["bid"] is None or row["bid"] != row["bid"]
                assert leg.price == row["close"] and row["last_session"] == SESSION


@settings(max_examples=25, deadline=None)
@given(chains, st.randoms(use_true_random=False))
def test_the_order_of_the_chain_rows_does_not_change_the_candidates(rows, rng):
    shuffled = list(rows)
    rng.shuffle(shuffled)
    assert enumerate_candidates(chain_of(*rows), snapshot_of(), SESSION) == enumerate_candidates(
        chain_of(*shuffled), snapshot_of(), SESSION
    )


# A recorded market: the Cboe chains stamped in the evening of 2026-05-05, New York.

RECORDED_SESSION = date(2026, 5, 5)


@pytest.fixture(scope="module")
def recorded() -> tuple[pl.DataFrame, dict[str, float]]:
    default = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    path = Path(os.environ.get("KAPMAN_SHARED_DATA", default)) / "options" / "cboe_chains_2026.parquet"
    if not path.exists():
        pytest.skip(f"recorded chains are not at {path}; set KAPMAN_SHARED_DATA")
    raw = pl.read_parquet(path).filter(pl.col("snapshot_ts_utc").str.starts_with("2026-05-06"))
    chain = raw.select(
        pl.col("underlying").alias("symbol"),
        ("O:" + pl.col("option")).alias("contract"),
        pl.col("expiration").str.to_date(),
        "strike",
        pl.col("type").alias("option_type"),
        "bid",
        "ask",
        pl.col("last_trade_price").alias("last"),
        pl.col("last_trade_price").alias("close"),
        pl.col("volume").cast(pl.Float64),
        pl.col("open_interest").cast(pl.Float64),
        pl.col("iv").alias("implied_volatility"),
        "delta",
        "gamma",
        "theta",
        "vega",
        pl.lit(100.0).alias("shares_per_contract"),
        pl.col("last_trade_time").str.slice(0, 10).str.to_date(strict=False).alias("last_session"),
        (pl.col("root") == pl.col("underlying")).alias("is_standard"),
        pl.lit(True).alias("is_live"),
        pl.lit("vendor").alias("greeks_source"),
    ).select(pl.col(name).cast(kind) for name, kind in CHAIN_SCHEMA.items())
    spots = dict(raw.group_by("underlying").agg(pl.col("underlying_close").first()).iter_rows())
    return chain, spots


@pytest.mark.parametrize("symbol", ["AAPL", "AMD", "AMZN", "AVGO", "GOOGL", "MSFT", "PLTR", "TSLA"])
@pytest.mark.parametrize("quoted", [True, False], ids=["with quotes", "as on the user's plan, without"])
def test_recorded_chains_give_twelve_candidates_of_every_strategy_that_exist_in_them(
    recorded, symbol, quoted
):
    chain, spots = recorded
    if not quoted:
        chain = chain.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in ("bid", "ask"))
    snapshot = snapshot_of(symbol=symbol, spot=spots[symbol], average_iv=None)
    found = enumerate_candidates(chain, snapshot, RECORDED_SESSION)
    assert len(found.candidates) == 12 and {item.strategy for item in found.candidates} == set(STRATEGIES)
    listed = {row["contract"]: row for row in chain.filter(pl.col("symbol") == symbol).to_dicts()}
    for item in found.candidates:
        assert 0 < item.expected_move < spots[symbol]
        for leg in item.legs:
            row = listed[leg.contract]
            assert (row["strike"], row["expiration"]) == (leg.strike, leg.expiration)
            assert leg.price_source == ("mid" if quoted else "day_close")
