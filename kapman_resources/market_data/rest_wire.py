"""The vendor's JSON as typed frames: fast for pages as documented, tolerant of single fields that are not.

A value of another type than documented becomes null, and the row stays: cleaning rejects and counts it by name.
Does not belong here: how a page is fetched, which rows are good.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Generic, TypeVar, get_args

import msgspec
import polars as pl

from kapman_resources.market_data.protocol import RAW_BAR_SCHEMA, RAW_CHAIN_SCHEMA

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

# what polars can hold as an instant: nanoseconds until 2255, milliseconds until 2286
_Nanoseconds = Annotated[int, msgspec.Meta(ge=0, le=9 * 10**18)]
_Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=10**13)]
_UNUSABLE = (msgspec.DecodeError, UnicodeDecodeError)  # msgspec's ValidationError is a DecodeError


class Malformed(ValueError):
    """The body is not the documented JSON at all: half a document, a web page, a bare list."""


class WrongShape(ValueError):
    """Good JSON whose `results` are no list."""


@dataclass(frozen=True)
class Page(Generic[T]):
    """One answer. `said`: the vendor's own words about an error; `next_url` as sent; `size_bytes` as transferred."""

    rows: T
    status: str
    said: str | None
    next_url: object
    size_bytes: int = 0
    label: str | None = None


class _Envelope(msgspec.Struct):
    status: Any = "OK"
    next_url: Any = None
    error: Any = None
    message: Any = None


class _RawPage(_Envelope):
    results: msgspec.Raw = msgspec.Raw(b"null")


# the structs hold no cycles: without tracking by the collector a page decodes in half the time


class _Details(msgspec.Struct, gc=False):
    contract_type: str | None = None
    expiration_date: str | None = None
    shares_per_contract: float | None = 100.0
    strike_price: float | None = None
    ticker: str | None = None


class _Day(msgspec.Struct, gc=False):
    close: float | None = None
    last_updated: _Nanoseconds | None = None
    volume: float | None = None


class _Greeks(msgspec.Struct, gc=False):
    delta: float | None = None
    gamma: float | None = None
    theta: float | None = None
    vega: float | None = None


class _Quote(msgspec.Struct, gc=False):
    ask: float | None = None
    bid: float | None = None


class _Trade(msgspec.Struct, gc=False):
    price: float | None = None


class Contract(msgspec.Struct, gc=False):
    """One listed contract as sent, the fields that are used."""

    day: _Day | None = None
    details: _Details | None = None
    greeks: _Greeks | None = None
    implied_volatility: float | None = None
    last_quote: _Quote | None = None
    last_trade: _Trade | None = None
    open_interest: float | None = None

    @property
    def expiration(self) -> str | None:
        """As sent: YYYY-MM-DD, so that text order is date order."""
        return self.details.expiration_date if self.details else None

    @property
    def ticker(self) -> str | None:
        return self.details.ticker if self.details else None


class _Bar(msgspec.Struct, gc=False):
    T: str | None = None
    o: float | None = None
    h: float | None = None
    l: float | None = None  # noqa: E741  the vendor's letter
    c: float | None = None
    v: float | None = None
    vw: float | None = None
    t: _Milliseconds | None = None


class _ChainPage(_Envelope):
    results: list[Contract] | None = None


_WIRE_CHAIN: dict[str, pl.DataType] = RAW_CHAIN_SCHEMA | {
    "expiration": pl.String(),
    "day_session": pl.Int64(),
}
_NO_DETAILS, _NO_DAY, _NO_GREEKS = _Details(), _Day(), _Greeks()
_NO_QUOTE, _NO_TRADE = _Quote(), _Trade()
_chain_page = msgspec.json.Decoder(_ChainPage).decode
_raw_page = msgspec.json.Decoder(_RawPage).decode
_raw_items = msgspec.json.Decoder(list[msgspec.Raw] | None).decode
_raw_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_any_fields = msgspec.json.Decoder(dict[str, Any]).decode


def envelope(body: bytes) -> Page[None]:
    """What an answer says of itself, its rows aside. Raises Malformed."""
    return _page(_open(body), None)


def chain_page(body: bytes) -> Page[list[Contract]]:
    """The contracts of one snapshot page; one that cannot be read has no identity. Raises Malformed, WrongShape."""
    try:
        typed = _chain_page(body)
        return _page(typed, typed.results or [])
    except _UNUSABLE:
        page = _open(body)
        return _page(page, _tolerant(Contract, page.results))


def bar_page(body: bytes) -> Page[tuple[pl.DataFrame, str]]:
    """RAW_BAR_SCHEMA rows of one grouped day, and the SHA-256 of its results: the envelope differs with each request.

    Raises Malformed, WrongShape.
    """
    page = _open(body)
    try:
        found = _bars(page.results) or []
    except _UNUSABLE:
        found = _tolerant(_Bar, page.results)
    return _page(page, (_bar_frame(found), hashlib.sha256(page.results).hexdigest()))


def row_page(body: bytes) -> Page[list[dict[str, Any]]]:
    """The rows as they came; one that cannot be read is empty. Raises Malformed, WrongShape."""
    page = _open(body)
    return _page(page, [_row(item) for item in _items(page.results)])


_bars = msgspec.json.Decoder(list[_Bar] | None).decode


def number(value: object) -> float | None:
    """A JSON number as float; None for everything else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return None
    return None


def text(value: object) -> str | None:
    """A JSON string that can be stored; None for everything else."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) else None


