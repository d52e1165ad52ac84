"""The trades that could be advised for one symbol, enumerated from one session's stored chain.

Nothing here prefers a direction or reads a signal. A provider chooses an id from this list, nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from math import sqrt
from typing import Any

import polars as pl

from kapman_advice.evidence import number

MIN_DTE, MAX_DTE = 30, 90
TARGET_DTE = 45
MIN_OPEN_INTEREST = 100
MAX_RELATIVE_SPREAD = 0.15
MAX_CENTS_SPREAD = 0.10
MIN_PRICE = 0.05
MAX_CANDIDATES = 12
# A vertical paid or received outside these shares of its width is a stale or crossed pair, not a trade.
MIN_NET_OF_WIDTH, MAX_NET_OF_WIDTH = 0.05, 0.85
MAX_WIDTH_OF_SPOT = 0.15
MAX_IV = 2.0

# Ranking weights: how near the leg is to the delta asked for, to TARGET_DTE, how liquid, how tight.
W_DELTA, W_DTE, W_LIQUIDITY, W_TIGHTNESS = 0.35, 0.20, 0.30, 0.15

STRATEGIES = ("LONG_CALL", "LONG_PUT", "CSP", "VERTICAL_SPREAD")


@dataclass(frozen=True)
class Leg:
    """One contract of a candidate. `price` is dollars per share; `quantity` is the ratio within the trade.

    `price_source` is 'mid' (of this session's quote) or 'day_close' (of a contract that traded in this
    session).
    """

    contract: str
    symbol: str
    expiration: date
    strike: float
    option_type: str
    side: str
    quantity: int
    price: float
    price_source: str
    price_session: date
    bid: float | None
    ask: float | None
    delta: float
    implied_volatility: float | None
    open_interest: float
    shares_per_contract: float


@dataclass(frozen=True)
class Candidate:
    """One trade that exists in the chain.

    `net_debit` is dollars per share, negative when a credit is received. `max_loss` and `max_gain` are
    dollars for one unit of the trade (max_gain None = unlimited), `breakeven` is the underlying price at
    expiry, `expected_move` = spot x IV x sqrt(DTE / 365) in underlying dollars, with the at-the-money IV of
    the expiry (None when no IV is known). `score` in 0..1 ranks candidates of one symbol and means nothing
    else.
    """

    candidate_id: str
    strategy: str
    structure: str
    direction: str
    legs: tuple[Leg, ...]
    dte: int
    net_debit: float
    breakeven: float
    max_loss: float
    max_gain: float | None
    expected_move: float | None
    score: float


@dataclass(frozen=True)
class CandidateSet:
    """The candidates of one symbol and session, best first, and the reasons when fewer than twelve."""

    symbol: str
    session: date
    spot: float | None
    candidates: tuple[Candidate, ...] = ()
    reasons: tuple[str, ...] = ()

    def get(self, candidate_id: str) -> Candidate | None:
        """The candidate of that id, None when it was not enumerated."""
        return next((item for item in self.candidates if item.candidate_id == candidate_id), None)


@dataclass(frozen=True)
class _Band:
    low: float
    high: float
    target: float


@dataclass(frozen=True)
class _Structure:
    """How a trade is built: `near` is the leg nearer the money, `far` the other leg of a vertical."""

    name: str
    strategy: str
    direction: str
    option_type: str
    near: _Band
    buys_near: bool
    quota: int
    far: _Band | None = None


_DEBIT_NEAR, _DEBIT_FAR = _Band(0.45, 0.65, 0.55), _Band(0.15, 0.40, 0.30)
_CREDIT_NEAR, _CREDIT_FAR = _Band(0.20, 0.40, 0.30), _Band(0.05, 0.20, 0.12)
_OUTRIGHT = _Band(0.40, 0.70, 0.55)

STRUCTURES: tuple[_Structure, ...] = (
    _Structure("long_call", "LONG_CALL", "LONG", "call", _OUTRIGHT, True, 2),
    _Structure("long_put", "LONG_PUT", "SHORT", "put", _OUTRIGHT, True, 2),
    _Structure("cash_secured_put", "CSP", "LONG", "put", _Band(0.15, 0.35, 0.25), False, 2),
    _Structure("bull_call", "VERTICAL_SPREAD", "LONG", "call", _DEBIT_NEAR, True, 2, _DEBIT_FAR),
    _Structure("bear_put", "VERTICAL_SPREAD", "SHORT", "put", _DEBIT_NEAR, True, 2, _DEBIT_FAR),
    _Structure("bull_put", "VERTICAL_SPREAD", "LONG", "put", _CREDIT_NEAR, False, 1, _CREDIT_FAR),
    _Structure("bear_call", "VERTICAL_SPREAD", "SHORT", "call", _CREDIT_NEAR, False, 1, _CREDIT_FAR),
)

_NUMBERS = (
    "strike",
    "bid",
    "ask",
    "close",
    "volume",
    "open_interest",
    "implied_volatility",
    "delta",
    "shares_per_contract",
)
_LEG_COLUMNS = (
    "contract",
    "strike",
    "price",
    "bid",
    "ask",
    "delta",
    "implied_volatility",
    "open_interest",
    "shares_per_contract",
    "quality",
)


def _eligible(chain: pl.DataFrame, session: date) -> pl.DataFrame:
    """Standard, live calls and puts inside the DTE band, with `dte` and without NaN."""
    return (
        chain.filter(pl.col("is_standard") & pl.col("is_live") & pl.col("option_type").is_in(["call", "put"]))
        .with_columns(
            pl.col(*_NUMBERS).cast(pl.Float64).fill_nan(None),
            (pl.col("expiration") - pl.lit(session)).dt.total_days().alias("dte"),
        )
        .filter(pl.col("dte").is_between(MIN_DTE, MAX_DTE))
    )


def _priced(contracts: pl.DataFrame, spot: float, session: date) -> pl.DataFrame:
    """Adds `price`, `price_source` and `refusal` (why a contract cannot be a leg, null when it can)."""
    quoted = pl.col("bid").is_not_null() & pl.col("ask").is_not_null()
    mid = (pl.col("bid") + pl.col("ask")) / 2
    spread = pl.col("ask") - pl.col("bid")
    too_wide = (
        (pl.col("bid") <= 0)
        | (spread < 0)
        | ((spread > MAX_RELATIVE_SPREAD * mid) & (spread > MAX_CENTS_SPREAD + 1e-9))
    )
    traded = (pl.col("last_session") == session) & (pl.col("volume") > 0) & (pl.col("close") > 0)
    is_call = pl.col("option_type") == "call"
    intrinsic = pl.when(is_call).then(spot - pl.col("strike")).otherwise(pl.col("strike") - spot)
    ceiling = pl.when(is_call).then(pl.lit(spot)).otherwise(pl.col("strike"))
    return contracts.with_columns(
        pl.when(quoted).then(mid).when(traded).then(pl.col("close")).alias("price"),
        pl.when(quoted).then(pl.lit("mid")).when(traded).then(pl.lit("day_close")).alias("price_source"),
        pl.when(quoted)
        .then((1 - spread / mid / MAX_RELATIVE_SPREAD).clip(0.0, 1.0))
        .otherwise(0.5)
        .alias("tightness"),
    ).with_columns(
        pl.when(pl.col("open_interest").is_null())
        .then(pl.lit("open interest missing"))
        .when(pl.col("open_interest") < MIN_OPEN_INTEREST)
        .then(pl.lit(f"open interest below {MIN_OPEN_INTEREST}"))
        .when(pl.col("delta").is_null())
        .then(pl.lit("delta missing"))
        .when(quoted & too_wide)
        .then(pl.lit(f"quoted wider than {MAX_RELATIVE_SPREAD:.0%} of the midpoint, or without a bid"))
        .when(pl.col("price").is_null())
        .then(pl.lit("no quote and no trade in this session"))
        .when(pl.col("price") < MIN_PRICE)
        .then(pl.lit(f"price below ${MIN_PRICE}"))
        .when((pl.col("price") < intrinsic) | (pl.col("price") > ceiling - MIN_PRICE))
        .then(pl.lit("price outside the no-arbitrage bounds"))
        .alias("refusal")
    )


def _with_quality(contracts: pl.DataFrame) -> pl.DataFrame:
    """Adds `quality`, the part of the ranking that does not depend on the delta asked for."""
    nearness = 1 - (pl.col("dte") - TARGET_DTE).abs() / TARGET_DTE
    liquidity = (pl.col("open_interest").log10() / 5).clip(0.0, 1.0)
    return contracts.with_columns(
        (W_DTE * nearness + W_LIQUIDITY * liquidity + W_TIGHTNESS * pl.col("tightness")).alias("quality")
    )


def _in_band(legs: pl.DataFrame, option_type: str, band: _Band) -> pl.DataFrame:
    size = pl.col("delta").abs()
    reach = max(band.high - band.target, band.target - band.low)
    return legs.filter(
        (pl.col("option_type") == option_type) & size.is_between(band.low, band.high)
    ).with_columns((1 - (size - band.target).abs() / reach).alias("delta_fit"))


def _ranked(trades: pl.DataFrame, tie_breakers: list[str]) -> list[dict[str, Any]]:
    return (
        trades.sort(
            ["score", "expiration", *tie_breakers], descending=[True, False, *(False for _ in tie_breakers)]
        )
        .head(MAX_CANDIDATES)
        .to_dicts()
    )


def _singles(legs: pl.DataFrame, structure: _Structure) -> list[dict[str, Any]]:
    scored = _in_band(legs, structure.option_type, structure.near).with_columns(
        (W_DELTA * pl.col("delta_fit") + pl.col("quality")).alias("score")
    )
    return _ranked(scored, ["strike", "contract"])


def _verticals(legs: pl.DataFrame, structure: _Structure, far: _Band, spot: float) -> list[dict[str, Any]]:
    """Pairs of one expiry and one kind of price: a mid against a day close is no price of a spread."""
    near_legs = _in_band(legs, structure.option_type, structure.near)
    far_legs = _in_band(legs, structure.option_type, far).select(
        "expiration", "price_source", "delta_fit", *_LEG_COLUMNS
    )
    outward = 1.0 if structure.option_type == "call" else -1.0
    pairs = (
        near_legs.join(far_legs, on=["expiration", "price_source"], suffix="_far")
        .with_columns(
            ((pl.col("strike_far") - pl.col("strike")) * outward).alias("width"),
            (pl.col("price") - pl.col("price_far")).alias("net"),
        )
        .filter(
            (pl.col("width") > 0)
            & (pl.col("width") <= MAX_WIDTH_OF_SPOT * spot)
            & (pl.col("net") > MIN_NET_OF_WIDTH * pl.col("width"))
            & (pl.col("net") < MAX_NET_OF_WIDTH * pl.col("width"))
        )
        .with_columns(
            (
                W_DELTA * (pl.col("delta_fit") + pl.col("delta_fit_far")) / 2
                + pl.min_horizontal("quality", "quality_far")
            ).alias("score")
        )
    )
    return _ranked(pairs, ["strike", "strike_far", "contract", "contract_far"])


def _leg(
    row: Mapping[str, Any], structure: _Structure, symbol: str, session: date, buys: bool, suffix: str
) -> Leg:
    return Leg(
        contract=row["contract" + suffix],
        symbol=symbol,
        expiration=row["expiration"],
        strike=row["strike" + suffix],
        option_type=structure.option_type,
        side="buy" if buys else "sell",
        quantity=1,
        price=row["price" + suffix],
        price_source=row["price_source"],
        price_session=session,
        bid=row["bid" + suffix],
        ask=row["ask" + suffix],
        delta=row["delta" + suffix],
        implied_volatility=row["implied_volatility" + suffix],
        open_interest=row["open_interest" + suffix],
        shares_per_contract=row["shares_per_contract" + suffix],
    )


def _candidate(
    row: Mapping[str, Any], structure: _Structure, symbol: str, session: date, move: float | None
) -> Candidate:
    near = _leg(row, structure, symbol, session, structure.buys_near, "")
    legs: tuple[Leg, ...] = (near,)
    if structure.far is not None:
        legs = (near, _leg(row, structure, symbol, session, not structure.buys_near, "_far"))
        net, most = row["net"], row["width"] - row["net"]
    else:
        net = near.price
        most = near.strike - net if structure.option_type == "put" else None
    toward = 1.0 if structure.option_type == "call" else -1.0
    premium = net * near.shares_per_contract
    # Only a bought call is unlimited; what is sold here is covered by cash or by the other leg.
    remainder = None if most is None else most * near.shares_per_contract
    if structure.buys_near or remainder is None:
        max_loss, max_gain = premium, remainder
    else:
        max_loss, max_gain = remainder, premium
    return Candidate(
        candidate_id="",
        strategy=structure.strategy,
        structure=structure.name,
        direction=structure.direction,
        legs=legs,
        dte=row["dte"],
        net_debit=round(net if structure.buys_near else -net, 6),
        breakeven=round(near.strike + toward * net, 6),
        max_loss=round(max_loss, 2),
        max_gain=None if max_gain is None else round(max_gain, 2),
        expected_move=move,
        score=row["score"],
    )


def _expected_moves(
    contracts: pl.DataFrame, spot: float, fallback_iv: float | None
) -> dict[date, float | None]:
    """Expected move per expiry from its at-the-money IV, or from the average IV where that is unknown."""
    usable = contracts.filter((pl.col("implied_volatility") > 0) & (pl.col("implied_volatility") <= MAX_IV))
    distance = (pl.col("strike") - spot).abs()
    at_the_money = dict(
        usable.filter(distance == distance.min().over("expiration"))
        .group_by("expiration")
        .agg(pl.col("implied_volatility").mean())
        .iter_rows()
    )
    moves: dict[date, float | None] = {}
    for expiration, dte in contracts.select("expiration", "dte").unique().iter_rows():
        iv = at_the_money.get(expiration, fallback_iv)
        moves[expiration] = None if iv is None else spot * iv * sqrt(dte / 365)
    return moves


def _choose(ranked: list[tuple[_Structure, list[Candidate]]]) -> tuple[Candidate, ...]:
    """Up to each structure's quota first, so that no side is crowded out; then the best of the rest."""
    chosen = [item for structure, items in ranked for item in items[: structure.quota]]
    rest = [item for structure, items in ranked for item in items[structure.quota :]]
    rest.sort(key=lambda item: -item.score)
    best = sorted(chosen + rest[: MAX_CANDIDATES - len(chosen)], key=lambda item: -item.score)
    return tuple(replace(item, candidate_id=f"C{index:02d}") for index, item in enumerate(best, start=1))


