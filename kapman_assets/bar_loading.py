"""Sessions of the vendor's bars into ohlcv_daily: download, cleaning, encoding and COPY side by side, in order.

Memory stays flat however long the range: a handful of sessions is in flight. Does not belong here: which sessions a run
asks for (ohlcv_daily), which rows are good (kapman_metrics.bars), how a file is fetched (market_data).
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date

import polars as pl

from kapman_assets.stages import refuse_mixed_data
from kapman_metrics.bars import BarDifference, CleanBars, clean_bars, difference
from kapman_metrics.frames import BAR_SCHEMA
from kapman_resources.database.core import Connection, Database, EncodedRows
from kapman_resources.database.queries import query
from kapman_resources.database.session_writer import SessionWriter
from kapman_resources.market_data.protocol import (
    BarFile,
    KnownFile,
    MarketData,
    MissingFile,
    NotYetPublished,
    VendorError,
)

DATASET = "ohlcv_daily"
FLAT_FILE, GROUPED = "flatfile", "grouped"
_PREPARED_AHEAD = 8  # some 15 MB: enough to go on while a month gets its keys


@dataclass
class BarLoad:
    """What a load did. `reloaded`: sessions whose stored bars were replaced; `stand_ins`: loaded from grouped daily
    because the day file was overdue; `missing`: sessions without bars, and why; `notes`: what the user should see.
    """

    rejected: int = 0
    written: list[date] = field(default_factory=list)
    unchanged: int = 0
    reloaded: dict[date, BarDifference] = field(default_factory=dict)
    stand_ins: list[date] = field(default_factory=list)
    missing: dict[date, VendorError] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Stored:
    """What the manifest knows of a session: its sources, and the day file it was loaded from."""

    sources: frozenset[str]
    file: KnownFile | None
    etag: str | None


@dataclass(frozen=True)
class _Prepared:
    """A session ready to be written, and everything that is recorded with it."""

    file: BarFile
    grouped: BarFile | None
    clean: CleanBars
    encoded: EncodedRows
    change: BarDifference | None
    rows_before: int


def load_bars(
    database: Database, market_data: MarketData, sessions: Sequence[date], overdue: Callable[[date], bool]
) -> BarLoad:
    """Brings the sessions (oldest first) to what the vendor has now; an unchanged session is not written.

    `overdue` says whether a session's day file should have been published by now: then grouped daily stands in for it.
    Raises VendorError for what concerns every session (keys, network); the sessions loaded before it are kept.
    """
    load = BarLoad()
    stored = _stored(database, sessions)
    around = _Around(database)
    with SessionWriter(database, DATASET, before_commit=around.store) as writer:
        for ready in _prepared(database, market_data, sessions, stored, overdue, load):
            writer.write(ready.file.session, ready.encoded, _recorder(ready, stored, around))
            load.written.append(ready.file.session)
            load.rejected += ready.clean.rejected.height
            if ready.file.source == GROUPED:
                load.stand_ins.append(ready.file.session)
            if ready.change is not None:
                load.reloaded[ready.file.session] = ready.change
    return load


# -- what is to be done -----------------------------------------------------------------------------------------------


def _stored(database: Database, sessions: Sequence[date]) -> dict[date, _Stored]:
    found: dict[date, dict[str, KnownFile]] = {}
    span = {"first": sessions[0], "last": sessions[-1]}
    for row in database.rows(query("known_bar_files"), span):
        sources = found.setdefault(row["session_date"], {})
        sources[row["source"]] = KnownFile(row["etag"], row["checksum"])
    return {
        session: _Stored(frozenset(sources), file := sources.get(FLAT_FILE), file.etag if file else None)
        for session, sources in found.items()
    }


def _prepared(
    database: Database,
    market_data: MarketData,
    sessions: Sequence[date],
    stored: dict[date, _Stored],
    overdue: Callable[[date], bool],
    load: BarLoad,
) -> Iterator[_Prepared]:
    """The sessions that have to be written, in order, made ready one thread ahead of the COPY."""
    grouped = _Grouped(
        market_data, [s for s in sessions if s not in stored or GROUPED not in stored[s].sources], load
    )
    known = {session: s.file for session, s in stored.items() if s.file is not None}
    labels = set[str | None]()

    def wanted() -> Iterator[tuple[BarFile, BarFile | None]]:
        for found in market_data.bars(sessions, known):
            answer = grouped.of(found.session)
            file = _choose(found, answer, found.session in stored, overdue, load)
            if file is None:
                continue
            if file.label not in labels and not file.unchanged:
                refuse_mixed_data(database, file.label)
                labels.add(file.label)
            if not file.unchanged:
                yield file, answer
                continue
            load.unchanged += 1
            _keep_up(database, file, answer, stored[file.session])

    waiting: deque[Future[_Prepared]] = deque()
    failure: VendorError | None = None
    with ThreadPoolExecutor(1, thread_name_prefix="bars") as pool:
        try:
            for file, answer in wanted():
                waiting.append(pool.submit(_prepare, database, file, answer, file.session in stored))
                if len(waiting) > _PREPARED_AHEAD:
                    yield waiting.popleft().result()
        except VendorError as error:
            failure = error  # what came whole before it is still written
        while waiting:
            yield waiting.popleft().result()
    if failure is not None:
        raise failure


def _choose(
    found: BarFile | MissingFile,
    answer: BarFile | None,
    has_bars: bool,
    overdue: Callable[[date], bool],
    load: BarLoad,
) -> BarFile | None:
    """The day file, or grouped daily in its place once it is overdue; None when the session stays as it is."""
    if isinstance(found, BarFile):
        return found
    late = isinstance(found.error, NotYetPublished)
    if late and has_bars:  # grouped daily stands in already, or the vendor took the file back
        load.unchanged += 1
    elif late and overdue(found.session) and answer is not None:
        load.notes.append(f"{found.session}: the day file is overdue, grouped daily stands in for it")
        return answer
    else:
        load.missing[found.session] = found.error
    return None


class _Grouped:
    """The grouped daily answers beside the day files: their vwap, or their bars where the file is overdue."""

    def __init__(self, market_data: MarketData, sessions: Sequence[date], load: BarLoad) -> None:
        self._wanted = set(sessions)
        self._answers = market_data.grouped(sessions) if sessions else iter(())
        self._load = load

    def of(self, session: date) -> BarFile | None:
        """The session's answer, None where it is stored already or the vendor has none (which is noted)."""
        if session not in self._wanted:
            return None
        try:
            for answer in self._answers:
                if answer.session == session:
                    if isinstance(answer, BarFile):
                        return answer
                    self._load.notes.append(f"{session}: no vwap ({answer.error})")
                    return None
        except VendorError as error:
            self._load.notes.append(f"no vwap from {session} on: {error}")
        self._wanted.clear()
        return None


