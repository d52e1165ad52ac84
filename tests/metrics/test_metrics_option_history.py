"""An option day file as a raw chain: whose contracts its rows are, what is refused, what history adds to it."""

from __future__ import annotations

import time
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics_builders import SESSION, bars, cboe_evening, occ, spot_of, stored_chain, stored_row

from kapman_metrics import greeks
from kapman_metrics.chain import clean_chain
from kapman_metrics.frames import RAW_CHAIN_SCHEMA
from kapman_metrics.option_history import KNOWN_SCHEMA, OptionDay, chain_of_day, roots_of
from kapman_metrics.quality import data_quality, missing_inputs

EXPIRATION = SESSION + timedelta(days=45)
LIVE_SINCE = SESSION - timedelta(days=14)
DAY_SCHEMA = {
    "symbol": pl.String, "open": pl.Float64, "high": pl.Float64, "low": pl.Float64, "close": pl.Float64,
    "volume": pl.Float64, "vwap": pl.Float64, "session": pl.Date,
}  # fmt: skip
HISTORY_SCHEMA = {
    "contract": pl.String, "open_interest": pl.Float64, "implied_volatility": pl.Float64, "delta": pl.Float64,
    "gamma": pl.Float64, "theta": pl.Float64, "vega": pl.Float64,
}  # fmt: skip


def row(ticker: str | None, close: float | None = 4.0, **given: object) -> dict[str, object]:
    """One line of the day file, sound unless told otherwise."""
    prices = {"open": close, "high": close, "low": close, "close": close, "volume": 10.0}
    return {"symbol": ticker, **prices, "vwap": None, "session": SESSION} | given


def day(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=DAY_SCHEMA)


def call(root: str, strike: float = 100.0) -> str:
    return occ(root, EXPIRATION, "call", strike)


def known(*rows: tuple[str, str, float | None]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=KNOWN_SCHEMA, orient="row")


def history(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=HISTORY_SCHEMA)


def owners(found: OptionDay) -> dict[str, str]:
    return dict(found.chain.select("contract", "symbol").iter_rows())


def test_a_line_becomes_a_raw_contract_read_from_the_right_of_its_ticker() -> None:
    found = chain_of_day(day(row("O:SPY261218P00650500", 7.25, volume=33.0)), SESSION, ["SPY"])
    assert dict(found.chain.schema) == RAW_CHAIN_SCHEMA
    (contract,) = found.chain.iter_rows(named=True)
    assert {name: value for name, value in contract.items() if value is not None} == {
        "symbol": "SPY", "contract": "O:SPY261218P00650500", "expiration": date(2026, 12, 18), "strike": 650.5,
        "option_type": "put", "day_close": 7.25, "day_volume": 33.0, "day_session": SESSION,
        "shares_per_contract": 100.0,
    }  # fmt: skip
    assert found.rejected.is_empty() and found.unreadable == 0


def test_only_the_asked_underlyings_contracts_are_taken_whatever_their_root_looks_like() -> None:
    tickers = {
        call("AMC"): "AMC", call("AMCR"): None, call("AMC1"): "AMC", call("1AMC"): "AMC", call("BRKB"): "BRK.B",
        call("BRKB2"): "BRK.B", call("SPX"): "SPX", call("SPXW"): "SPX", call("SPXL"): None, call("A"): None,
        call("AM"): None, call("NDXP"): None,
    }  # fmt: skip
    found = chain_of_day(day(*map(row, tickers)), SESSION, ["AMC", "BRK.B", "SPX"])
    assert owners(found) == {ticker: symbol for ticker, symbol in tickers.items() if symbol}


@pytest.mark.parametrize(
    ("symbol", "roots"),
    [("AAPL", ("AAPL",)), ("BRK.B", ("BRKB",)), ("SPX", ("SPX", "SPXW")), ("I:VIX", ("VIX", "VIXW"))],
)
def test_an_underlying_s_roots_are_its_letters_and_the_series_of_its_index(
    symbol: str, roots: tuple[str, ...]
) -> None:
    assert roots_of(symbol) == roots
    tickers = [call(root) for root in roots]
    assert owners(chain_of_day(day(*map(row, tickers)), SESSION, [symbol])) == dict.fromkeys(tickers, symbol)


def test_a_root_with_a_digit_is_kept_as_not_standard_and_its_volatility_is_not_guessed() -> None:
    found = chain_of_day(day(row(call("ABC")), row(call("ABC1"))), SESSION, ["ABC"])
    chain = clean_chain(found.chain, spot_of(ABC=100.0), SESSION, LIVE_SINCE).chain
    assert {r["contract"]: (r["is_standard"], r["greeks_source"]) for r in chain.iter_rows(named=True)} == {
        call("ABC"): (True, "computed"),
        call("ABC1"): (False, None),
    }


