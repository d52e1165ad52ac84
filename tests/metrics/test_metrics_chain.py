"""Cleaning a raw chain: what is rejected, what is flagged, whose greeks stand."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics_builders import SESSION, cboe_evening, occ, raw_chain, raw_row, shared_data, spot_of

from kapman_metrics import greeks
from kapman_metrics.chain import ChainCleaning, clean_chain
from kapman_metrics.frames import CHAIN_SCHEMA

LIVE_SINCE = SESSION - timedelta(days=14)
NO_GREEKS = {"implied_volatility": None, "delta": None, "gamma": None, "theta": None, "vega": None}


def clean(*rows: dict[str, object], spot: float | None = 100.0, rate: float = 0.04) -> ChainCleaning:
    spots = spot_of(ABC=spot) if spot is not None else spot_of()
    return clean_chain(raw_chain(*rows), spots, SESSION, LIVE_SINCE, rate=rate)


def only(result: ChainCleaning) -> dict[str, object]:
    assert result.chain.height == 1
    return result.chain.row(0, named=True)


def test_a_sound_contract_is_stored_as_it_came():
    row = only(clean(raw_row()))
    assert list(row) == list(CHAIN_SCHEMA)
    assert (row["delta"], row["gamma"], row["theta"], row["vega"]) == (0.5, 0.04, -0.05, 0.11)
    assert (row["volume"], row["close"], row["last_session"]) == (10.0, 4.0, SESSION)
    assert row["is_standard"] and row["is_live"] and row["greeks_source"] == "vendor"


def test_of_duplicates_the_one_with_open_interest_then_greeks_then_volume_is_kept():
    with_interest = raw_row(open_interest=7.0, day_volume=None, **NO_GREEKS)
    with_greeks = raw_row(open_interest=0.0, day_volume=None)
    with_volume = raw_row(open_interest=None, day_volume=50.0, **NO_GREEKS)
    result = clean(with_volume, with_greeks, with_interest)
    assert only(result)["open_interest"] == 7.0
    assert result.rejected["reason"].to_list() == ["duplicate", "duplicate"]
    assert only(clean(with_volume, with_greeks))["greeks_source"] == "vendor"
    assert only(clean(raw_row(day_volume=None), raw_row(day_volume=3.0)))["volume"] == 3.0


def test_other_types_expired_contracts_and_impossible_strikes_are_rejected_with_their_reason():
    result = clean(
        raw_row(strike=95.0),
        raw_row(strike=96.0, option_type="other", contract="O:X1"),
        raw_row(strike=97.0, expiration=SESSION - timedelta(days=1)),
        raw_row(strike=0.0),
        raw_row(strike=None, contract="O:X2"),
        raw_row(contract=None),
    )
    assert result.chain["strike"].to_list() == [95.0]
    assert result.rejected.columns == ["contract", "symbol", "reason", "detail"]
    assert sorted(result.rejected["reason"].to_list()) == [
        "expired",
        "identity",
        "option_type",
        "strike",
        "strike",
    ]
    assert result.counts["received"] == 6 and result.counts["kept"] == 1
    details = dict(result.rejected.select("reason", "detail").iter_rows())
    assert details["option_type"] == "option_type other" and details["expired"] == "expired on 2026-05-04"


def test_a_contract_expiring_in_the_session_itself_is_not_expired():
    assert only(clean(raw_row(expiration=SESSION)))["expiration"] == SESSION


def test_adjusted_contracts_are_kept_and_flagged_not_standard():
    result = clean(
        raw_row(strike=90.0, root="ABC1"),
        raw_row(strike=91.0, shares_per_contract=10.0),
        raw_row(strike=92.0, shares_per_contract=None),
        raw_row(strike=93.0),
    )
    assert result.chain["is_standard"].to_list() == [False, False, False, True]
    assert result.chain["shares_per_contract"].to_list() == [100.0, 10.0, 100.0, 100.0]
    assert result.counts["not_standard"] == 3 and result.counts["shares_missing"] == 1


def test_volume_of_an_older_session_is_not_this_session_s_volume():
    row = only(clean(raw_row(day_session=SESSION - timedelta(days=3))))
    assert row["volume"] is None
    assert (row["close"], row["last_session"]) == (4.0, SESSION - timedelta(days=3))


def test_a_contract_is_live_by_a_recent_trade_by_vendor_greeks_or_by_a_quote_that_can_be_meant():
    old = LIVE_SINCE - timedelta(days=1)
    silent = raw_row(strike=100.0, day_session=old, **NO_GREEKS)
    result = clean(
        silent
        | {"strike": 101.0, "contract": occ("ABC", date(2026, 6, 4), "call", 101), "day_session": LIVE_SINCE},
        raw_row(strike=102.0, day_session=old),
        silent
        | {"strike": 103.0, "contract": occ("ABC", date(2026, 6, 4), "call", 103), "bid": 1.0, "ask": 1.2},
        # what is left of a pre-split strike: more than the share costs, or a volatility nobody pays
        silent
        | {"strike": 40.0, "contract": occ("ABC", date(2026, 6, 4), "call", 40), "bid": 300.0, "ask": 301.0},
        silent
        | {"strike": 900.0, "contract": occ("ABC", date(2026, 6, 4), "call", 900), "bid": 3.0, "ask": 4.0},
        silent,
    )
    live = dict(result.chain.select("strike", "is_live").iter_rows())
    assert live == {101.0: True, 102.0: True, 103.0: True, 40.0: False, 900.0: False, 100.0: False}


def test_greeks_a_hair_outside_their_range_are_clamped():
    row = only(clean(raw_row(delta=1.0000000000065, gamma=-1.4e-9, vega=-0.0006)))
    assert (row["delta"], row["gamma"], row["vega"]) == (1.0, 0.0, 0.0)
    assert row["greeks_source"] == "vendor"


@pytest.mark.parametrize("broken", [{"delta": 1.01}, {"delta": -1.5}, {"gamma": -0.001}, {"vega": -0.5}])
def test_greeks_far_outside_their_range_are_taken_away_and_counted(broken):
    result = clean(raw_row(**broken, day_close=None))
    row = only(result)
    assert [row[name] for name in ("delta", "gamma", "theta", "vega", "greeks_source")] == [None] * 5
    assert result.counts["greeks_out_of_range"] == 1 and result.counts["greeks_missing"] == 1


def test_zeros_without_a_volatility_are_the_vendor_s_word_for_not_priceable():
    result = clean(raw_row(implied_volatility=0.0, delta=1.0, gamma=0.0, theta=0.0, vega=0.0, day_close=None))
    assert only(result)["gamma"] is None and only(result)["implied_volatility"] is None
    assert result.counts["greeks_placeholder"] == 1
    far = only(clean(raw_row(implied_volatility=2.5, delta=0.0, gamma=0.0, theta=0.0, vega=0.0)))
    assert far["gamma"] == 0.0 and far["greeks_source"] == "vendor"


def test_missing_greeks_are_solved_from_the_midpoint_at_the_stated_rate():
    true = greeks.price(100.0, 100.0, 30 / 365, 0.35, True, rate=0.01)
    row = only(
        clean(raw_row(**NO_GREEKS, bid=float(true) - 0.1, ask=float(true) + 0.1, day_close=9.0), rate=0.01)
    )
    assert row["greeks_source"] == "computed"
    assert row["implied_volatility"] == pytest.approx(0.35, rel=1e-9)
    assert row["gamma"] == pytest.approx(float(greeks.gamma(100.0, 100.0, 30 / 365, 0.35, rate=0.01)))
    assert row["theta"] < 0 < row["vega"] and 0 < row["delta"] < 1


def test_without_quotes_only_this_session_s_close_is_a_price_worth_it():
    assert only(clean(raw_row(**NO_GREEKS)))["greeks_source"] == "computed"
    stale = only(clean(raw_row(**NO_GREEKS, day_session=SESSION - timedelta(days=1))))
    assert stale["greeks_source"] is None and stale["implied_volatility"] is None
    below_parity = only(clean(raw_row(**NO_GREEKS, strike=60.0, day_close=35.0)))
    assert below_parity["greeks_source"] is None


def test_crossed_or_one_sided_quotes_are_no_midpoint():
    for bid, ask in ((0.0, 5.0), (5.0, 4.0), (None, 4.0)):
        row = only(clean(raw_row(**NO_GREEKS, bid=bid, ask=ask, day_session=SESSION - timedelta(days=1))))
        assert row["greeks_source"] is None


def test_without_a_spot_nothing_is_solved_and_nothing_is_dropped():
    result = clean(raw_row(**NO_GREEKS), raw_row(strike=105.0), spot=None)
    assert result.chain["greeks_source"].to_list() == [None, "vendor"]
    assert result.counts["symbols_without_spot"] == 1


def test_a_negative_open_interest_is_unknown_not_negative():
    result = clean(raw_row(open_interest=-5.0))
    assert only(result)["open_interest"] is None and result.counts["open_interest_negative"] == 1


def test_a_raw_chain_without_a_column_is_refused_by_name():
    with pytest.raises(ValueError, match="day_session"):
        clean_chain(raw_chain(raw_row()).drop("day_session"), spot_of(ABC=100.0), SESSION, LIVE_SINCE)


def test_an_empty_chain_stays_empty_with_all_counts():
    result = clean()
    assert result.chain.height == 0 and dict(result.chain.schema) == CHAIN_SCHEMA
    assert result.counts["received"] == 0 and result.counts["greeks_missing"] == 0


maybe = st.one_of(st.none(), st.floats(-3, 3), st.just(float("nan")), st.just(0.0))


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "strike": st.sampled_from([80.0, 100.0, 120.0]),
                "option_type": st.sampled_from(["call", "put"]),
                "delta": maybe,
                "gamma": maybe,
                "theta": maybe,
                "vega": maybe,
                "implied_volatility": maybe,
                "bid": maybe,
                "ask": maybe,
                "day_close": maybe,
                "day_volume": maybe,
                "open_interest": maybe,
            }
        ),
        max_size=12,
    )
)
def test_whatever_the_vendor_sends_every_contract_is_stored_once_within_the_database_s_limits(rows):
    raw = raw_chain(*(raw_row(**row) for row in rows))
    result = clean_chain(raw, spot_of(ABC=100.0), SESSION, LIVE_SINCE)
    chain = result.chain
    assert chain["contract"].to_list() == chain["contract"].unique(maintain_order=True).to_list()
    assert set(chain["contract"]) == set(raw["contract"])
    assert chain.height + result.rejected.height == raw.height
    numbers = chain.select(pl.selectors.float())
    assert numbers.select(pl.all().is_finite().fill_null(True).all()).row(0) == (True,) * numbers.width
    assert (chain["delta"].abs() <= 1).fill_null(True).all() and (chain["gamma"] >= 0).fill_null(True).all()
    assert (chain["implied_volatility"] > 0).fill_null(True).all()
    assert (chain["open_interest"] >= 0).fill_null(True).all() and (chain["volume"] >= 0).fill_null(
        True
    ).all()
    assert (chain["gamma"].is_null() == chain["greeks_source"].is_null()).all()


def test_the_order_of_the_vendor_s_pages_does_not_matter():
    rows = [
        raw_row(strike=float(k), open_interest=float(k % 3), day_volume=float(k % 2)) for k in range(90, 110)
    ]
    rows += [raw_row(strike=float(k), open_interest=5.0) for k in range(95, 100)]
    assert clean(*rows).chain.equals(clean(*reversed(rows)).chain)


def test_recorded_cboe_chains_keep_every_contract_and_all_open_interest():
    raw, spot = cboe_evening()
    result = clean_chain(raw, spot, SESSION, LIVE_SINCE)
    assert result.chain.height == raw.height == 34_938
    assert result.chain["open_interest"].sum() == raw["open_interest"].sum()
    assert (result.chain["implied_volatility"] > 0).fill_null(True).all()
    assert result.counts["greeks_placeholder"] > 0


def test_recorded_vendor_chain_with_missing_greeks_is_covered_by_solving_from_quotes():
    capture = pl.read_csv(shared_data("polygon", "options_snapshot_2025-11-09_8symbols.csv.gz"))
    session = date(2025, 11, 7)
    raw = capture.select(
        pl.col("underlying").alias("symbol"),
        pl.col("ticker").alias("contract"),
        pl.col("expiration").str.to_date(),
        "strike",
        pl.col("type").replace_strict({"C": "call", "P": "put"}).alias("option_type"),
        "bid",
        "ask",
        pl.col("last_price").alias("last"),
        pl.col("close").alias("day_close"),
        pl.col("volume").alias("day_volume"),
        pl.when(pl.col("volume") > 0).then(pl.lit(session)).alias("day_session"),
        "open_interest",
        pl.lit(None, pl.Float64).alias("implied_volatility"),
        "delta",
        "gamma",
        "theta",
        "vega",
        pl.lit(100.0).alias("shares_per_contract"),
    )
    spot = capture.group_by("underlying").agg(pl.col("underlying_price").last())
    spot = spot.rename({"underlying": "symbol", "underlying_price": "spot"})
    result = clean_chain(raw, spot, session, date(2025, 10, 27))
    assert result.chain.height == raw.height
    assert result.counts["greeks_out_of_range"] == 0
    assert (result.chain["delta"].abs() <= 1).fill_null(True).all()


def test_recorded_dead_strikes_after_a_split_do_not_live():
    recorded = pl.read_parquet(shared_data("options", "yahoo_chains_2025-11-25_2025-12-04.parquet"))
    session = date(2025, 12, 4)
    netflix = recorded.filter((pl.col("underlying") == "NFLX") & (pl.col("snap_date") == str(session)))
    traded_on = pl.col("lastTradeDate").str.slice(0, 10).str.to_date()
    raw = netflix.select(
        pl.col("underlying").alias("symbol"),
        ("O:" + pl.col("contractSymbol")).alias("contract"),
        pl.col("expiration").str.to_date(),
        "strike",
        pl.col("type").alias("option_type"),
        "bid",
        "ask",
        pl.col("lastPrice").alias("last"),
        pl.col("lastPrice").alias("day_close"),
        pl.col("volume").alias("day_volume"),
        traded_on.alias("day_session"),
        pl.col("openInterest").alias("open_interest"),
        pl.col("impliedVolatility").alias("implied_volatility"),
        *(pl.lit(None, pl.Float64).alias(name) for name in ("delta", "gamma", "theta", "vega")),
        pl.lit(100.0).alias("shares_per_contract"),
    )
    spot = spot_of(NFLX=netflix["spot_price"][0])
    chain = clean_chain(raw, spot, session, date(2025, 11, 19)).chain
    dead = chain.filter(pl.col("strike") > 300)
    assert dead.height > 3000
    assert dead["is_live"].mean() < 0.05
    near = chain.filter((pl.col("strike") / spot["spot"][0] - 1).abs() < 0.2)
    assert near["is_live"].mean() > 0.9