# -- one session ------------------------------------------------------------------------------------------------------


def _prepare(database: Database, file: BarFile, grouped: BarFile | None, replaces: bool) -> _Prepared:
    before = _stored_bars(database, file.session) if replaces else None
    rows = file.rows
    if file.source != GROUPED:
        vwap = grouped.rows if grouped is not None else before
        rows = _with_vwap(rows, vwap)
    clean = clean_bars(rows, file.session)
    bars = clean.bars.with_columns(pl.lit(file.source).alias("source"))
    replaced = before is not None and before.height > 0
    return _Prepared(
        file,
        grouped,
        clean,
        database.encode(DATASET, file.session, bars),
        difference(before, clean.bars) if before is not None and replaced else None,
        before.height if before is not None else 0,
    )


def _with_vwap(rows: pl.DataFrame, source: pl.DataFrame | None) -> pl.DataFrame:
    if source is None:
        return rows
    vwap = source.select("symbol", "vwap").unique("symbol", keep="last")
    return rows.drop("vwap").join(vwap, on="symbol", how="left", maintain_order="left").select(rows.columns)


def _stored_bars(database: Database, session: date) -> pl.DataFrame:
    return database.frame(query("bars_of_sessions"), {"first": session, "last": session}, BAR_SCHEMA)


def _keep_up(database: Database, file: BarFile, grouped: BarFile | None, stored: _Stored) -> None:
    """An unchanged session may still lack its vwap, or have been published again with equal content."""
    if file.etag == stored.etag and grouped is None:
        return
    with database.transaction() as connection:
        if file.etag != stored.etag:
            where = {"dataset": DATASET, "session": file.session, "source": FLAT_FILE}
            connection.execute(
                query("touch_load"), where | {"etag": file.etag, "modified": file.last_modified}
            )
        if grouped is not None:
            known = grouped.rows.filter(pl.col("vwap") > 0)
            vwap = {"symbols": known["symbol"].to_list(), "vwap": known["vwap"].to_list()}
            connection.execute(query("fill_vwap"), vwap | {"session": file.session})
            connection.execute(query("record_load"), _manifest(grouped, grouped.rows.height, 0))