def test_what_is_on_record_of_a_contract_wins_over_its_root() -> None:
    """A renamed company's contracts keep their old root, and a small contract can hide behind a plain one."""
    on_record = known(
        (call("FB"), "META", 100.0), (call("META", 90.0), "OTHER", 100.0), (call("META", 95.0), "META", 10.0),
        (call("META", 85.0), "META", None),
    )  # fmt: skip
    file = day(
        row(call("FB")),
        row(call("META")),
        *(row(call("META", strike)) for strike in (85.0, 90.0, 95.0)),
    )
    found = chain_of_day(file, SESSION, ["META"], on_record)
    shares = dict(found.chain.select("contract", "shares_per_contract").iter_rows())
    assert shares == {
        call("FB"): 100.0, call("META"): 100.0, call("META", 95.0): 10.0, call("META", 85.0): None,
    }  # fmt: skip
    assert set(owners(found).values()) == {"META"}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"close": None}, "price is missing or not a number"),
        ({"close": float("nan")}, "price is missing or not a number"),
        ({"open": -0.01}, "price is not above zero"),
        ({"close": 0.0}, "price is not above zero"),
        ({"high": 3.0}, "high is below open or close"),
        ({"low": 5.0}, "low is above open or close"),
        ({"volume": -1.0}, "volume is negative"),
        ({"volume": None}, "volume is missing or not a number"),
        ({"session": SESSION - timedelta(days=1)}, "belongs to another session"),
    ],
)
def test_a_line_with_impossible_numbers_is_refused_with_its_reason_and_costs_no_other(
    given: dict[str, object], reason: str
) -> None:
    found = chain_of_day(day(row(call("ABC")), row(call("ABC", 110.0)) | given), SESSION, ["ABC"])
    assert list(owners(found)) == [call("ABC")]
    assert found.rejected.columns == ["contract", "symbol", "reason", "detail"]
    assert found.rejected.select("contract", "symbol", "reason").rows() == [
        (call("ABC", 110.0), "ABC", reason)
    ]


def test_a_ticker_that_is_no_contract_is_refused_under_the_underlying_it_begins_with() -> None:
    odd = [
        "O:ABC211022C000150000",  # nine strike digits: the vendor's own documentation has one
        "ABC260619C00100000",
        "O:ABC260619X00100000",
        "O:ABC",
        "O:260619C00100000",
        None,
        "",
        "O:XYZ26061C00100000",
    ]
    found = chain_of_day(day(row(call("ABC")), *map(row, odd)), SESSION, ["ABC"])
    assert list(owners(found)) == [call("ABC")]
    assert found.rejected.select("contract", "reason").rows() == [
        (ticker, "ticker is not a contract") for ticker in odd[:4]
    ]
    assert found.unreadable == len(odd)


def test_an_impossible_expiration_date_or_strike_is_refused_by_cleaning() -> None:
    found = chain_of_day(day(row("O:ABC261345C00100000"), row("O:ABC260619C00000000")), SESSION, ["ABC"])
    cleaned = clean_chain(found.chain, spot_of(ABC=100.0), SESSION, LIVE_SINCE)
    assert cleaned.chain.is_empty()
    assert sorted(cleaned.rejected["reason"]) == ["identity", "strike"]


def test_expired_contracts_and_second_lines_of_a_contract_do_not_enter_the_chain() -> None:
    gone = occ("ABC", SESSION - timedelta(days=1), "call", 100.0)
    found = chain_of_day(
        day(row(call("ABC"), volume=3.0), row(call("ABC"), volume=9.0), row(gone)), SESSION, ["ABC"]
    )
    cleaned = clean_chain(found.chain, spot_of(ABC=100.0), SESSION, LIVE_SINCE)
    assert cleaned.chain.select("contract", "volume").rows() == [(call("ABC"), 9.0)]
    assert sorted(cleaned.rejected["reason"]) == ["duplicate", "expired"]