# -- tolerance ---------------------------------------------------------------------------------------------------


def _open(body: bytes) -> _RawPage:
    try:
        return _raw_page(body)
    except _UNUSABLE as error:
        raise Malformed(f"the answer is not the documented JSON ({error})") from error


def _page(page: _Envelope, rows: T) -> Page[T]:
    said = next((str(words) for words in (page.error, page.message) if words), None)
    return Page(rows, str(page.status), said, page.next_url)


def _items(results: msgspec.Raw) -> list[msgspec.Raw]:
    try:
        return _raw_items(results) or []
    except _UNUSABLE as error:
        raise WrongShape(f"results are no list ({error})") from error


def _row(item: msgspec.Raw) -> dict[str, Any]:
    try:
        return _any_fields(item)
    except _UNUSABLE:
        return {}


def _tolerant(kind: type[S], results: msgspec.Raw) -> list[S]:
    decode = _decoder(kind)
    found = []
    for item in _items(results):
        try:
            found.append(decode(item))
        except _UNUSABLE:
            found.append(_field_by_field(kind, item))
    return found


def _field_by_field(kind: type[S], item: msgspec.Raw) -> S:
    """The struct with None in place of every field that has another type than documented."""
    try:
        given = _raw_fields(item)
    except _UNUSABLE:
        given = {}
    made = kind()
    for field in msgspec.structs.fields(kind):
        if field.name in given:
            setattr(made, field.name, _field(field.type, given[field.name]))
    return made


def _field(kind: Any, value: msgspec.Raw) -> Any:
    try:
        return _decoder(kind)(value)
    except _UNUSABLE:
        nested = [
            part for part in get_args(kind) if isinstance(part, type) and issubclass(part, msgspec.Struct)
        ]
        return _field_by_field(nested[0], value) if nested else None


@cache
def _decoder(kind: Any) -> Callable[[bytes], Any]:
    return msgspec.json.Decoder(kind).decode


# -- frames ------------------------------------------------------------------------------------------------------


def chain_rows(symbol: str, found: Sequence[Contract]) -> pl.DataFrame:
    """One underlying's contracts in their order, dates still as sent: a part of `chain_frame`."""
    details = [contract.details or _NO_DETAILS for contract in found]
    days = [contract.day or _NO_DAY for contract in found]
    greeks = [contract.greeks or _NO_GREEKS for contract in found]
    quotes = [contract.last_quote or _NO_QUOTE for contract in found]
    columns: dict[str, list[Any]] = {
        "symbol": [symbol] * len(found),
        "contract": [part.ticker for part in details],
        "expiration": [part.expiration_date for part in details],
        "strike": [part.strike_price for part in details],
        "option_type": [part.contract_type for part in details],
        "bid": [part.bid for part in quotes],
        "ask": [part.ask for part in quotes],
        "last": [(contract.last_trade or _NO_TRADE).price for contract in found],
        "day_close": [part.close for part in days],
        "day_volume": [part.volume for part in days],
        "day_session": [part.last_updated for part in days],
        "open_interest": [contract.open_interest for contract in found],
        "implied_volatility": [contract.implied_volatility for contract in found],
        "delta": [part.delta for part in greeks],
        "gamma": [part.gamma for part in greeks],
        "theta": [part.theta for part in greeks],
        "vega": [part.vega for part in greeks],
        "shares_per_contract": [part.shares_per_contract for part in details],
    }
    return pl.DataFrame([pl.Series(name, columns[name], dtype) for name, dtype in _WIRE_CHAIN.items()])


def chain_frame(parts: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """RAW_CHAIN_SCHEMA rows of all underlyings; dates at once for all, a third of what they cost part by part."""
    stamp = pl.from_epoch("day_session", "ns")
    midnight = stamp.dt.time() == pl.time(0)
    return pl.concat([pl.DataFrame(schema=_WIRE_CHAIN), *parts]).with_columns(
        _storable("contract"),
        _storable("option_type"),
        pl.col("expiration").str.to_date("%Y-%m-%d", strict=False),
        # both 00:00 New York and 00:00 UTC of the session have been seen
        pl.when(midnight).then(stamp.dt.date()).otherwise(_new_york(stamp)).alias("day_session"),
    )


def _bar_frame(found: list[_Bar]) -> pl.DataFrame:
    columns: dict[str, list[Any]] = {
        "symbol": [bar.T for bar in found],
        "open": [bar.o for bar in found],
        "high": [bar.h for bar in found],
        "low": [bar.l for bar in found],
        "close": [bar.c for bar in found],
        "volume": [bar.v for bar in found],
        "vwap": [bar.vw for bar in found],
        "session": [bar.t for bar in found],
    }
    wire = RAW_BAR_SCHEMA | {"session": pl.Int64}
    frame = pl.DataFrame([pl.Series(name, columns[name], dtype) for name, dtype in wire.items()])
    # here the stamp is the end of the window: 16:00 New York, 13:00 on half days
    return frame.with_columns(_storable("symbol"), _new_york(pl.from_epoch("session", "ms")).alias("session"))


def _new_york(stamp: pl.Expr) -> pl.Expr:
    return stamp.dt.replace_time_zone("UTC").dt.convert_time_zone("America/New_York").dt.date()


def _storable(column: str) -> pl.Expr:
    """NUL cannot be stored, not even among the rejected rows."""
    return pl.col(column).str.replace_all("\0", "\ufffd", literal=True)
