"""Implied volatility of a chain: level, skew, term structure, put/call ratios, rank in history and regime.

All volatilities and spreads are decimals (0.35 = 35 %). Definitions: docs/domain.md, volatility metrics. Does
not belong here: indicators of price volatility (indicators/volatility.py), realised volatility (price.py).
"""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import polars as pl

from kapman_metrics.documents import compact_json
from kapman_metrics.frames import CHAIN_SCHEMA, with_schema, with_spot

SHORTEST_DTE = 7
HIGHEST_IV = 2.0
MONEYNESS = 0.20
SKEW_DELTA = 0.25
NEAR_TENOR, FAR_TENOR = 30, 90
# Where no two expiries bracket a tenor, the nearest one stands in if it is no farther than this many days.
TENOR_TOLERANCE = {NEAR_TENOR: 15, FAR_TENOR: 30}
HISTORY_SESSIONS = 252
SHORTEST_HISTORY = 20
REGIMES = ((25.0, "low"), (75.0, "normal"), (95.0, "high"))

VOLATILITY_SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    "iv_skew_25d": pl.Float64(),
    "iv_term_structure": pl.Float64(),
    "put_call_ratio_oi": pl.Float64(),
    "put_call_ratio_volume": pl.Float64(),
    "average_iv": pl.Float64(),
    "iv_rank": pl.Float64(),
    "iv_percentile": pl.Float64(),
    "volatility_regime": pl.String(),
    "volatility_metrics_json": pl.String(),
}


def _priced() -> pl.Expr:
    """Contracts whose implied volatility is used at all."""
    iv = pl.col("implied_volatility")
    usable = (pl.col("dte") >= SHORTEST_DTE) & (iv > 0) & (iv <= HIGHEST_IV)
    return (usable & pl.col("is_standard") & pl.col("is_live")).fill_null(False)


def _near_the_money() -> pl.Expr:
    return ((pl.col("strike") / pl.col("spot") - 1).abs() <= MONEYNESS).fill_null(False)


def average_iv(chain: pl.DataFrame) -> pl.DataFrame:
    """symbol, average_iv: open-interest-weighted mean implied volatility of standard, live contracts with DTE
    >= 7, 0 < IV <= 2, strike within 20 % of spot. `chain`: CHAIN frame with `spot` and `dte`
    (frames.with_spot).

    Symbols without such a contract are absent.
    """
    held = pl.col("open_interest")
    return (
        chain.filter(_priced() & _near_the_money() & (held > 0).fill_null(False))
        .group_by("symbol", maintain_order=True)
        .agg(((pl.col("implied_volatility") * held).sum() / held.sum()).alias("average_iv"))
    )


def at_the_money_iv(chain: pl.DataFrame) -> pl.DataFrame:
    """symbol, dte, iv: implied volatility at spot for each expiry, linear in strike between the strikes
    around spot (calls and puts of a strike averaged). Expiries without a strike on both sides are absent.
    """
    by_strike = (
        chain.filter(_priced() & _near_the_money())
        .group_by("symbol", "dte", "strike", maintain_order=True)
        .agg(pl.col("implied_volatility").mean().alias("iv"), pl.col("spot").first())
    )
    return _interpolated(by_strike, ["symbol", "dte"], "strike", pl.col("spot"))


def delta_iv(chain: pl.DataFrame, option_type: str, target: float) -> pl.DataFrame:
    """symbol, dte, iv: implied volatility of each expiry at |delta| = `target`, linear in |delta| between the
    neighbours.

    No moneyness filter: the delta itself says how far out the strike is.
    """
    size = pl.col("delta").abs().alias("size")
    by_delta = (
        chain.filter(_priced() & (pl.col("option_type") == option_type) & pl.col("delta").is_not_null())
        .group_by("symbol", "dte", size, maintain_order=True)
        .agg(pl.col("implied_volatility").mean().alias("iv"))
        .with_columns(target=pl.lit(target))
    )
    return _interpolated(by_delta, ["symbol", "dte"], "size", pl.col("target"))