def test_volatility_and_greeks_are_solved_from_the_close_and_open_interest_stays_unknown() -> None:
    price = float(greeks.price(100.0, 105.0, 45 / 365, 0.42, True))
    found = chain_of_day(day(row(call("ABC", 105.0), price)), SESSION, ["ABC"])
    (contract,) = clean_chain(found.chain, spot_of(ABC=100.0), SESSION, LIVE_SINCE).chain.iter_rows(
        named=True
    )
    assert contract["implied_volatility"] == pytest.approx(0.42, rel=1e-9)
    assert contract["delta"] == pytest.approx(float(greeks.delta(100.0, 105.0, 45 / 365, 0.42, True)))
    assert (contract["greeks_source"], contract["open_interest"], contract["bid"]) == ("computed", None, None)
    assert contract["is_live"] and contract["volume"] == 10.0


def test_the_vendor_s_history_brings_open_interest_greeks_and_the_contracts_that_did_not_trade() -> None:
    silent, foreign = call("ABC", 140.0), call("XYZ")
    told = {"implied_volatility": 0.3, "delta": 0.5, "gamma": 0.02, "theta": -0.05, "vega": 0.11}
    found = chain_of_day(
        day(row(call("ABC")), row(call("ABC", 110.0), 1.5)),
        SESSION,
        ["ABC"],
        history=history(
            {"contract": call("ABC"), "open_interest": 70.0} | told,
            {"contract": silent, "open_interest": 12.0},
            {"contract": foreign, "open_interest": 5.0} | told,
            {"contract": "O:ABC", "open_interest": 5.0},
        ),
    )
    chain = clean_chain(found.chain, spot_of(ABC=100.0), SESSION, LIVE_SINCE).chain
    shown = {
        r["contract"]: (r["open_interest"], r["greeks_source"], r["close"], r["strike"])
        for r in chain.iter_rows(named=True)
    }
    assert shown == {
        call("ABC"): (70.0, "vendor", 4.0, 100.0),
        call("ABC", 110.0): (None, "computed", 1.5, 110.0),
        silent: (12.0, None, None, 140.0),
    }


def test_a_whole_market_s_file_is_filtered_and_solved_in_well_under_a_second() -> None:
    rng = np.random.default_rng(3)
    size, names = 250_000, [f"{a}{b}{c}" for a in "ABCDEFGHIJ" for b in "KLMNOPQRST" for c in "UVWXYZ"]
    spot = rng.uniform(20, 500, len(names))
    which = np.where(rng.random(size) < 0.5, rng.integers(0, 160, size), rng.integers(160, len(names), size))
    strike = np.round(spot[which] * np.exp(rng.normal(0, 0.2, size)), 1)
    days, side = rng.integers(1, 700, size), np.where(rng.random(size) < 0.5, "C", "P")
    is_call = side == "C"
    close = greeks.price(spot[which], strike, days / 365, rng.uniform(0.2, 0.9, size), is_call)
    tickers = [
        f"O:{names[i]}{SESSION + timedelta(days=int(d)):%y%m%d}{s}{round(k * 1000):08d}"
        for i, d, s, k in zip(which, days, side, strike, strict=True)
    ]
    price = pl.Series(np.maximum(np.round(close, 2), 0.01))
    file = pl.DataFrame(
        {"symbol": tickers, **dict.fromkeys(("open", "high", "low", "close"), price)}
    ).with_columns(volume=pl.lit(5.0), session=pl.lit(SESSION))
    spots, watchlist = pl.DataFrame({"symbol": names, "spot": spot}), names[:160]
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        found = chain_of_day(file, SESSION, watchlist)
        cleaned = clean_chain(found.chain, spots, SESSION, LIVE_SINCE)
        taken.append(time.perf_counter() - started)
    assert 0.4 * size < cleaned.chain.height + cleaned.counts["rejected_duplicate"] < 0.6 * size
    assert cleaned.counts["greeks_computed"] > 0.8 * cleaned.chain.height
    assert min(taken) < 1.0, taken


