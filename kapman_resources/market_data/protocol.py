"""What the pipeline asks of a market data vendor, and the ways in which a vendor can fail it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol

import polars as pl

from kapman_metrics.frames import RAW_CHAIN_SCHEMA as RAW_CHAIN_SCHEMA


class VendorError(RuntimeError):
    """A vendor did not deliver; the message names what was asked, what came back and the way out."""


class NotYetPublished(VendorError):
    """The session's data does not exist yet: try again later."""


class NotEntitled(VendorError):
    """The plan behind the key does not include this data."""


class BadCredentials(VendorError):
    """A key is missing, wrong or expired."""


class VendorUnreachable(VendorError):
    """No connection, or only server errors, after every retry."""


class VendorAnswerError(VendorError):
    """An answer that cannot be used: truncated, malformed, in contradiction with itself."""


RAW_BAR_SCHEMA: dict[str, type[pl.DataType]] = {
    "symbol": pl.String, "open": pl.Float64, "high": pl.Float64, "low": pl.Float64, "close": pl.Float64,
    "volume": pl.Float64, "vwap": pl.Float64, "session": pl.Date,
}  # fmt: skip

SPLIT_SCHEMA: dict[str, type[pl.DataType]] = {
    "symbol": pl.String, "execution_date": pl.Date, "split_from": pl.Float64, "split_to": pl.Float64,
    "adjustment_type": pl.String,
}  # fmt: skip

TICKER_SCHEMA: dict[str, type[pl.DataType]] = {
    "symbol": pl.String, "name": pl.String, "ticker_type": pl.String, "primary_exchange": pl.String,
    "is_active": pl.Boolean, "delisted_date": pl.Date, "composite_figi": pl.String,
}  # fmt: skip

OPTION_HISTORY_SCHEMA: dict[str, type[pl.DataType]] = {
    "contract": pl.String, "open_interest": pl.Float64, "implied_volatility": pl.Float64, "delta": pl.Float64,
    "gamma": pl.Float64, "theta": pl.Float64, "vega": pl.Float64,
}  # fmt: skip


@dataclass(frozen=True)
class KnownFile:
    """What is stored of a session's file: enough to see that it has not changed."""

    etag: str | None
    checksum: str | None


@dataclass(frozen=True)
class BarFile:
    """One session's bars as sent; an `unchanged` file holds no rows.

    `checksum`: SHA-256 of the decompressed content, None when the file was not read; `size_bytes`: as transferred.
    """

    session: date
    source: str
    etag: str | None
    size_bytes: int
    rows: pl.DataFrame
    label: str | None = None
    unchanged: bool = False
    checksum: str | None = None
    last_modified: datetime | None = None


@dataclass(frozen=True)
class MissingFile:
    """A session that could not be had, and why; the sessions after it are not lost with it."""

    session: date
    error: VendorError


@dataclass(frozen=True)
class ChainCapture:
    """The chains of several underlyings as the vendor shows them now.

    `rows` follows RAW_CHAIN_SCHEMA; `failed` maps a symbol to the reason; `empty` symbols have no listed options.
    """

    captured_at: datetime
    rows: pl.DataFrame
    pages: int
    failed: Mapping[str, str] = field(default_factory=dict)
    empty: Sequence[str] = ()
    label: str | None = None


class MarketData(Protocol):
    """Every method raises a VendorError subclass when the vendor does not deliver."""

    def bars(
        self, sessions: Sequence[date], known: Mapping[date, KnownFile]
    ) -> Iterator[BarFile | MissingFile]:
        """The stock day files, in order, downloads running ahead; a file with the known ETag is not downloaded.

        NotYetPublished, NotEntitled and VendorAnswerError concern one session and are yielded as MissingFile; the
        other errors concern all and are raised.
        """

    def grouped(self, sessions: Sequence[date]) -> Iterator[BarFile | MissingFile]:
        """The sessions' unadjusted bars from REST, in order, with vwap; NotYetPublished where there are none."""

    def chains(self, symbols: Sequence[str]) -> ChainCapture:
        """The current chains; one symbol's failure does not lose the others."""

    def option_bars(
        self, sessions: Sequence[date], known: Mapping[date, KnownFile]
    ) -> Iterator[BarFile | MissingFile]:
        """The option day files like `bars`; `symbol` is the contract's ticker."""

    def option_history(self, session: date, symbols: Sequence[str]) -> pl.DataFrame:
        """OPTION_HISTORY_SCHEMA of the underlyings' contracts at the session's end.

        Raises NotEntitled where the plan has none or the switch for it is off.
        """

    def splits(self, since: date, until: date) -> pl.DataFrame:
        """SPLIT_SCHEMA rows with since <= execution_date <= until, as listed (doubled entries included)."""

    def tickers(self) -> pl.DataFrame:
        """TICKER_SCHEMA rows of the stock market's reference list; a re-used symbol has several."""

    def check(self) -> dict[str, str]:
        """One cheap call a credential: name of the check -> 'ok' or what is wrong."""

    def close(self) -> None: ...