def _shortage(contracts: pl.DataFrame, found: tuple[Candidate, ...]) -> tuple[str, ...]:
    """Why there are fewer than twelve: what the contracts in the DTE band were refused for."""
    if len(found) == MAX_CANDIDATES:
        return ()
    expiries = contracts["expiration"].unique().sort().to_list()
    reasons = [f"one expiry in {MIN_DTE}-{MAX_DTE} DTE: {expiries[0]}"] if len(expiries) == 1 else []
    refusals = (
        contracts["refusal"].drop_nulls().value_counts().sort(["count", "refusal"], descending=[True, False])
    )
    reasons += [
        f"{count} of {contracts.height} contracts in {MIN_DTE}-{MAX_DTE} DTE: {refusal}"
        for refusal, count in refusals.iter_rows()
    ]
    offered = {item.strategy for item in found}
    reasons += [f"no {strategy} candidate" for strategy in STRATEGIES if strategy not in offered]
    return tuple(reasons)


def enumerate_candidates(chain: pl.DataFrame, snapshot: Mapping[str, Any], session: date) -> CandidateSet:
    """The tradable candidates of one symbol from the CHAIN frame of `session`.

    `snapshot` needs `symbol` and `spot` (the session's regular close, dollars); `average_iv` (decimal) is
    used for the expected move of an expiry without any IV. Rows of other symbols are ignored. A leg is
    standard, live, 30-90 DTE, inside its delta band, with open interest of at least 100, and has a price of
    this very session: the midpoint where a quote exists (refused when wider than 15 % and 10 cents), else
    the day close of a contract that traded in this session. Never raises for poor data: the reasons say
    what is missing.
    """
    symbol = str(snapshot["symbol"])
    spot = number(snapshot, "spot")
    chain = chain.filter(pl.col("symbol") == symbol)
    if chain.is_empty():
        return CandidateSet(symbol, session, spot, (), (f"no chain stored for {symbol} at {session}",))
    if spot is None or spot <= 0:
        return CandidateSet(symbol, session, None, (), (f"no closing price of {symbol} at {session}",))
    in_band = _eligible(chain, session)
    if in_band.is_empty():
        reason = f"no standard, live contract of {symbol} expires {MIN_DTE} to {MAX_DTE} days after {session}"
        return CandidateSet(symbol, session, spot, (), (reason,))

    contracts = _priced(in_band, spot, session)
    legs = _with_quality(contracts.filter(pl.col("refusal").is_null()))
    moves = _expected_moves(in_band, spot, number(snapshot, "average_iv"))
    ranked = []
    for structure in STRUCTURES:
        far = structure.far
        rows = _singles(legs, structure) if far is None else _verticals(legs, structure, far, spot)
        ranked.append(
            (
                structure,
                [_candidate(row, structure, symbol, session, moves[row["expiration"]]) for row in rows],
            )
        )
    found = _choose(ranked)
    return CandidateSet(symbol, session, spot, found, _shortage(contracts, found))
