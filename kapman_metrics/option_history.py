"""From the vendor's option day file to a raw chain: whose contracts the rows are, and what their tickers say of them.

A day file holds the bars of the contracts that traded; open interest and greeks may come beside it. Does not belong
here: which contracts are good and how greeks are solved (chain.py), where a file came from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from kapman_metrics.bars import as_seen, bar_faults, first_fault
from kapman_metrics.chain import STANDARD_SHARES
from kapman_metrics.frames import RAW_CHAIN_SCHEMA, with_schema

# O: + root + YYMMDD + C|P + strike x 1000. Only the last 15 characters have a fixed width.
TICKER_PATTERN = r"^O:[A-Za-z0-9]{1,10}\d{6}[CP]\d{8}$"
_FIXED_WIDTH = 15
# Series of an index that settle at another hour have a root of their own.
INDEX_ROOTS = {"SPXW": "SPX", "NDXP": "NDX", "RUTW": "RUT", "VIXW": "VIX", "MRUTW": "MRUT", "XSPW": "XSP"}

KNOWN_SCHEMA: dict[str, pl.DataType] = {
    "contract": pl.String(),
    "symbol": pl.String(),
    "shares_per_contract": pl.Float64(),
}


@dataclass(frozen=True)
class OptionDay:
    """`chain`: RAW CHAIN frame for `clean_chain`. `rejected`: contract, symbol, reason, detail.

    `unreadable`: tickers of the whole file, all underlyings, that no contract can be read from.
    """

    chain: pl.DataFrame
    rejected: pl.DataFrame
    unreadable: int


def chain_of_day(
    bars: pl.DataFrame,
    session: date,
    symbols: Sequence[str],
    known: pl.DataFrame | None = None,
    history: pl.DataFrame | None = None,
) -> OptionDay:
    """The contracts of the underlyings `symbols` in one session's option day file.

    `bars`: symbol (the contract's ticker), open, high, low, close, volume, session; any row order, all underlyings.
    `known` (KNOWN_SCHEMA): what is on record of a contract and wins over its ticker; shares null = not 100.
    `history`: contract, open_interest, implied_volatility, delta, gamma, theta, vega at the session's end; adds the
    contracts that did not trade. Open interest and greeks are null where it says nothing.
    """
    on_record = with_schema(
        pl.DataFrame(schema=KNOWN_SCHEMA) if known is None else known, KNOWN_SCHEMA, "the known contracts"
    )
    traded = _of_underlyings(bars.rename({"symbol": "contract"}), symbols, on_record)
    judged = traded.with_columns(
        pl.when(pl.col("is_ticker"))
        .then(first_fault(bar_faults(session)))
        .otherwise(pl.lit("ticker is not a contract"))
        .alias("reason")
    )
    refused = judged.filter(pl.col("reason").is_not_null())
    sound = judged.filter(pl.col("reason").is_null()).select(
        "contract",
        "symbol",
        "shares_per_contract",
        day_close="close",
        day_volume="volume",
        day_session="session",
    )
    if history is not None:
        sound = _with_history(sound, history, symbols, on_record)
    identified = sound.with_columns(_identity())
    absent = [
        pl.lit(None, dtype).alias(name)
        for name, dtype in RAW_CHAIN_SCHEMA.items()
        if name not in identified.columns
    ]
    return OptionDay(
        chain=with_schema(identified.with_columns(absent), RAW_CHAIN_SCHEMA, "the option day file"),
        rejected=refused.select("contract", "symbol", "reason", as_seen().alias("detail")),
        unreadable=bars.select((~_is_ticker("symbol")).sum()).item(),
    )


def _is_ticker(column: str) -> pl.Expr:
    return pl.col(column).str.contains(TICKER_PATTERN).fill_null(False)


def _with_history(
    traded: pl.DataFrame, history: pl.DataFrame, symbols: Sequence[str], known: pl.DataFrame
) -> pl.DataFrame:
    listed = _of_underlyings(history, symbols, known).filter(pl.col("is_ticker")).drop("is_ticker")
    silent = listed.join(traded, on="contract", how="anti")
    held = listed.drop("symbol", "shares_per_contract")
    return pl.concat([traded.join(held, on="contract", how="left"), silent], how="diagonal")


def _of_underlyings(frame: pl.DataFrame, symbols: Sequence[str], known: pl.DataFrame) -> pl.DataFrame:
    """The rows whose `contract` belongs to one of the underlyings, with `symbol`, `shares_per_contract`, `is_ticker`.

    A ticker that cannot be read counts to the underlying whose root it begins with, so that it is not lost silently.
    """
    rooted = frame.with_columns(
        is_ticker=_is_ticker("contract"), root=pl.col("contract").str.head(-_FIXED_WIDTH)
    )
    rooted = rooted.with_columns(
        pl.when("is_ticker").then("root").otherwise(pl.col("contract").str.extract(r"^(?:O:)?([A-Za-z]+)"))
    )
    owners = _owners(rooted.select(pl.col("root").unique().drop_nulls()), symbols)
    recorded = known.select("contract", owner="symbol", recorded_shares="shares_per_contract").unique(
        "contract"
    )
    claimed = rooted.join(owners, on="root", how="left").join(
        recorded, on="contract", how="left", maintain_order="left"
    )
    on_record = pl.col("owner").is_not_null()
    ours = claimed.with_columns(
        symbol=pl.coalesce("owner", "symbol"),
        # what a contract with a digit in its root delivers is not in its ticker
        shares_per_contract=pl.when(on_record)
        .then("recorded_shares")
        .when(~pl.col("is_adjusted"))
        .then(STANDARD_SHARES),
    ).filter(pl.col("symbol").is_in(list(symbols)))
    return ours.drop("root", "is_adjusted", "owner", "recorded_shares")


def roots_of(symbol: str) -> tuple[str, ...]:
    """The roots that an underlying's own contracts have, without the digit of adjusted ones: BRK.B has BRKB."""
    root = symbol.removeprefix("I:").replace(".", "").replace("-", "")
    return (root, *(series for series, index in INDEX_ROOTS.items() if index == root))


def _owners(roots: pl.DataFrame, symbols: Sequence[str]) -> pl.DataFrame:
    """root (with O:), symbol, is_adjusted, for the roots that are one of the underlyings' own.

    A root is its underlying's symbol without a dot; a digit in it marks a contract that a corporate action adjusted.
    """
    owned = {root: symbol for symbol in symbols for root in roots_of(symbol)}
    owned |= {symbol: symbol for symbol in symbols}  # one that is spelled like the root comes first
    letters = pl.col("root").str.strip_prefix("O:").str.replace_all(r"\d", "")
    return roots.with_columns(
        symbol=letters.replace_strict(
            list(owned), list(owned.values()), default=None, return_dtype=pl.String
        ),
        is_adjusted=pl.col("root").str.contains(r"\d"),
    ).drop_nulls("symbol")


def _identity() -> list[pl.Expr]:
    """expiration, strike and option_type as the ticker's last 15 characters say."""
    fixed = pl.col("contract").str.tail(_FIXED_WIDTH)
    return [
        ("20" + fixed.str.head(6)).str.to_date("%Y%m%d", strict=False).alias("expiration"),
        (fixed.str.tail(8).cast(pl.Int64) / 1000.0).alias("strike"),
        fixed.str.slice(6, 1).replace_strict({"C": "call", "P": "put"}).alias("option_type"),
    ]
