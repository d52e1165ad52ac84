"""Day files: a session's bars as the vendor's gzip file, made on demand, with the faults a plan asks for.

How files are listed and fetched belongs to flatfiles, which bars there are to the sources.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import polars as pl

from kapman_resources.calendar import session_time
from kapman_simulator.data_sets import OPTIONS, STOCKS, DataSet
from kapman_simulator.faults import Correction, FaultPlan
from kapman_simulator.market import BAR_SCHEMA
from kapman_simulator.simulation import Simulation

HEADER = ("ticker", "volume", "open", "close", "high", "low", "window_start", "transactions")

_REPLACED_AFTER = timedelta(minutes=90)  # a replaced file is so much younger than its first edition
_EMPTY_BLOCK = b"\x00\x00\x00\xff\xff"  # a stored deflate block of length 0


def day_key(session: date) -> str:
    """The stock file's key."""
    return STOCKS.key(session)


def day_file(bars: pl.DataFrame, session: date) -> bytes:
    """One session's bars as the vendor's gzip file; the same bars give the same bytes."""
    return gzip.compress(_table(bars, session).write_csv().encode(), compresslevel=6, mtime=0)


def padded_gzip(content: bytes, size: int) -> bytes:
    """A gzip file of exactly `size` bytes: what is left over goes into a comment and empty deflate blocks.

    Any decoder reads it like every other gzip file. Raises ValueError when the content does not fit.
    """
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(content) + packer.flush()
    tail = packed + zlib.crc32(content).to_bytes(4, "little") + (len(content) % 2**32).to_bytes(4, "little")
    blocks, comment = divmod(size - len(tail) - 11, len(_EMPTY_BLOCK))
    if blocks < 0:
        raise ValueError(f"{len(content)} bytes need {len(tail) + 11} as gzip and were promised in {size}")
    head = b"\x1f\x8b\x08\x10\x00\x00\x00\x00\x00\xff" + b" " * comment + b"\x00"
    return head + _EMPTY_BLOCK * blocks + tail


def _table(bars: pl.DataFrame, session: date) -> pl.DataFrame:
    start = int(session_time(session).timestamp()) * 1_000_000_000
    number = [
        pl.col(name).cast(pl.String).str.strip_suffix(".0")
        for name in ("volume", "open", "close", "high", "low")
    ]
    return bars.with_columns(*number, ticker=pl.col("symbol"), window_start=pl.lit(start)).select(HEADER)


def _corrected(bars: pl.DataFrame, corrections: list[Correction], session: date) -> pl.DataFrame:
    """The bars of a replaced file."""
    for correction in corrections:
        mine = pl.col("symbol") == correction.symbol
        if correction.removed:
            bars = bars.filter(~mine)
            continue
        fields = ("open", "high", "low", "close", "volume", "transactions")
        values = {name: getattr(correction, name) for name in fields}
        if bars.filter(mine).is_empty():
            row = {"symbol": correction.symbol, "date": session, "vwap": None} | values
            bars = pl.concat([bars, pl.DataFrame([row], BAR_SCHEMA)])
        given = {name: value for name, value in values.items() if value is not None}
        bars = bars.with_columns(
            pl.when(mine).then(pl.lit(value, BAR_SCHEMA[name])).otherwise(name).alias(name)
            for name, value in given.items()
        )
    return bars


def _faulty_text(bars: pl.DataFrame, session: date, plan: FaultPlan) -> bytes:
    """The file's text with everything the plan does to this session's content."""
    table = _table(_corrected(bars, plan.replace.get(session, []), session), session)
    lines = table.drop(plan.drop_columns.get(session, [])).write_csv().rstrip("\n").split("\n")
    lines[0] = plan.header.get(session, lines[0])
    return "".join(line + "\n" for line in [*lines, *plan.append_rows.get(session, [])]).encode()


@dataclass(frozen=True)
class StoredFile:
    """What listing and headers say of a file; the bytes may be made again."""

    size: int
    etag: str
    modified: datetime


_Edition = tuple[DataSet, date, str]  # a session's file, and what the fault plan did to its content


class DayFiles:
    """Makes day files on demand and remembers them, the bytes of the latest ones only."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._known: dict[_Edition, tuple[int, str]] = {}
        self._bytes: OrderedDict[_Edition, bytes] = OrderedDict()

    def body(self, data_set: DataSet, session: date) -> bytes:
        """The file as it is sent."""
        whole = self._whole(self._edition(data_set, session))
        return whole[: self._truncated(data_set, session)]

    def describe(self, data_set: DataSet, session: date) -> StoredFile:
        """Size, ETag and age, for an option file without making it."""
        plan = self._simulation.faults.plan
        edition = self._edition(data_set, session)
        if self._truncated(data_set, session) is not None:
            size, etag = _measured(self.body(data_set, session))
        else:
            if edition not in self._known:
                self._known[edition] = self._promised(edition) or _measured(self._whole(edition))
            size, etag = self._known[edition]
        modified = self._simulation.published_at(session, data_set).astimezone(UTC)
        if plan.concerns(data_set.prefix) and (session in plan.replace or session in plan.etag_only):
            modified += _REPLACED_AFTER
        if plan.concerns(data_set.prefix) and session in plan.etag_only:
            etag = f'"{hashlib.md5(etag.encode(), usedforsecurity=False).hexdigest()}-2"'
        return StoredFile(size, etag, modified)

    def _edition(self, data_set: DataSet, session: date) -> _Edition:
        plan = self._simulation.faults.plan
        dropped = ",".join(sorted(plan.drop_symbols))
        return data_set, session, dropped + plan.content_of(data_set.prefix, session)

    def _truncated(self, data_set: DataSet, session: date) -> int | None:
        plan = self._simulation.faults.plan
        return plan.truncate.get(session) if plan.concerns(data_set.prefix) else None

    def _promised(self, edition: _Edition) -> tuple[int, str] | None:
        """Size and ETag of a healthy option file, which are laid down before its rows are made."""
        data_set, session, faults = edition
        size = self._simulation.source.option_file_size(session) if data_set is OPTIONS else None
        if size is None or self._simulation.faults.plan.content_of(data_set.prefix, session):
            return None
        name = f"{self._simulation.source.fingerprint} {session} {faults}"
        # the form that S3 gives to objects uploaded in parts, which is no checksum of their content
        return size, f'"{hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()}-1"'

    def _whole(self, edition: _Edition) -> bytes:
        if edition in self._bytes:
            self._bytes.move_to_end(edition)
            return self._bytes[edition]
        body = self._made(edition)
        self._bytes[edition] = body
        room = self._simulation.file_cache_bytes
        while sum(map(len, self._bytes.values())) > room and len(self._bytes) > 1:
            self._bytes.popitem(last=False)
        return body

    def _made(self, edition: _Edition) -> bytes:
        data_set, session, _ = edition
        simulation = self._simulation
        stocks = data_set is STOCKS
        bars = simulation.bars_of(session) if stocks else simulation.option_bars_of(session)
        if simulation.faults.plan.content_of(data_set.prefix, session):
            text = _faulty_text(bars, session, simulation.faults.plan)
            return gzip.compress(text, compresslevel=6, mtime=0)
        promised = self._promised(edition)
        if promised is None:
            return day_file(bars, session)
        return padded_gzip(_table(bars, session).write_csv().encode(), promised[0])


def _measured(body: bytes) -> tuple[int, str]:
    return len(body), f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