def _interpolated(frame: pl.DataFrame, keys: list[str], axis: str, at: pl.Expr) -> pl.DataFrame:
    """keys, iv: `iv` at `axis` = `at` from the nearest rows below and above; groups without both are
    absent.
    """
    below = (
        frame.filter(pl.col(axis) <= at)
        .sort(axis)
        .group_by(keys, maintain_order=True)
        .agg(pl.col(axis).last().alias("x0"), pl.col("iv").last().alias("y0"), at.last().alias("at"))
    )
    above = (
        frame.filter(pl.col(axis) >= at)
        .sort(axis)
        .group_by(keys, maintain_order=True)
        .agg(pl.col(axis).first().alias("x1"), pl.col("iv").first().alias("y1"))
    )
    share = (
        pl.when(pl.col("x1") > pl.col("x0"))
        .then((pl.col("at") - pl.col("x0")) / (pl.col("x1") - pl.col("x0")))
        .otherwise(0.0)
    )
    return (
        below.join(above, on=keys, how="inner")
        .with_columns((pl.col("y0") + (pl.col("y1") - pl.col("y0")) * share).alias("iv"))
        .select(*keys, "iv")
        .sort(keys)
    )


def _at_tenor(by_expiry: list[tuple[int, float]], tenor: int) -> tuple[float | None, list[int]]:
    """(value at `tenor` days, expiries used): linear in days between the expiries around it, else the
    nearest within the tolerance.
    """
    below = [row for row in by_expiry if row[0] <= tenor]
    above = [row for row in by_expiry if row[0] >= tenor]
    if below and above:
        (d0, v0), (d1, v1) = below[-1], above[0]
        if d0 == d1:
            return v0, [d0]
        return v0 + (v1 - v0) * (tenor - d0) / (d1 - d0), [d0, d1]
    if by_expiry:
        days, value = min(by_expiry, key=lambda row: abs(row[0] - tenor))
        if abs(days - tenor) <= TENOR_TOLERANCE[tenor]:
            return value, [days]
    return None, []


def _expiries(frame: pl.DataFrame) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for symbol, dte, iv in frame.select("symbol", "dte", "iv").sort("symbol", "dte").iter_rows():
        found.setdefault(symbol, []).append((dte, iv))
    return found


def rank_and_percentile(value: float | None, earlier: np.ndarray) -> tuple[float | None, float | None]:
    """(place of `value` in the range of `earlier`, share of `earlier` below it), both 0-100.

    Null without a value or below 20 earlier values; the rank also where all of them are equal. A value
    outside the range ranks 0 or 100.
    """
    if value is None or len(earlier) < SHORTEST_HISTORY:
        return None, None
    lowest, highest = float(earlier.min()), float(earlier.max())
    rank = None
    if highest > lowest:
        rank = min(max(100.0 * (value - lowest) / (highest - lowest), 0.0), 100.0)
    return rank, float(100.0 * np.mean(earlier < value))


def regime(percentile: float | None) -> str | None:
    """low below 25, normal below 75, high below 95, else extreme."""
    if percentile is None:
        return None
    return next((name for limit, name in REGIMES if percentile < limit), "extreme")


def volatility_metrics(
    chain: pl.DataFrame, spot: pl.DataFrame, history: pl.DataFrame, as_of: date
) -> pl.DataFrame:
    """One row per symbol of the chain, columns of `VOLATILITY_SCHEMA`.

    `history`: symbol, date, average_iv, hv_20 of stored sessions. Only rows before `as_of` count as history
    (the last 252 with a value); of a row dated `as_of` only hv_20 is read, for the regime when implied
    history is too short. iv_skew_25d and iv_term_structure are decimals (positive: puts dearer, far dearer);
    ratios are put / call over the whole stored chain, null when the call side is 0; iv_rank and iv_percentile
    0-100, null below 20 earlier sessions.
    """
    priced = with_spot(with_schema(chain, CHAIN_SCHEMA, "the chain"), spot, as_of).sort(
        "symbol", "strike", "option_type", "expiration", "contract"
    )
    levels = dict(average_iv(priced).iter_rows())
    at_money = _expiries(at_the_money_iv(priced))
    puts = _expiries(delta_iv(priced, "put", SKEW_DELTA))
    calls = _expiries(delta_iv(priced, "call", SKEW_DELTA))
    past_iv, past_hv, hv_today = _history(history, as_of)
    rows = []
    for totals in _totals(priced).iter_rows(named=True):
        symbol = totals["symbol"]
        level = levels.get(symbol)
        skew, skew_document = _skew(puts.get(symbol, []), calls.get(symbol, []))
        term, term_document = _term_structure(at_money.get(symbol, []))
        earlier_iv = past_iv.get(symbol, np.empty(0))
        earlier_hv = past_hv.get(symbol, np.empty(0))
        rank, percentile = rank_and_percentile(level, earlier_iv)
        _, hv_percentile = rank_and_percentile(hv_today.get(symbol), earlier_hv)
        judged = percentile if percentile is not None else hv_percentile
        document: dict[str, Any] = {
            "as_of": as_of.isoformat(),
            "spot": totals["spot"],
            "filter": {"dte_min": SHORTEST_DTE, "iv_max": HIGHEST_IV, "moneyness_max": MONEYNESS},
            "contracts": totals["contracts"],
            "contracts_with_iv": totals["with_iv"],
            "contracts_averaged": totals["averaged"],
            "call_oi": totals["call_oi"],
            "put_oi": totals["put_oi"],
            "call_volume": totals["call_volume"],
            "put_volume": totals["put_volume"],
            "skew": skew_document,
            "term_structure": term_document,
            "iv_history_sessions": len(earlier_iv),
            "hv_history_sessions": len(earlier_hv),
            "regime_from": None if judged is None else ("average_iv" if percentile is not None else "hv_20"),
            "regime_percentile": judged,
        }
        rows.append(
            (
                symbol,
                skew,
                term,
                _ratio(totals["put_oi"], totals["call_oi"]),
                _ratio(totals["put_volume"], totals["call_volume"]),
                level,
                rank,
                percentile,
                regime(judged),
                compact_json(document),
            )
        )
    return pl.DataFrame(rows, schema=VOLATILITY_SCHEMA, orient="row")


