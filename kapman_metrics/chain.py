"""From the vendor's raw option chain to the chain that is stored: one row a contract, every flag and greek
accounted for.

Rules of docs/domain.md, options chains: nothing may require bid or ask, a contract is never dropped for
missing greeks, and greeks are solved only from a price worth it. Does not belong here: exposure, walls,
averages.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from kapman_metrics import greeks
from kapman_metrics.frames import CHAIN_SCHEMA, GREEKS, RAW_CHAIN_SCHEMA, with_schema, with_spot

OPTION_TYPES = ("call", "put")
STANDARD_SHARES = 100.0
# |delta| <= 1 and gamma >= 0 are exact in theory; vendors print 1.0000000000065 and -1.4e-9.
CLAMP_TOLERANCE = 1e-6
# vendors print vega down to -0.0006 for contracts without time value
VEGA_TOLERANCE = 1e-3
# A quote that needs more volatility, or at a strike farther from spot, is the leftover of a contract in which
# nobody makes a market (pre-split strikes).
HIGHEST_QUOTED_VOLATILITY = 3.0
QUOTED_STRIKE_FACTOR = 3.0


@dataclass(frozen=True)
class ChainCleaning:
    """`chain`: CHAIN frame sorted by symbol, expiration, strike, option_type, contract.

    `rejected`: contract, symbol, reason, detail (one row per raw row that is not in the chain).
    `counts`: what happened, by name; every key always present.
    """

    chain: pl.DataFrame
    rejected: pl.DataFrame
    counts: dict[str, int]


def clean_chain(
    raw: pl.DataFrame,
    spot: pl.DataFrame,
    session: date,
    live_since: date,
    rate: float = greeks.DEFAULT_RATE,
    dividend_yield: float = greeks.DEFAULT_DIVIDEND_YIELD,
) -> ChainCleaning:
    """Clean the chains of one session (RAW CHAIN and SPOT frames, any number of underlyings).

    `session`: the session the snapshot belongs to; `live_since`: the oldest session whose trade still counts
    as life (the caller counts sessions). Raises ValueError when a column of RAW CHAIN is missing.
    """
    typed = with_schema(raw, RAW_CHAIN_SCHEMA, "the raw chain")
    judged = typed.with_columns(_reject_reason(session))
    rejected = [judged.filter(pl.col("reason").is_not_null())]
    kept = judged.filter(pl.col("reason").is_null())

    contested = kept["contract"].is_duplicated()
    ranked = kept.filter(contested).sort(_best_first(), descending=True, nulls_last=True, maintain_order=True)
    best = ranked["contract"].is_first_distinct()
    rejected.append(ranked.filter(~best).with_columns(reason=pl.lit("duplicate")))
    kept = pl.concat([kept.filter(~contested), ranked.filter(best)]).drop("reason")

    counts = {"received": raw.height, "kept": kept.height}
    refused = pl.concat(rejected)
    for reason in ("identity", "option_type", "strike", "expired", "duplicate"):
        counts[f"rejected_{reason}"] = refused.filter(pl.col("reason") == reason).height

    flagged = _flag(kept, session, counts)
    sound = _vendor_greeks(flagged, counts)
    priced = _solve_missing(with_spot(sound, spot, session), session, rate, dividend_yield, counts)
    chain = _liveness(priced, live_since).select(CHAIN_SCHEMA.keys())
    counts["not_standard"] = chain.height - int(chain["is_standard"].sum())
    counts["not_live"] = chain.height - int(chain["is_live"].sum())
    order = ["symbol", "expiration", "strike", "option_type", "contract"]
    return ChainCleaning(chain.sort(order), _rejections(refused), counts)


def _reject_reason(session: date) -> pl.Expr:
    return (
        pl.when(pl.any_horizontal(pl.col(name).is_null() for name in ("symbol", "contract", "expiration")))
        .then(pl.lit("identity"))
        .when(~pl.col("option_type").is_in(OPTION_TYPES).fill_null(False))
        .then(pl.lit("option_type"))
        .when(~(pl.col("strike") > 0).fill_null(False))
        .then(pl.lit("strike"))
        .when(pl.col("expiration") < session)
        .then(pl.lit("expired"))
        .alias("reason")
    )


def _best_first() -> list[pl.Expr]:
    """Among duplicates: the one with open interest, then greeks, then volume; the rest makes the choice
    unique.
    """
    return [
        (pl.col("open_interest") > 0).fill_null(False),
        pl.col("gamma").is_not_null() & pl.col("delta").is_not_null(),
        (pl.col("day_volume") > 0).fill_null(False),
        pl.col("day_session"),
        pl.col("open_interest"),
        pl.col("day_volume"),
        pl.col("implied_volatility"),
        pl.col("gamma"),
        pl.col("day_close"),
    ]


def _rejections(refused: pl.DataFrame) -> pl.DataFrame:
    detail = (
        pl.when(pl.col("reason") == "option_type")
        .then(pl.format("option_type {}", pl.col("option_type").fill_null("null")))
        .when(pl.col("reason") == "strike")
        .then(pl.format("strike {}", pl.col("strike").cast(pl.String).fill_null("null")))
        .when(pl.col("reason") == "expired")
        .then(pl.format("expired on {}", pl.col("expiration").cast(pl.String)))
        .when(pl.col("reason") == "duplicate")
        .then(pl.lit("a better row of the same contract was kept"))
        .otherwise(pl.lit("symbol, contract or expiration is missing"))
    )
    columns = refused.select("contract", "symbol", "reason", detail.alias("detail"))
    return columns.sort("symbol", "contract", "reason", "detail")


def _flag(kept: pl.DataFrame, session: date, counts: dict[str, int]) -> pl.DataFrame:
    """Session rule for volume, standard flag, values that cannot be."""
    shares = pl.col("shares_per_contract")
    root = pl.col("contract").str.replace(r"^O:", "").str.replace(r"\d{6}[CP]\d{8}$", "")
    traded = (pl.col("day_session") == session).fill_null(False)
    counts["traded_in_session"] = kept.select((traded & pl.col("day_volume").is_not_null()).sum()).item()
    counts["volume_of_older_session"] = kept.select((~traded & (pl.col("day_volume") > 0)).sum()).item()
    counts["shares_missing"] = kept.select((~(shares > 0).fill_null(False)).sum()).item()
    counts["open_interest_negative"] = kept.select((pl.col("open_interest") < 0).sum()).item()
    counts["implied_volatility_not_positive"] = kept.select((pl.col("implied_volatility") <= 0).sum()).item()
    return kept.with_columns(
        is_standard=((shares == STANDARD_SHARES) & ~root.str.contains(r"\d")).fill_null(False),
        # a contract without a known multiplier is kept, but as not standard: no exposure is computed from
        # the assumed 100
        shares_per_contract=pl.when(shares > 0).then(shares).otherwise(STANDARD_SHARES),
        volume=pl.when(traded & (pl.col("day_volume") >= 0)).then(pl.col("day_volume")),
        close=pl.col("day_close"),
        last_session=pl.col("day_session"),
        open_interest=pl.when(pl.col("open_interest") >= 0).then(pl.col("open_interest")),
        implied_volatility=pl.when(pl.col("implied_volatility") > 0).then(pl.col("implied_volatility")),
    )


def _vendor_greeks(chain: pl.DataFrame, counts: dict[str, int]) -> pl.DataFrame:
    """Vendor greeks clamped or taken away; `greeks_source` "vendor" where they stand.

    Without an implied volatility, gamma, vega and theta of 0 are the vendor's way of printing "not
    priceable".
    """
    present = pl.col("delta").is_not_null() & pl.col("gamma").is_not_null()
    placeholder = present & pl.col("implied_volatility").is_null()
    for name in ("gamma", "vega", "theta"):
        placeholder &= pl.col(name).fill_null(0.0) == 0
    out_of_range = present & (
        (pl.col("delta").abs() > 1 + CLAMP_TOLERANCE)
        | (pl.col("gamma") < -CLAMP_TOLERANCE)
        | (pl.col("vega") < -VEGA_TOLERANCE).fill_null(False)
    )
    marked = chain.with_columns(
        present=present, placeholder=placeholder, out_of_range=out_of_range & ~placeholder
    )
    counts["greeks_placeholder"] = int(marked["placeholder"].sum())
    counts["greeks_out_of_range"] = int(marked["out_of_range"].sum())
    stands = pl.col("present") & ~pl.col("placeholder") & ~pl.col("out_of_range")
    clamped = {
        "delta": pl.col("delta").clip(-1.0, 1.0),
        "gamma": pl.col("gamma").clip(lower_bound=0.0),
        "theta": pl.col("theta"),
        "vega": pl.col("vega").clip(lower_bound=0.0),
    }
    counts["greeks_vendor"] = marked.select(stands.sum()).item()
    return marked.with_columns(
        *(pl.when(stands).then(value).alias(name) for name, value in clamped.items()),
        pl.when(stands).then(pl.lit("vendor")).alias("greeks_source"),
    ).drop("present", "placeholder", "out_of_range")


def _solve_missing(
    chain: pl.DataFrame, session: date, rate: float, dividend_yield: float, counts: dict[str, int]
) -> pl.DataFrame:
    """Implied volatility and greeks where the vendor has none, from the midpoint, else from this session's
    close.

    A contract that expires in the session itself is not solved: at its close it has no time value left. Nor is
    one that is not standard: what it delivers is not the share whose price is known.
    """
    quoted = ((pl.col("bid") > 0) & (pl.col("ask") >= pl.col("bid"))).fill_null(False)
    midpoint = pl.when(quoted).then((pl.col("bid") + pl.col("ask")) / 2)
    own_close = pl.when((pl.col("last_session") == session) & (pl.col("close") > 0)).then(pl.col("close"))
    chain = chain.with_columns(midpoint=midpoint).with_columns(
        worth=pl.coalesce("midpoint", own_close),
    )
    missing = chain["greeks_source"].is_null()
    priced = chain["worth"].is_not_null() & chain["spot"].is_not_null()
    solvable = missing & priced & chain["is_standard"] & (chain["dte"] > 0)
    rows = np.flatnonzero(solvable.to_numpy())
    part = chain[rows]
    spot, strike = part["spot"].to_numpy(), part["strike"].to_numpy()
    years = greeks.years_to_expiry(part["dte"].to_numpy())
    is_call = (part["option_type"] == "call").to_numpy()
    terms = (rate, dividend_yield)
    volatility = greeks.implied_volatility(part["worth"].to_numpy(), spot, strike, years, is_call, *terms)

    solved = {
        "solved_volatility": volatility,
        "solved_delta": greeks.delta(spot, strike, years, volatility, is_call, *terms),
        "solved_gamma": greeks.gamma(spot, strike, years, volatility, *terms),
        "solved_theta": greeks.theta(spot, strike, years, volatility, is_call, *terms),
        "solved_vega": greeks.vega(spot, strike, years, volatility, *terms),
    }
    columns = []
    for name, values in solved.items():
        whole = np.full(chain.height, np.nan)
        whole[rows] = values
        columns.append(pl.Series(name, whole).fill_nan(None))
    chain = chain.with_columns(columns)
    found = pl.col("solved_volatility").is_not_null()
    counts["greeks_computed"] = chain.select(found.sum()).item()
    counts["greeks_missing"] = chain.height - counts["greeks_vendor"] - counts["greeks_computed"]
    counts["symbols_without_spot"] = chain.filter(pl.col("spot").is_null())["symbol"].n_unique()
    return chain.with_columns(
        *(
            pl.when(found).then(pl.col(f"solved_{name}")).otherwise(pl.col(name)).alias(name)
            for name in GREEKS
        ),
        pl.coalesce("implied_volatility", "solved_volatility").alias("implied_volatility"),
        pl.when(found).then(pl.lit("computed")).otherwise(pl.col("greeks_source")).alias("greeks_source"),
    )


def _liveness(chain: pl.DataFrame, live_since: date) -> pl.DataFrame:
    """Live: traded since `live_since`, or priced by the vendor's greeks, or under a quote that can be meant.

    A quote carries no date, so it counts only for a strike within a factor of three of spot, near the
    no-arbitrage range and at a volatility somebody could pay.
    """
    traded = (pl.col("last_session") >= live_since).fill_null(False)
    is_call = pl.col("option_type") == "call"
    intrinsic = (
        pl.when(is_call).then(pl.col("spot") - pl.col("strike")).otherwise(pl.col("strike") - pl.col("spot"))
    )
    most = pl.when(is_call).then(pl.col("spot")).otherwise(pl.col("strike"))
    meant = (
        ((pl.col("strike") / pl.col("spot")).log().abs() <= np.log(QUOTED_STRIKE_FACTOR))
        & (pl.col("midpoint") >= 0.9 * intrinsic)
        & (pl.col("midpoint") <= most)
        & (
            pl.col("implied_volatility").is_null()
            | (pl.col("implied_volatility") <= HIGHEST_QUOTED_VOLATILITY)
        )
    )
    quoted = pl.col("midpoint").is_not_null() & meant.fill_null(True)
    has_greeks = (pl.col("greeks_source") == "vendor").fill_null(False)
    return chain.with_columns(is_live=traded | has_greeks | quoted)
