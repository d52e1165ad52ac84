"""Dealer positioning from a stored chain: gamma exposure, walls, gamma flip, pressure index, and the chain's
daily summary.

Exposure of a contract = gamma x open interest x shares x spot^2 x 0.01: dollars of delta per 1 % move of the
underlying. Sign convention: calls +, puts - (dealers long the calls, short the puts). Definitions:
docs/domain.md, dealer metrics. Does not belong here: implied-volatility averages (volatility.py), cleaning
(chain.py).
"""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import polars as pl

from kapman_metrics.documents import compact_json, finite_or_none
from kapman_metrics.flip import gamma_flip_levels
from kapman_metrics.frames import CHAIN_SCHEMA, with_schema, with_spot
from kapman_metrics.volatility import average_iv

SIGN_CONVENTION = "calls +, puts -"
LONGEST_DTE = 90
WALL_REACH = 0.20  # walls stand within this share of spot
WALLS_KEPT = 3
DGPI_WIDTH = 0.05  # standard deviation of the proximity weight, as a share of spot
NEUTRAL_DGPI = 10.0
FULL_CONTRACTS, LIMITED_CONTRACTS = 25, 5

# in this order: a contract is counted under the first reason that excludes it
EXCLUSIONS = ("not_standard", "not_live", "days_to_expiry", "no_gamma", "no_open_interest", "no_spot")

DEALER_SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    "gex_total": pl.Float64(),
    "gex_net": pl.Float64(),
    "gamma_flip_level": pl.Float64(),
    "call_wall_primary": pl.Float64(),
    "call_wall_primary_oi": pl.Int64(),
    "put_wall_primary": pl.Float64(),
    "put_wall_primary_oi": pl.Int64(),
    "dgpi": pl.Float64(),
    "dealer_position": pl.String(),
    "dealer_metrics_json": pl.String(),
}


