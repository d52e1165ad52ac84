"""What the pipeline asks of a market data vendor, and the ways in which a vendor can fail it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    "is_active": pl.Boolean, "delisted_date": pl.Date,
}  # fmt: skip


@dataclass(frozen=True)
class BarFile:
    """One session's bars as sent; `unchanged` files were not read and hold no rows."""

    session: date
    source: str
    etag: str
    size_bytes: int
    rows: pl.DataFrame
    label: str | None = None
    unchanged: bool = False


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

    def bars(self, sessions: Iterable[date], known_etags: Mapping[date, str]) -> Iterator[BarFile]:
        """The day files, in order; a file whose ETag is the known one is not downloaded."""

    def vwap(self, sessions: Sequence[date]) -> pl.DataFrame:
        """symbol, session, vwap of unadjusted bars; no row where the vendor has none."""

    def chains(self, symbols: Sequence[str]) -> ChainCapture:
        """The current chains; one symbol's failure does not lose the others."""

    def splits(self, since: date, until: date) -> pl.DataFrame:
        """SPLIT_SCHEMA rows with since <= execution_date <= until."""

    def tickers(self) -> pl.DataFrame:
        """TICKER_SCHEMA rows of the stock market's reference list."""

    def check(self) -> dict[str, str]:
        """One cheap call a credential: name of the check -> 'ok' or what is wrong."""

    def close(self) -> None: ...
