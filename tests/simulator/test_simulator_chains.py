"""Generated chains: consistent prices, slow open interest, and the gaps in the vendor's proportions."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from kapman_resources.calendar import is_session, session_offset
from kapman_simulator.chains import DIVIDEND, RATE, option_chain
from kapman_simulator.listings import series_on
from kapman_simulator.market import Market
from kapman_simulator.pricing import price_options
from kapman_simulator.wire_chain import CHAIN_SCHEMA, GREEKS

SYMBOLS = ("NVDA", "SPY", "AAPL", "TSLA", "BRK.B", "PLTR", "TLT", "XLF", "DELL", "MSFT")


@pytest.fixture(scope="module")
def session(market: Market) -> date:
    return market.last


@pytest.fixture(scope="module")
def chains(market: Market, session: date) -> dict[str, pl.DataFrame]:
    """The chain of every optionable symbol that traded."""
    found = {s: option_chain(market, s, session) for s, member in market.members.items() if member.optionable}
    return {symbol: chain for symbol, chain in found.items() if chain.height}


@pytest.fixture(scope="module")
def everything(chains: dict[str, pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(chains.values())


def test_a_chain_is_the_same_every_time_and_has_the_shared_schema(market: Market, session: date) -> None:
    first, second = (option_chain(market, "NVDA", session) for _ in range(2))
    assert first.equals(second)
    assert dict(first.schema) == CHAIN_SCHEMA


def test_chains_have_the_size_that_was_asked_for(market: Market, session: date) -> None:
    def mean(contracts: int) -> float:
        return float(
            np.mean(
                [option_chain(market, s, session, contracts_per_symbol=contracts).height for s in SYMBOLS]
            )
        )

    assert 450 < mean(640) < 850
    assert 1250 * 0.8 < mean(1250) < 1250 * 1.3


def test_only_listed_optionable_symbols_on_sessions_have_a_chain(market: Market, session: date) -> None:
    assert option_chain(market, "ZVZZT", session).height == 0
    assert option_chain(market, "nothing", session).height == 0
    assert option_chain(market, "NVDA", session + timedelta(days=1)).height == 0


def test_expirations_are_fridays_or_the_thursday_before_a_holiday() -> None:
    # 2026-04-03 is Good Friday, 2026-06-19 Juneteenth
    for day in (date(2026, 3, 16), date(2026, 6, 1), date(2026, 4, 2)):
        dates = [series.expiration for series in series_on(day)]
        assert dates == sorted(set(dates)) and all(is_session(d) for d in dates)
        assert {d.weekday() for d in dates} <= {3, 4}
        assert all(not is_session(d + timedelta(days=1)) for d in dates if d.weekday() == 3)
        assert (max(dates) - day).days > 500
    assert date(2026, 4, 2) in [s.expiration for s in series_on(date(2026, 3, 16))]
    assert series_on(date(2026, 4, 2))[0].expiration == date(2026, 4, 2)


def test_contract_names_follow_the_occ_form(everything: pl.DataFrame) -> None:
    parsed = everything.filter(pl.col("shares_per_contract") == 100).with_columns(
        day=pl.col("contract").str.slice(-15, 6).str.to_date("%y%m%d"),
        kind=pl.col("contract").str.slice(-9, 1),
        price=pl.col("contract").str.slice(-8).cast(pl.Float64) / 1000,
    )
    assert (parsed["day"] == parsed["expiration"]).all() and (parsed["price"] == parsed["strike"]).all()
    assert (parsed["kind"] == parsed["option_type"].str.slice(0, 1).str.to_uppercase()).all()
    assert everything.filter(pl.col("symbol") == "BRK.B")["contract"].str.starts_with("O:BRKB").all()


def test_greeks_come_all_four_or_not_at_all_and_break_their_bounds_only_by_a_hair(
    everything: pl.DataFrame,
) -> None:
    missing = everything.select(pl.col(GREEKS).is_null())
    assert (missing.sum_horizontal().is_in([0, 4])).all()
    present = everything.drop_nulls(list(GREEKS))
    sign = pl.when(pl.col("contract").str.slice(-9, 1) == "C").then(1.0).otherwise(-1.0)
    assert present.filter(~(pl.col("delta") * sign).is_between(0, 1 + 1e-6)).height == 0
    assert present["gamma"].min() > -1e-6 and present["vega"].min() > -1e-3
    assert present.filter(pl.col("delta") == 1.0000000000065).height > 0
    assert present.filter(pl.col("gamma") < 0).height > 0


def test_the_vendor_s_gaps_have_the_vendor_s_proportions(everything: pl.DataFrame, session: date) -> None:
    def share(condition: pl.Expr) -> float:
        return float(everything.select(condition.mean()).item())

    assert 0.08 < share(pl.col("delta").is_null()) < 0.18
    assert 0.05 < share(pl.col("implied_volatility").is_null()) < 0.2
    assert (
        everything.filter(pl.col("implied_volatility").is_null() & pl.col("delta").is_not_null()).height > 20
    )
    assert (
        everything.filter(pl.col("implied_volatility").is_not_null() & pl.col("delta").is_null()).height > 20
    )
    assert 0.03 < share(pl.col("day_close").is_null()) < 0.15
    assert 0.2 < share(pl.col("day_session") != session) < 0.6
    assert 0.05 < share(pl.col("open_interest") == 0) < 0.25
    assert 0.003 < share(pl.col("open_interest").is_null()) < 0.03
    assert (
        everything.select("bid", "ask", "last", "quoted_at").null_count().row(0) == (everything.height,) * 4
    )
    deep = everything.filter(pl.col("delta").is_null() & (pl.col("option_type") == "call"))
    assert deep.height > 0.7 * everything.filter(pl.col("delta").is_null()).height


def test_a_day_bar_belongs_to_a_session_and_has_volume(everything: pl.DataFrame, session: date) -> None:
    bars = everything.drop_nulls("day_close")
    assert bars["day_volume"].min() >= 1 and bars["day_session"].max() == session
    assert all(is_session(day) for day in bars["day_session"].unique())
    assert (bars["day_high"] >= bars["day_low"]).all() and bars["day_low"].min() > 0
    idle = everything.filter(pl.col("day_close").is_null())
    assert idle.select("day_volume", "day_session", "break_even").null_count().row(0) == (idle.height,) * 3


def test_open_interest_changes_slowly_and_only_by_what_was_traded(market: Market, session: date) -> None:
    before = session_offset(session, -1)
    unexplained = total = 0
    for symbol in SYMBOLS:
        old, new = (
            option_chain(market, symbol, day).unique("contract").drop_nulls("open_interest")
            for day in (before, session)
        )
        both = old.join(new, on="contract", suffix="_next").with_columns(
            change=(pl.col("open_interest_next") - pl.col("open_interest")).abs(),
            traded=pl.when(pl.col("day_session") == before).then("day_volume").otherwise(0.0),
        )
        alive = old.filter(pl.col("expiration") > before)
        assert both.height > 0.95 * alive.height
        assert both["change"].sum() < 0.1 * both["open_interest"].sum()
        unexplained += both.filter(pl.col("change") > pl.col("traded")).height
        total += both.height
    assert unexplained <= 0.005 * total


def test_open_interest_gathers_on_monthly_expirations(chains: dict[str, pl.DataFrame], session: date) -> None:
    monthly = {series.expiration for series in series_on(session) if series.monthly}
    for symbol in ("NVDA", "SPY", "AAPL"):
        near = chains[symbol].filter(pl.col("expiration") <= session + timedelta(days=40))
        means = near.group_by(pl.col("expiration").is_in(monthly).alias("monthly")).agg(
            pl.col("open_interest").mean()
        )
        mean = dict(means.iter_rows())
        assert mean[True] > 1.5 * mean[False]


def test_calls_and_puts_at_one_strike_agree(market: Market, session: date) -> None:
    """Put-call parity on the greeks: delta(call) - delta(put) = exp(-q T), and gamma is shared."""
    chain = option_chain(market, "SPY", session).filter(
        pl.col("gamma") > 1e-4, pl.col("expiration") > session
    )
    calls, puts = (
        chain.filter(pl.col("option_type") == kind).unique(["expiration", "strike"])
        for kind in ("call", "put")
    )
    pairs = calls.join(puts, on=["expiration", "strike"], suffix="_put")
    years = np.array([(day - session).days / 365 for day in pairs["expiration"].to_list()])
    gap = pairs["delta"].to_numpy() - pairs["delta_put"].to_numpy() - np.exp(-DIVIDEND * years)
    # the two sides have their own small noise in implied volatility, and nothing else
    assert len(gap) > 100 and np.abs(gap).max() < 0.03
    assert np.abs(pairs["gamma"] / pairs["gamma_put"] - 1).median() < 0.05


def test_prices_satisfy_put_call_parity_and_match_a_hand_worked_case() -> None:
    strike, call = np.array([100.0, 100.0]), np.array([True, False])
    years, iv = np.array([0.5, 0.5]), np.array([0.2, 0.2])
    # Hull, example 15.6: S 42, K 40, r 10 %, sigma 20 %, six months: call 4.76, put 0.81
    hull = price_options(42.0, np.array([40.0, 40.0]), years, iv, call, 0.10, 0.0)
    assert hull.price == pytest.approx([4.7594, 0.8086], abs=1e-4)
    both = price_options(100.0, strike, years, iv, call, RATE, DIVIDEND)
    forward = 100 * np.exp(-DIVIDEND / 2) - 100 * np.exp(-RATE / 2)
    assert both.price[0] - both.price[1] == pytest.approx(forward, abs=1e-12)
    bump = price_options(100.01, strike, years, iv, call, RATE, DIVIDEND)
    assert (bump.price - both.price) / 0.01 == pytest.approx(both.delta, abs=1e-3)
    wider = price_options(100.0, strike, years, iv + 0.01, call, RATE, DIVIDEND)
    assert wider.price - both.price == pytest.approx(both.vega, rel=1e-2)


def test_implied_volatility_follows_realised_volatility_and_is_dearer_below_the_price(
    market: Market, session: date, chains: dict[str, pl.DataFrame]
) -> None:
    levels, realised = [], []
    for symbol, chain in chains.items():
        close = market.history_of(symbol)["close"].to_numpy()[-30:]
        spot = close[-1]
        month = chain.filter(
            pl.col("expiration").is_between(session + timedelta(days=20), session + timedelta(days=50)),
            (pl.col("strike") / spot - 1).abs() < 0.08,
        )
        returns = np.diff(np.log(close))
        if month.height > 8 and np.abs(returns).max() < 0.3:
            levels.append(float(month["implied_volatility"].median()))
            realised.append(float(returns.std()))
    assert np.corrcoef(levels, realised)[0, 1] > 0.6
    spy = chains["SPY"].filter(
        pl.col("expiration").is_between(session + timedelta(days=20), session + timedelta(days=60))
    )
    puts = spy.filter((pl.col("delta") > -0.35) & (pl.col("delta") < -0.15))["implied_volatility"].mean()
    calls = spy.filter(pl.col("delta").is_between(0.15, 0.35))["implied_volatility"].mean()
    assert puts > calls


def test_some_chains_hold_adjusted_contracts_and_contracts_of_another_kind(everything: pl.DataFrame) -> None:
    adjusted = everything.filter(pl.col("shares_per_contract") == 10)
    assert 10 < adjusted.height < 0.02 * everything.height
    assert adjusted["contract"].str.contains(r"^O:[A-Z]+1\d{6}[CP]\d{8}$").all()
    assert set(everything["option_type"].unique()) == {"call", "put", "other"}


def test_a_few_contracts_appear_on_two_pages(chains: dict[str, pl.DataFrame]) -> None:
    repeated = 0
    for chain in chains.values():
        names = chain["contract"].to_list()
        twice = [at for at in range(1, len(names)) if names[at] == names[at - 1]]
        assert twice in ([], [250])
        repeated += len(twice)
    assert repeated >= 3


def test_after_a_split_the_chain_is_listed_around_the_new_price(market: Market) -> None:
    recent = market.splits.filter(pl.col("execution_date").is_between(date(2024, 1, 1), market.last))
    tried = 0
    for symbol, executed, old, new in recent.iter_rows():
        chain = option_chain(market, symbol, executed)
        if chain.height and new > old:
            spot = market.history_of(symbol).filter(pl.col("date") == executed)["close"][0]
            traded = chain.filter(pl.col("open_interest") > 0)
            assert 0.5 * spot < float(traded["strike"].median()) < 1.8 * spot
            assert chain["delta"].is_not_null().mean() > 0.6
            tried += 1
    assert tried >= 1