tickers_of_any_kind = st.one_of(
    st.builds(
        lambda root, expiry, side, strike: f"O:{root}{expiry}{side}{strike:08d}",
        st.text("ABC1", max_size=6), st.sampled_from(["260619", "261345", "250101"]), st.sampled_from("CPX"),
        st.integers(0, 200_000),
    ),
    st.text("O:ABC1234 \x00é", max_size=24), st.none(),
)  # fmt: skip
numbers = st.one_of(
    st.none(), st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([1.0, 2.0, 4.0])
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.builds(
            lambda ticker, prices, volume: row(ticker) | prices | {"volume": volume},
            tickers_of_any_kind,
            st.one_of(
                st.just({}), st.fixed_dictionaries(dict.fromkeys(("open", "high", "low", "close"), numbers))
            ),
            numbers,
        ),
        max_size=20,
    )
)
def test_every_line_of_an_underlying_is_in_the_chain_or_refused_whatever_the_file_holds(
    rows: list[dict[str, object]],
) -> None:
    found = chain_of_day(day(*rows), SESSION, ["ABC", "BCA"])
    cleaned = clean_chain(found.chain, spot_of(ABC=100.0), SESSION, LIVE_SINCE)
    assert cleaned.chain.height + cleaned.rejected.height == found.chain.height
    assert set(found.chain["symbol"]) | set(found.rejected["symbol"]) <= {"ABC", "BCA"}
    roots = {"ABC", "BCA"}
    ours = [
        r for r in rows
        if r["symbol"] and r["symbol"][-15:-9].isdigit() and "".join(c for c in r["symbol"][2:-15] if c.isalpha()) in roots
        and r["symbol"].startswith("O:") and r["symbol"][-9] in "CP" and r["symbol"][-8:].isdecimal()
    ]  # fmt: skip
    assert found.chain.height + found.rejected.height >= len(ours)
    assert (cleaned.chain["close"] > 0).all() and (cleaned.chain["strike"] > 0).all()


def test_recorded_last_prices_alone_give_nearly_the_exchange_s_own_volatility_and_delta() -> None:
    """The Cboe chains of one evening as a day file: what traded, with the last price as close, and nothing else."""
    raw, spot = cboe_evening()
    sold = raw.filter(
        (pl.col("day_session") == SESSION) & (pl.col("day_volume") > 0) & (pl.col("day_close") > 0)
    )
    prices = {name: pl.col("day_close") for name in ("open", "high", "low", "close")}
    file = sold.select(
        pl.col("contract").alias("symbol"), pl.col("day_volume").alias("volume"), **prices
    ).with_columns(session=pl.lit(SESSION))
    found = chain_of_day(file, SESSION, spot["symbol"].to_list())
    read = found.chain.join(sold, on="contract", suffix="_recorded")
    assert read.height == found.chain.height == sold.height > 18_000
    for name in ("symbol", "expiration", "strike", "option_type"):
        assert (read[name] == read[f"{name}_recorded"]).all()

    cleaned = clean_chain(found.chain, spot, SESSION, LIVE_SINCE)
    assert cleaned.counts["greeks_computed"] / sold.height > 0.95
    theirs = sold.select("contract", their_iv="implied_volatility", their_delta="delta", their_gamma="gamma")
    liquid = cleaned.chain.join(theirs, on="contract").filter(
        (pl.col("volume") >= 500)
        & ((pl.col("expiration") - SESSION).dt.total_days() >= 7)
        & pl.col("their_delta").abs().is_between(0.1, 0.9)
    )
    assert liquid.height > 800
    off = liquid.select(
        iv=(pl.col("implied_volatility") - pl.col("their_iv")).abs(),
        delta=(pl.col("delta") - pl.col("their_delta")).abs(),
        gamma=(pl.col("gamma") / pl.col("their_gamma") - 1).abs(),
    )
    assert off["iv"].median() < 0.005 and off["iv"].quantile(0.9) < 0.015
    assert off["delta"].median() < 0.003 and off["gamma"].median() < 0.01


def test_an_empty_file_is_an_empty_chain() -> None:
    found = chain_of_day(day(), SESSION, ["ABC"])
    assert found.chain.is_empty() and dict(found.chain.schema) == RAW_CHAIN_SCHEMA and found.unreadable == 0


def test_a_chain_without_open_interest_or_rebuilt_from_a_day_file_makes_the_snapshot_partial_and_is_named() -> (
    None
):
    symbols = ["WHOLE", "BARE", "FILE", "NONE"]
    prices = pl.concat(bars(symbol, np.full(260, 50.0)) for symbol in symbols)
    newest = prices["date"].max()
    chain = stored_chain(
        stored_row(symbol="WHOLE"),
        stored_row(symbol="WHOLE", strike=101.0, open_interest=None),
        stored_row(symbol="BARE", open_interest=None),
        stored_row(symbol="FILE"),
    )
    missing = missing_inputs(symbols, prices, chain, newest, reconstructed=["FILE"])
    assert dict(missing.iter_rows()) == {
        "WHOLE": [],
        "BARE": ["no open interest in the chain"],
        "FILE": ["no snapshot of the chain: it is rebuilt from the option day file"],
        "NONE": ["no option chain"],
    }
    assert dict(data_quality(missing).iter_rows()) == {
        "WHOLE": "complete", "BARE": "partial", "FILE": "partial", "NONE": "partial",
    }  # fmt: skip