def _recorder(
    ready: _Prepared, stored: dict[date, _Stored], around: "_Around"
) -> Callable[[Connection], None]:
    """Writes what belongs to the session's rows: the manifest, and what a replacement changed."""
    file, session = ready.file, ready.file.session

    def record(connection: Connection) -> None:
        connection.execute(query("forget_rejected_rows"), {"dataset": DATASET, "session": session})
        around.add(session, ready.clean)
        connection.execute(
            query("record_load"), _manifest(file, ready.encoded.height, ready.clean.rejected.height)
        )
        if ready.grouped is not None and file.source != GROUPED:
            connection.execute(query("record_load"), _manifest(ready.grouped, ready.grouped.rows.height, 0))
        if ready.change is not None:
            old = stored[session]
            connection.execute(
                query("record_revision"),
                vars(ready.change)
                | {
                    "dataset": DATASET, "session": session,
                    "old_source": FLAT_FILE if FLAT_FILE in old.sources else GROUPED, "old_etag": old.etag,
                    "new_source": file.source, "new_etag": file.etag,
                    "rows_before": ready.rows_before, "rows_after": ready.encoded.height,
                },
            )  # fmt: skip

    return record


def _manifest(file: BarFile, rows: int, rejected: int) -> dict[str, object]:
    return {
        "dataset": DATASET, "session": file.session, "symbol": "*", "source": file.source, "etag": file.etag,
        "size": file.size_bytes, "rows": rows, "rejected": rejected, "captured_at": None, "oi_session": None,
        "label": file.label, "checksum": file.checksum, "modified": file.last_modified,
    }  # fmt: skip


class _Around:
    """What is written once a transaction beside its bars: the refused rows, and the symbols that were seen."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._symbols: list[pl.DataFrame] = []
        self._rejected: list[pl.DataFrame] = []

    def add(self, session: date, clean: CleanBars) -> None:
        self._symbols.append(clean.bars.select("symbol", session=pl.lit(session)))
        if clean.rejected.height:
            named = {"dataset": pl.lit(DATASET), "session_date": pl.lit(session)}
            self._rejected.append(clean.rejected.with_columns(**named))

    def store(self, connection: Connection) -> None:
        """Bars create the rows of `tickers` that are missing, and date all of them."""
        if self._rejected:
            self._database.copy(connection, "rejected_rows", pl.concat(self._rejected))
        if self._symbols:
            seen = (
                pl.concat(self._symbols)
                .group_by("symbol")
                .agg(first_session=pl.min("session"), last_session=pl.max("session"))
            )
            connection.execute(query("stage_seen_symbols"))
            self._database.copy(connection, "seen_symbols", seen)
            connection.execute(query("date_tickers"))
            connection.execute(query("new_tickers"))
        self._symbols.clear()
        self._rejected.clear()