def contract_exposure(chain: pl.DataFrame, spot: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """The chain, sorted by symbol, strike, type, expiration, contract, with what exposure is made of.

    Added: `spot`, `dte`, `excluded` (first reason of `EXCLUSIONS`, null when eligible), `exposure` (signed
    dollars of delta per 1 % move, null when excluded), `weight` (proximity of the strike to spot, 0..1),
    `parity_iv` (implied volatility, else that of the other type at the same strike and expiry).
    """
    joined = with_spot(with_schema(chain, CHAIN_SCHEMA, "the chain"), spot, as_of)
    live, standard = pl.col("is_live").fill_null(False), pl.col("is_standard").fill_null(False)
    excluded = (
        pl.when(~standard)
        .then(pl.lit("not_standard"))
        .when(~live)
        .then(pl.lit("not_live"))
        .when(~pl.col("dte").is_between(0, LONGEST_DTE).fill_null(False))
        .then(pl.lit("days_to_expiry"))
        .when(pl.col("gamma").is_null())
        .then(pl.lit("no_gamma"))
        .when(~(pl.col("open_interest") > 0).fill_null(False))
        .then(pl.lit("no_open_interest"))
        .when(pl.col("spot").is_null())
        .then(pl.lit("no_spot"))
    )
    side = pl.when(pl.col("option_type") == "call").then(1.0).otherwise(-1.0)
    size = (
        pl.col("gamma") * pl.col("open_interest") * pl.col("shares_per_contract") * pl.col("spot") ** 2 * 0.01
    )
    distance = (pl.col("strike") / pl.col("spot") - 1) / DGPI_WIDTH
    twins = ("symbol", "expiration", "strike", "is_standard")
    twin_iv = pl.col("implied_volatility").max().over(twins)
    order = ["symbol", "strike", "option_type", "expiration", "contract"]
    return (
        joined.with_columns(excluded=excluded)
        .with_columns(
            exposure=pl.when(pl.col("excluded").is_null()).then(side * size),
            weight=(-0.5 * distance**2).exp(),
            # put and call of one strike share their volatility by parity; vendors omit it on the side in
            # the money
            parity_iv=pl.coalesce("implied_volatility", twin_iv),
        )
        .sort(order)
    )


def walls(exposed: pl.DataFrame) -> pl.DataFrame:
    """Strikes that can be walls, best first: symbol, option_type, strike, open_interest, exposure (of the
    strike, unsigned), rank (1 = most open interest; ties go to the strike nearer spot).

    Calls at or above spot, puts at or below, within `WALL_REACH` of spot, open interest of eligible
    contracts.
    """
    is_call = pl.col("option_type") == "call"
    beyond_spot = (
        pl.when(is_call)
        .then(pl.col("strike") >= pl.col("spot"))
        .otherwise(pl.col("strike") <= pl.col("spot"))
    )
    near = (pl.col("strike") / pl.col("spot") - 1).abs() <= WALL_REACH
    by_strike = (
        exposed.filter(pl.col("excluded").is_null() & beyond_spot & near)
        .group_by("symbol", "option_type", "strike", maintain_order=True)
        .agg(
            pl.col("open_interest").sum(),
            pl.col("exposure").abs().sum(),
            (pl.col("strike") - pl.col("spot")).abs().first().alias("distance"),
        )
    )
    ranked = by_strike.sort(
        ["symbol", "option_type", "open_interest", "distance"], descending=[False, False, True, False]
    )
    return ranked.with_columns(
        rank=pl.int_range(1, pl.len() + 1).over("symbol", "option_type"),
    )


def dealer_metrics(chain: pl.DataFrame, spot: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """One row per symbol of the chain (CHAIN and SPOT frames), columns of `DEALER_SCHEMA`.

    gex_total = sum of |exposure|, gex_net = signed sum, both in dollars of delta per 1 % move; walls and
    gamma_flip_level in price; dgpi -100..100; dealer_position "long_gamma" | "short_gamma" | "neutral". Null:
    everything for a symbol without spot or without an eligible contract, a wall where no strike qualifies,
    the flip where net exposure keeps its sign within 25 % of spot. dealer_metrics_json holds the convention,
    what was eligible and excluded and why, and the sums by strike from which every number can be redone.
    """
    exposed = contract_exposure(chain, spot, as_of)
    flips = gamma_flip_levels(exposed.filter(pl.col("exposure").is_not_null()))
    found = walls(exposed)
    sums = _sums(exposed)
    strikes = _by_strike(exposed)

    wall_rows = _grouped(found, ["symbol", "option_type"])
    strike_rows = _grouped(strikes, ["symbol"])
    reasons = {
        (symbol, reason): count
        for symbol, reason, count in exposed.group_by("symbol", "excluded").len().iter_rows()
    }
    rows = []
    for row in sums.iter_rows(named=True):
        symbol = row["symbol"]
        calls = wall_rows.get((symbol, "call"), [])
        puts = wall_rows.get((symbol, "put"), [])
        flip, repriced = flips.get(symbol, (None, 0))
        dgpi = 100.0 * row["near_net"] / row["near_total"] if row["near_total"] else None
        position = _position(dgpi)
        document = {
            "sign_convention": SIGN_CONVENTION,
            "exposure_unit": "USD of delta per 1 % move",
            "as_of": as_of.isoformat(),
            "spot": row["spot"],
            "usability": _usability(row["eligible"]),
            "contracts": row["contracts"],
            "contracts_eligible": row["eligible"],
            "contracts_excluded": {reason: reasons.get((symbol, reason), 0) for reason in EXCLUSIONS},
            "contracts_repriced": repriced,
            "gex_calls": row["gex_calls"],
            "gex_puts": row["gex_puts"],
            "gamma_flip_strike": _ladder_crossing(strike_rows.get((symbol,), []), row["spot"]),
            "dgpi_near_net": row["near_net"],
            "dgpi_near_total": row["near_total"],
            "dgpi_log": _dgpi_log(row["gex_net"]),
            "call_walls": [_wall(wall) for wall in calls[:WALLS_KEPT]],
            "put_walls": [_wall(wall) for wall in puts[:WALLS_KEPT]],
            "call_wall_by_exposure": _strongest(calls),
            "put_wall_by_exposure": _strongest(puts),
            **_strike_table(strike_rows.get((symbol,), []), row["spot"]),
        }
        rows.append(
            (
                symbol,
                row["gex_total"],
                row["gex_net"],
                finite_or_none(flip),
                calls[0]["strike"] if calls else None,
                round(calls[0]["open_interest"]) if calls else None,
                puts[0]["strike"] if puts else None,
                round(puts[0]["open_interest"]) if puts else None,
                dgpi,
                position,
                compact_json(document),
            )
        )
    return pl.DataFrame(rows, schema=DEALER_SCHEMA, orient="row")


def _sums(exposed: pl.DataFrame) -> pl.DataFrame:
    exposure, weighted = pl.col("exposure"), pl.col("exposure") * pl.col("weight")
    eligible = exposure.is_not_null().sum()
    is_call = pl.col("option_type") == "call"

    def known(total: pl.Expr) -> pl.Expr:
        return pl.when(eligible > 0).then(total)

    return exposed.group_by("symbol", maintain_order=True).agg(
        pl.col("spot").first(),
        pl.len().alias("contracts"),
        eligible.alias("eligible"),
        known(exposure.abs().sum()).alias("gex_total"),
        known(exposure.sum()).alias("gex_net"),
        known(exposure.filter(is_call).sum()).alias("gex_calls"),
        known(exposure.filter(~is_call).sum()).alias("gex_puts"),
        known(weighted.sum()).alias("near_net"),
        known(weighted.abs().sum()).alias("near_total"),
    )


def _by_strike(exposed: pl.DataFrame) -> pl.DataFrame:
    """Eligible sums per strike, ascending: call and put exposure (puts negative) and open interest."""
    is_call = pl.col("option_type") == "call"
    return (
        exposed.filter(pl.col("exposure").is_not_null())
        .group_by("symbol", "strike", maintain_order=True)
        .agg(
            pl.col("exposure").filter(is_call).sum().alias("call_exposure"),
            pl.col("exposure").filter(~is_call).sum().alias("put_exposure"),
            pl.col("open_interest").filter(is_call).sum().alias("call_oi"),
            pl.col("open_interest").filter(~is_call).sum().alias("put_oi"),
        )
    )


def _grouped(frame: pl.DataFrame, keys: list[str]) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in frame.iter_rows(named=True):
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return groups


def _position(dgpi: float | None) -> str | None:
    if dgpi is None:
        return None
    if abs(dgpi) < NEUTRAL_DGPI:
        return "neutral"
    return "long_gamma" if dgpi > 0 else "short_gamma"


def _usability(eligible: int) -> str:
    if eligible >= FULL_CONTRACTS:
        return "full"
    return "limited" if eligible >= LIMITED_CONTRACTS else "invalid"


def _dgpi_log(net: float | None) -> float | None:
    """The older form, kept for comparison; it saturates."""
    if net is None:
        return None
    return float(np.clip(np.sign(net) * 10.0 * np.log10(abs(net) + 1.0), -100.0, 100.0))


def _ladder_crossing(strikes: list[dict[str, Any]], spot: float | None) -> float | None:
    """Strike nearest spot at which net exposure summed from the lowest strike up changes sign."""
    if spot is None or not strikes:
        return None
    net = np.array([row["call_exposure"] + row["put_exposure"] for row in strikes])
    running = np.cumsum(net)
    crossed = np.flatnonzero(running[:-1] * running[1:] < 0) + 1
    if not crossed.size:
        return None
    levels = np.array([row["strike"] for row in strikes])[crossed]
    return float(levels[np.abs(levels - spot).argmin()])


def _wall(row: dict[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in ("strike", "open_interest", "exposure")}


def _strongest(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    if not rows:
        return None
    return _wall(max(rows, key=lambda row: (row["exposure"], -row["distance"])))


def _strike_table(strikes: list[dict[str, Any]], spot: float | None) -> dict[str, Any]:
    """Sums per strike within the reach of walls, and what lies outside in one line, so that totals can be
    added up again.
    """
    columns = ("strike", "call_exposure", "put_exposure", "call_oi", "put_oi")
    if spot is None:
        return {"strike_columns": columns, "strikes": [], "outside": None}
    inside = [row for row in strikes if abs(row["strike"] / spot - 1) <= WALL_REACH]
    outside = [row for row in strikes if abs(row["strike"] / spot - 1) > WALL_REACH]
    return {
        "strike_columns": columns,
        "strikes": [[row[name] for name in columns] for row in inside],
        "outside": {name: sum(row[name] for row in outside) for name in columns[1:]},
    }


def options_daily_summary(chain: pl.DataFrame, spot: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """One row per symbol of the chain: totals over all its stored contracts, walls and exposure over the
    eligible ones.

    symbol; total_call_oi, total_put_oi (null where no contract has one), total_call_volume, total_put_volume
    (contracts that traded in the session; 0 when none did); weighted_avg_iv (as average_iv of volatility.py);
    top_call_strike_1..3, top_call_oi_1..3, top_put_strike_1..3, top_put_oi_1..3 (walls, null without spot);
    total_call_gamma, total_put_gamma, total_call_delta, total_put_delta (greek x open interest x shares,
    summed: shares of delta, and of delta per dollar); calculated_gex, calculated_net_gex (gex_total, gex_net
    of `dealer_metrics`); contract_count, contracts_with_greeks.
    """
    exposed = contract_exposure(chain, spot, as_of)
    is_call = pl.col("option_type") == "call"
    held = pl.col("open_interest") * pl.col("shares_per_contract")

    def total(values: pl.Expr, side: pl.Expr) -> pl.Expr:
        wanted = values.filter(side)
        return pl.when(wanted.is_not_null().any()).then(wanted.sum())

    def open_interest(side: pl.Expr) -> pl.Expr:
        # a chain with open interest but without contracts of one side has 0 there, not an unknown
        return pl.when(pl.col("open_interest").is_not_null().any()).then(
            pl.col("open_interest").filter(side).sum().round(0).cast(pl.Int64)
        )

    totals = exposed.group_by("symbol", maintain_order=True).agg(
        open_interest(is_call).alias("total_call_oi"),
        open_interest(~is_call).alias("total_put_oi"),
        pl.col("volume").filter(is_call).sum().round(0).cast(pl.Int64).alias("total_call_volume"),
        pl.col("volume").filter(~is_call).sum().round(0).cast(pl.Int64).alias("total_put_volume"),
        total(pl.col("gamma") * held, is_call).alias("total_call_gamma"),
        total(pl.col("gamma") * held, ~is_call).alias("total_put_gamma"),
        total(pl.col("delta") * held, is_call).alias("total_call_delta"),
        total(pl.col("delta") * held, ~is_call).alias("total_put_delta"),
        pl.len().cast(pl.Int64).alias("contract_count"),
        (pl.col("gamma").is_not_null() & pl.col("delta").is_not_null())
        .sum()
        .cast(pl.Int64)
        .alias("contracts_with_greeks"),
    )
    gex = _sums(exposed).select(
        "symbol", pl.col("gex_total").alias("calculated_gex"), pl.col("gex_net").alias("calculated_net_gex")
    )
    summary = totals.join(gex, on="symbol", how="left").join(
        average_iv(exposed).rename({"average_iv": "weighted_avg_iv"}), on="symbol", how="left"
    )
    found = walls(exposed)
    top: list[str] = []
    for option_type in ("call", "put"):
        for rank in range(1, WALLS_KEPT + 1):
            names = (f"top_{option_type}_strike_{rank}", f"top_{option_type}_oi_{rank}")
            top += names
            nth = found.filter((pl.col("option_type") == option_type) & (pl.col("rank") == rank)).select(
                "symbol",
                pl.col("strike").alias(names[0]),
                pl.col("open_interest").round(0).cast(pl.Int64).alias(names[1]),
            )
            summary = summary.join(nth, on="symbol", how="left")
    return summary.select(
        "symbol",
        "total_call_oi",
        "total_put_oi",
        "total_call_volume",
        "total_put_volume",
        "weighted_avg_iv",
        *sorted(top, key=lambda name: ("put" in name, "oi" in name, name)),
        "total_call_gamma",
        "total_put_gamma",
        "total_call_delta",
        "total_put_delta",
        "calculated_gex",
        "calculated_net_gex",
        "contract_count",
        "contracts_with_greeks",
    ).sort("symbol")