def _totals(priced: pl.DataFrame) -> pl.DataFrame:
    is_call = pl.col("option_type") == "call"
    oi_known = pl.col("open_interest").is_not_null().any()
    held = (pl.col("open_interest") > 0).fill_null(False)
    return priced.group_by("symbol", maintain_order=True).agg(
        pl.col("spot").first(),
        pl.len().alias("contracts"),
        pl.col("implied_volatility").is_not_null().sum().alias("with_iv"),
        (_priced() & _near_the_money() & held).sum().alias("averaged"),
        pl.when(oi_known).then(pl.col("open_interest").filter(is_call).sum()).alias("call_oi"),
        pl.when(oi_known).then(pl.col("open_interest").filter(~is_call).sum()).alias("put_oi"),
        pl.col("volume").filter(is_call).sum().alias("call_volume"),
        pl.col("volume").filter(~is_call).sum().alias("put_volume"),
    )


def _ratio(puts: float | None, calls: float | None) -> float | None:
    return puts / calls if puts is not None and calls else None


def _skew(
    puts: list[tuple[int, float]], calls: list[tuple[int, float]]
) -> tuple[float | None, dict[str, Any] | None]:
    """IV(25-delta put) - IV(25-delta call) at 30 days, over the expiries that have both."""
    call_iv = dict(calls)
    both = [(days, put, call_iv[days]) for days, put in puts if days in call_iv]
    put_at, used = _at_tenor([(days, put) for days, put, _ in both], NEAR_TENOR)
    call_at, _ = _at_tenor([(days, call) for days, _, call in both], NEAR_TENOR)
    if put_at is None or call_at is None:
        return None, None
    return put_at - call_at, {"put_25d_iv": put_at, "call_25d_iv": call_at, "dte_used": used}


def _term_structure(at_money: list[tuple[int, float]]) -> tuple[float | None, dict[str, Any] | None]:
    """ATM IV at 90 days minus at 30 days; null when both would come from one and the same expiry."""
    near, near_used = _at_tenor(at_money, NEAR_TENOR)
    far, far_used = _at_tenor(at_money, FAR_TENOR)
    document = {
        "atm_iv_30d": near,
        "atm_iv_90d": far,
        "dte_used_30d": near_used,
        "dte_used_90d": far_used,
        "by_expiry": [[days, iv] for days, iv in at_money],
    }
    if near is None or far is None or near_used == far_used == near_used[:1]:
        return None, document if at_money else None
    return far - near, document


def _history(
    history: pl.DataFrame, as_of: date
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, float]]:
    """Earlier average_iv and hv_20 of each symbol (the last 252 with a value), and hv_20 of `as_of`
    itself.
    """
    rows = history.select(
        "symbol", "date", pl.col("average_iv", "hv_20").cast(pl.Float64).fill_nan(None)
    ).sort("symbol", "date")
    earlier = rows.filter(pl.col("date") < as_of)

    def last_values(name: str) -> dict[str, np.ndarray]:
        present = earlier.filter(pl.col(name).is_not_null())
        kept = present.group_by("symbol", maintain_order=True).agg(pl.col(name).tail(HISTORY_SESSIONS))
        return {symbol: np.array(values) for symbol, values in kept.iter_rows()}

    today = rows.filter((pl.col("date") == as_of) & pl.col("hv_20").is_not_null()).select("symbol", "hv_20")
    return last_values("average_iv"), last_values("hv_20"), dict(today.iter_rows())
