"""The generated market looks like one, is the same every time, and hides campaigns in the watchlist."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kapman_resources.calendar import is_early_close, session_offset, session_on_or_before, sessions_between
from kapman_simulator.campaigns import knots_of
from kapman_simulator.market import EPOCH, FRACTIONAL_SINCE, SPLIT_SCHEMA, Market, generate
from kapman_simulator.universe import ETFS, REUSED, WATCHLIST, figi, members

SPECIAL = {*WATCHLIST, *ETFS}


def adjusted(market: Market, symbol: str) -> pl.DataFrame:
    """One symbol's bars on the basis of the market's last session."""
    bars = market.history_of(symbol)
    factor = pl.lit(1.0)
    for _, executed, old, new in market.splits.filter(pl.col("symbol") == symbol).iter_rows():
        if executed <= market.last:
            factor = factor * pl.when(pl.col("date") < executed).then(new / old).otherwise(1.0)
    prices = [pl.col(name) / factor for name in ("open", "high", "low", "close")]
    return bars.with_columns(*prices, volume=pl.col("volume") * factor)


def ordinary_returns(market: Market) -> dict[str, np.ndarray]:
    """Log returns of the liquid invented stocks with full history."""
    found = {}
    for symbol, member in market.members.items():
        if symbol not in SPECIAL and member.kind == "CS" and member.silent == 0:
            close = adjusted(market, symbol)["close"].to_numpy()
            if len(close) > 800 and close.min() > 2:
                found[symbol] = np.diff(np.log(close))
    return found


# --- the same every time ----------------------------------------------------------------------------------


def test_the_same_seed_and_date_give_the_same_market(market: Market) -> None:
    again = generate(market.seed, market.last, symbols=150)
    for name in ("bars", "splits", "tickers", "campaigns"):
        assert getattr(again, name).equals(getattr(market, name)), name


def test_another_seed_gives_another_market(market: Market) -> None:
    other = generate(8, date(2023, 3, 1), symbols=60)
    mine = market.bars.filter(pl.col("symbol") == "SPY").head(other.sessions.__len__())
    assert not other.bars.filter(pl.col("symbol") == "SPY")["close"].equals(mine["close"])


def assert_prefix(market: Market, cut: date) -> None:
    short = generate(market.seed, cut, symbols=60)
    within = pl.col("symbol").is_in(short.members) & (pl.col("date") <= cut)
    assert short.bars.equals(market.bars.filter(within))
    assert short.campaigns.equals(market.campaigns.filter(within))
    executed = pl.col("symbol").is_in(short.members) & (pl.col("execution_date") <= cut)
    assert short.splits.filter(pl.col("execution_date") <= cut).equals(market.splits.filter(executed))


@settings(max_examples=6, deadline=None)
@given(st.dates(date(2023, 1, 9), date(2026, 6, 12)))
def test_a_later_end_only_appends(market: Market, day: date) -> None:
    assert_prefix(market, session_on_or_before(day))


@pytest.mark.parametrize("event", ["SC", "SPRING", "SOS", "BC", "SOW"])
def test_an_end_beside_a_prescribed_bar_only_appends_too(market: Market, event: str) -> None:
    day = market.campaigns.filter(pl.col("event") == event)["date"][3]
    for distance in (-1, 0, 1):
        assert_prefix(market, session_offset(day, distance))


@pytest.mark.parametrize("place", [0, 5, 10])
def test_an_end_beside_a_split_only_appends_too(market: Market, place: int) -> None:
    executed = market.splits.filter(pl.col("execution_date") <= market.last)["execution_date"][place]
    for distance in (-1, 0):
        assert_prefix(market, session_offset(executed, distance))


def test_a_smaller_market_is_part_of_the_larger_one() -> None:
    small, large = (generate(3, date(2023, 9, 1), symbols=n) for n in (50, 120))
    assert set(small.members) < set(large.members)
    assert small.bars.equals(large.bars.filter(pl.col("symbol").is_in(small.members)))


def test_a_first_date_cuts_the_bars_and_changes_none_of_them(market: Market) -> None:
    first = date(2026, 1, 2)
    cut = generate(market.seed, market.last, symbols=150, first=first)
    assert cut.bars.equals(market.bars.filter(pl.col("date") >= first))
    assert cut.sessions[0] == first and cut.history.equals(market.bars)


def test_impossible_requests_say_what_is_possible() -> None:
    with pytest.raises(ValueError, match="2023-01-03"):
        generate(7, date(2022, 12, 30))
    with pytest.raises(ValueError, match="fixed cast"):
        generate(7, date(2023, 2, 1), symbols=5)


# --- it looks like a market -------------------------------------------------------------------------------


def test_returns_have_fat_tails(market: Market) -> None:
    kurtosis = [
        float(((r - r.mean()) ** 4).mean() / r.var() ** 2 - 3) for r in ordinary_returns(market).values()
    ]
    assert len(kurtosis) > 25
    assert np.median(kurtosis) > 1.5


def test_volatility_clusters_while_returns_do_not(market: Market) -> None:
    def autocorrelation(x: np.ndarray, lag: int) -> float:
        return float(np.corrcoef(x[lag:], x[:-lag])[0, 1])

    series = [np.clip(r / r.std(), -4, 4) for r in ordinary_returns(market).values()]
    sizes = np.mean([autocorrelation(np.abs(r), lag) for r in series for lag in range(1, 11)])
    signs = np.mean([autocorrelation(r, lag) for r in series for lag in range(1, 11)])
    assert sizes > 0.06
    assert abs(signs) < 0.02


def test_volume_follows_the_range(market: Market) -> None:
    correlations = []
    for symbol in ordinary_returns(market):
        bars = adjusted(market, symbol).with_columns(spread=(pl.col("high") / pl.col("low")).log())
        correlations.append(float(bars.select(pl.corr("spread", "volume", method="spearman")).item()))
    assert np.median(correlations) > 0.45


def test_stocks_move_with_the_market(market: Market) -> None:
    benchmark = np.diff(np.log(adjusted(market, "SPY")["close"].to_numpy()))
    full = [r for r in ordinary_returns(market).values() if len(r) == len(benchmark)]
    assert 0.15 < np.median([np.corrcoef(r, benchmark)[0, 1] for r in full]) < 0.7


def test_every_bar_is_possible(market: Market) -> None:
    bars = market.bars
    assert bars.null_count().sum_horizontal().item() == 0
    wrong = bars.filter(
        (pl.col("low") <= 0)
        | (pl.col("low") > pl.min_horizontal("open", "close"))
        | (pl.col("high") < pl.max_horizontal("open", "close"))
        | ~pl.col("vwap").is_between(pl.col("low") - 1e-4, pl.col("high") + 1e-4)
        | (pl.col("volume") <= 0)
        | (pl.col("transactions") < 1)
    )
    assert wrong.height == 0
    assert bars.equals(bars.sort("symbol", "date"))
    assert bars.select("symbol", "date").is_duplicated().sum() == 0


def test_bars_fall_on_sessions_only_and_half_days_are_quiet(market: Market) -> None:
    assert set(market.bars["date"].unique()) == set(sessions_between(EPOCH, market.last))
    spy = market.history_of("SPY").with_columns(usual=pl.col("volume").rolling_median(21, center=True))
    short = [day for day in market.sessions if is_early_close(day)]
    ratios = spy.filter(pl.col("date").is_in(short)).select((pl.col("volume") / pl.col("usual")).median())
    assert len(short) >= 7
    assert ratios.item() < 0.7


def test_a_split_moves_price_and_shares_but_not_the_holder_s_wealth(market: Market) -> None:
    checked = []
    for symbol, executed, old, new in market.splits.iter_rows():
        bars = market.history_of(symbol)
        before = bars.filter(pl.col("date") < executed).tail(10)
        after = bars.filter(pl.col("date") >= executed).head(10)
        wild = market.members[symbol].idiosyncratic > 0.05
        if before.height < 10 or after.height < 10 or before["close"][-1] < 0.5 or wild:
            continue
        gap = np.log(after["open"][0] * new / old / before["close"][-1])
        shares = np.log(float(after["volume"].median()) * old / new / float(before["volume"].median()))
        checked.append((new > old, gap, shares))
    assert {True, False} == {forward for forward, _, _ in checked}
    assert max(abs(gap) for _, gap, _ in checked) < 0.25
    assert max(abs(shares) for _, _, shares in checked) < 1.5
    recent = market.splits.filter(pl.col("execution_date") > date(2024, 6, 12))
    assert recent.height >= 5 and dict(recent.schema) == SPLIT_SCHEMA


def test_symbols_are_listed_and_delisted_within_the_window(market: Market) -> None:
    span = market.bars.group_by("symbol").agg(first=pl.col("date").min(), last=pl.col("date").max())
    table = market.tickers.filter(pl.col("symbol") != REUSED).join(span, on="symbol")
    newcomers = table.filter(pl.col("list_date").is_not_null())
    gone = table.filter(~pl.col("active"))
    assert newcomers.height >= 3 and (newcomers["first"] >= newcomers["list_date"]).all()
    assert gone.height >= 3 and (gone["last"] < gone["delisted"]).all()


def test_the_odd_symbols_are_there_and_some_names_do_not_trade_every_day(market: Market) -> None:
    odd = {"NA", "TRUE", "BRK.B", "BACpL", "BACPL", "ZVZZT"}
    assert odd | SPECIAL <= set(market.members)
    counts = dict(market.bars.group_by("symbol").len().iter_rows())
    assert counts["SPY"] == len(market.sessions)
    assert counts["CCV.U"] < 0.85 * len(market.sessions)


def test_volumes_are_fractional_only_since_the_vendor_reports_them_so(market: Market) -> None:
    broken = market.bars.filter(pl.col("volume") != pl.col("volume").round())
    assert broken["date"].min() == FRACTIONAL_SINCE
    assert 0.05 < broken.filter(pl.col("date") == market.last).height / 150 < 0.8


def test_invented_tickers_have_a_form_that_real_stocks_do_not_have() -> None:
    fixed = {member.symbol for member in members(1, 40)}
    fixed &= {member.symbol for member in members(2, 40)}  # what every seed has
    invented = [member.symbol for member in members(1, 400) if member.symbol not in fixed]
    assert len(invented) > 350
    assert all(len(symbol) == 5 and symbol.isupper() and symbol[-1] not in "XWURQ" for symbol in invented)


def test_a_delisted_company_s_ticker_goes_to_another_one_months_later(market: Market) -> None:
    before, after = market.tickers.filter(pl.col("symbol") == REUSED).sort("list_date").to_dicts()
    assert (before["active"], after["active"]) == (False, True)
    assert before["name"] != after["name"] and before["composite_figi"] != after["composite_figi"]
    bars = market.history_of(REUSED).with_columns(gap=pl.col("date").diff().dt.total_days())
    hole = bars["gap"].arg_max()
    assert 90 < bars["gap"].max() < 400 and bars["gap"].fill_null(0).sort()[-2] < 10
    assert bars["date"][hole - 1] < before["delisted"] and bars["date"][hole] == after["list_date"]
    assert bars["close"][hole] > 2 * bars["close"][hole - 1]
    assert market.splits.filter(pl.col("symbol") == REUSED).is_empty()


def test_the_reused_ticker_displaces_nobody_and_changes_no_other_symbol() -> None:
    cast = members(7, 60)
    others = [member for member in cast if member.symbol != REUSED]
    assert len(cast) == 62 and len(others) == 60
    # as generated before the re-used ticker was added
    market = generate(7, date(2026, 6, 12), symbols=60)
    bars = market.bars.filter(pl.col("symbol") != REUSED)
    assert bars.height == 48187
    spy = bars.filter(pl.col("symbol") == "SPY")["close"]
    assert (spy[0], spy[400], spy[-1]) == (388.29, 576.65, 740.58)
    assert {m.symbol for m in others if m.symbol not in SPECIAL} >= {"NA", "TRUE", "BACpL", "BACPL"}


def test_identifiers_have_the_form_and_check_digit_of_the_standard(market: Market) -> None:
    assert figi("BBG000B9XRY") == "BBG000B9XRY4"
    known = market.tickers["composite_figi"].drop_nulls()
    assert known.n_unique() == known.len() > 0.8 * market.tickers.height
    assert known.str.contains(r"^BBG0[0-9B-DF-HJ-NP-TV-Z]{7}\d$").all()
    assert all(figi(value[:11]) == value for value in known)
    assert market.tickers["composite_figi"].null_count() >= 5


# --- campaigns --------------------------------------------------------------------------------------------


def test_at_any_date_some_of_the_watchlist_stand_at_an_interesting_stage(market: Market) -> None:
    exciting = market.campaigns.filter(pl.col("event").is_in(["SPRING", "SOS", "BC", "SOW"]))
    ordinals = np.sort(np.array([day.toordinal() for day in exciting["date"].to_list()]))
    ends = [day.toordinal() for day in market.sessions[250:]]
    recent = [np.searchsorted(ordinals, d, "right") - np.searchsorted(ordinals, d - 14) for d in ends]
    assert min(recent) >= 1
    assert np.mean(recent) > 2
    for stage in ("SPRING", "SOS", "BC", "SOW"):
        days = sorted(exciting.filter(pl.col("event") == stage)["date"].to_list())
        gaps = np.diff([day.toordinal() for day in days])
        assert gaps.max() < 120, stage


def test_campaign_bars_carry_their_signatures(market: Market) -> None:
    def measure(symbol: str, day: date) -> dict[str, float]:
        bars = adjusted(market, symbol).filter(pl.col("date") <= day).tail(61)
        spread = bars["high"] - bars["low"]
        last = bars.tail(1)
        return {
            "vr": float(last["volume"][0] / bars["volume"][-21:-1].mean()),
            "sr": float(spread[-1] / spread[-21:-1].mean()),
            "location": float((last["close"][0] - last["low"][0]) / spread[-1]),
            "lowest": float(last["low"][0] - bars["low"][:-1].min()),
            "highest": float(last["high"][0] - bars["high"][:-1].max()),
        }

    since = market.campaigns.filter(pl.col("date") > date(2024, 1, 1))
    seen: dict[str, list[dict[str, float]]] = {}
    for symbol, day, event in since.iter_rows():
        seen.setdefault(event, []).append(measure(symbol, day))

    def middle(event: str, name: str) -> float:
        return float(np.median([row[name] for row in seen[event]]))

    assert all(row["lowest"] < 0 for row in seen["SC"]) and all(row["highest"] > 0 for row in seen["BC"])
    assert middle("SC", "vr") > 2 and middle("SC", "sr") > 2
    assert middle("BC", "vr") > 2 and middle("BC", "location") < 0.3
    assert middle("ST", "vr") < 0.9 and middle("TEST", "vr") < 0.9
    assert middle("SPRING", "location") > 0.6
    assert middle("SOS", "vr") > 1.5 and middle("SOS", "location") > 0.7
    assert middle("SOW", "vr") > 1.5 and middle("SOW", "location") < 0.3


def test_campaigns_come_with_and_without_a_spring(market: Market) -> None:
    per_campaign = [
        [knot.event for knot in knots_of(market.seed, symbol, place, 14, 0.02, 6)].count("SPRING")
        for place, symbol in enumerate(WATCHLIST)
    ]
    assert 0.4 < sum(per_campaign) / (6 * len(WATCHLIST)) < 0.95


def climax_points(bars: pl.DataFrame) -> pl.DataFrame:
    """How many of the six price and volume signals of a climax have full grade within five sessions."""
    c, h, low, v = pl.col("close"), pl.col("high"), pl.col("low"), pl.col("volume")
    gain, spread = c / c.shift() - 1, h - low
    change = c.diff().fill_null(0)
    rise, fall = (
        pl.when(side).then(change.abs()).otherwise(0).ewm_mean(alpha=1 / 14, adjust=False)
        for side in (change > 0, change < 0)
    )
    obv = (change.sign() * v).cum_sum()
    low14, high14 = low.rolling_min(14), h.rolling_max(14)
    new_high = h >= h.rolling_max(60)
    signals = {
        "parabolic": (gain > 0.05) | ((gain > 0.03) & (gain.shift() > 0.03)),
        "volume": v > 2 * v.shift().rolling_mean(20),
        "weak": (spread > 0.04 * c) & ((c - low) <= 0.3 * spread),
        "overbought": (rise > 70 / 30 * fall) & (c - low14 > 0.8 * (high14 - low14)),
        "divergence": new_high & (obv < obv.rolling_max(20)),
        "failing": new_high & (c <= 0.98 * h),
    }
    five = [signal.cast(pl.Int8).rolling_max(5).alias(name) for name, signal in signals.items()]
    return bars.select("date", *five).select("date", points=pl.sum_horizontal(*signals))


def test_now_and_then_a_climax_earns_every_price_and_volume_point(market: Market) -> None:
    episodes = {}
    for symbol in WATCHLIST:
        full = climax_points(adjusted(market, symbol)).with_columns(hot=pl.col("points") == 6)
        episodes[symbol] = full.filter(pl.col("hot") & ~pl.col("hot").shift(fill_value=False)).height
    years = len(market.sessions) / 252
    assert sum(count > 0 for count in episodes.values()) >= 10
    assert sum(episodes.values()) / len(WATCHLIST) / years < 1.0
