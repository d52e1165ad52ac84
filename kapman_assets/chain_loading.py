"""A run's sessions into options_chains: the vendor's snapshot where it shows the session, else the option day file.

What a snapshot stored is never replaced, per underlying. Does not belong here: how a session is cleaned and written
(chain_writing), what a day file's tickers mean (kapman_metrics.option_history), how either is fetched.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from kapman_assets import inputs
from kapman_assets.chain_writing import DAY_FILE, SNAPSHOT, store_chains
from kapman_assets.stages import refuse_mixed_data
from kapman_metrics.option_history import KNOWN_SCHEMA, OptionDay, chain_of_day
from kapman_resources.calendar import oi_session
from kapman_resources.clock import SessionClock
from kapman_resources.database.core import Database
from kapman_resources.database.queries import query
from kapman_resources.market_data.protocol import (
    BadCredentials,
    BarFile,
    ChainCapture,
    KnownFile,
    MarketData,
    NotEntitled,
    VendorError,
    VendorUnreachable,
)

# What is older than the chains' retention, counted from the newest completed session, is not fetched.
RETENTION = timedelta(days=90)


class NoChains(VendorError):
    """A session's chains cannot be had, neither from a snapshot nor from a day file."""


@dataclass
class ChainLoad:
    """What a load did. `failed`: symbols that the snapshot lacks; `absent`: sessions that lack underlyings, and why;
    `empty`: those of them with nothing stored at all; `notes`: what the user should see.
    """

    rejected: int = 0
    pages: int = 0
    unchanged: int = 0
    sources: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    absent: dict[date, str] = field(default_factory=dict)
    empty: set[date] = field(default_factory=set)
    too_old: list[date] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def miss(self, wanted: "_Wanted", reason: str) -> None:
        """Records that underlyings of a session could not be loaded."""
        self.absent[wanted.session] = reason
        if wanted.nothing_stored:
            self.empty.add(wanted.session)


@dataclass(frozen=True)
class _Wanted:
    """One session's underlyings that no snapshot has stored, and what a day file has stored of them already."""

    session: date
    symbols: list[str]
    from_file: dict[str, KnownFile]
    has_open_interest: bool
    nothing_stored: bool

    @property
    def whole(self) -> bool:
        return set(self.symbols) <= set(self.from_file)

    @property
    def file(self) -> KnownFile | None:
        """The one file that all of them came from; None when one is missing or there were several."""
        files = set(self.from_file.values())
        return files.pop() if self.whole and len(files) == 1 else None

    def lacking(self, file: BarFile) -> list[str]:
        """The underlyings that are not stored from a file of this content."""
        stored = {s for s, known in self.from_file.items() if known.checksum == file.checksum}
        return [symbol for symbol in self.symbols if symbol not in stored]


@dataclass(frozen=True)
class _Moment:
    """What the vendor shows now: `session`, None while the market trades; `oi`: the session of its open interest, None
    while that changes. `refusal` says why nothing else can be captured.
    """

    session: date | None
    oi: date | None
    refusal: str

    @classmethod
    def at(cls, instant: datetime, clock: SessionClock) -> "_Moment":
        try:
            session = clock.capture_session(instant)
        except ValueError as error:
            return cls(None, None, str(error))
        try:
            oi = oi_session(instant)
        except ValueError as error:
            return cls(session, None, str(error))
        return cls(session, oi, f"the vendor's snapshot knows only now, which is session {session}")


def load_chains(
    database: Database, market_data: MarketData, clock: SessionClock, sessions: Sequence[date]
) -> ChainLoad:
    """Brings the sessions (oldest first) to a chain for each underlying of the watchlist, where one can be had.

    One session is in memory at a time. Raises VendorError for what concerns every session (keys, network), and
    NoChains when the only session asked for gets none; other sessions that stay without are in `absent`.
    """
    load = ChainLoad()
    wanted = _wanted(database, clock, sessions, load)
    moment, newest = _Moment.at(clock.now(), clock), clock.last_completed_session()
    failure: VendorError | None = None
    if moment.session in wanted:  # first, because what is shown now cannot be had later
        failure = _capture(database, market_data, clock, moment, wanted.pop(moment.session), load)
    for session in [s for s in wanted if s > newest]:
        load.miss(wanted.pop(session), f"it has not closed yet, and the newest completed session is {newest}")
    if wanted:
        _load_day_files(database, market_data, wanted, load)
    if isinstance(failure, BadCredentials | VendorUnreachable):
        raise failure
    if len(sessions) == 1 and sessions[0] in load.empty:
        raise _refusal(sessions[0], moment, load.absent[sessions[0]])
    return load


def _refusal(session: date, moment: _Moment, reason: str) -> NoChains:
    if moment.session is not None and session >= moment.session:
        return NoChains(f"the chains of session {session} cannot be captured: {reason}")
    when = "now" if moment.session is None else "any more"
    return NoChains(f"the chains of session {session} cannot be captured {when} ({moment.refusal}): {reason}")


# -- what is to be done -----------------------------------------------------------------------------------------------


def _wanted(
    database: Database, clock: SessionClock, sessions: Sequence[date], load: ChainLoad
) -> dict[date, _Wanted]:
    oldest = clock.last_completed_session() - RETENTION
    load.too_old += [session for session in sessions if session < oldest]
    stored: dict[date, list[dict[str, Any]]] = {}
    for row in database.rows(query("captured_underlyings"), {"first": sessions[0], "last": sessions[-1]}):
        stored.setdefault(row["session_date"], []).append(row)
    every = (
        _wanted_of(session, inputs.watchlist(database, session), stored.get(session, []))
        for session in sessions
        if session >= oldest
    )
    return {wanted.session: wanted for wanted in every if wanted.symbols}


def _wanted_of(session: date, watchlist: list[str], stored: list[dict[str, Any]]) -> _Wanted:
    captured = {row["symbol"] for row in stored if row["source"] == SNAPSHOT}
    filed = [row for row in stored if row["source"] == DAY_FILE]
    return _Wanted(
        session,
        symbols=[symbol for symbol in watchlist if symbol not in captured],
        from_file={row["symbol"]: KnownFile(row["etag"], row["checksum"]) for row in filed},
        has_open_interest=any(row["oi_session"] is not None for row in filed),
        nothing_stored=not stored,
    )


# -- now --------------------------------------------------------------------------------------------------------------


def _capture(
    database: Database,
    market_data: MarketData,
    clock: SessionClock,
    moment: _Moment,
    wanted: _Wanted,
    load: ChainLoad,
) -> VendorError | None:
    """Stores the snapshot of the session that the vendor shows; what came in its way is recorded and returned."""
    if moment.oi is None:
        load.miss(wanted, moment.refusal)
        return None
    try:
        capture = market_data.chains(wanted.symbols)
        _require_one_moment(clock, moment, capture)
        load.failed |= capture.failed
        if len(capture.failed) == len(wanted.symbols):
            raise NoChains(
                f"no chain of {len(capture.failed)} could be fetched; {next(iter(capture.failed.items()))}"
            )
    except VendorError as error:
        load.miss(wanted, str(error))
        return error
    refuse_mixed_data(database, capture.label)
    symbols = [symbol for symbol in wanted.symbols if symbol not in capture.failed]
    manifest = {"captured_at": capture.captured_at, "oi_session": moment.oi, "label": capture.label}
    load.rejected += store_chains(database, wanted.session, SNAPSHOT, capture.rows, symbols, manifest)
    load.pages += capture.pages
    load.sources.add(SNAPSHOT)
    return None


def _require_one_moment(clock: SessionClock, moment: _Moment, capture: ChainCapture) -> None:
    """Raises NoChains for a capture that does not show one session, and one open interest, from start to end."""
    for instant in (capture.captured_at, clock.now()):
        shown = _Moment.at(instant, clock)
        if shown != moment:
            raise NoChains(
                f"the capture of session {moment.session} reached into another moment ({shown.refusal}): its pages "
                "would mix two sessions, nothing of it is stored"
            )


# -- the past ---------------------------------------------------------------------------------------------------------


def _load_day_files(
    database: Database, market_data: MarketData, wanted: dict[date, _Wanted], load: ChainLoad
) -> None:
    """Stores what the option day files hold of the wanted underlyings, one session in memory at a time."""
    for session in _without_bars(database, wanted):
        reason = "its bars are not loaded, without which no volatility can be solved: load ohlcv_daily first"
        load.miss(wanted.pop(session), reason)
    history = _History(market_data, load)
    known = _known_files(wanted, history)
    contracts = database.frame(query("contracts_unlike_their_ticker"), {}, KNOWN_SCHEMA)
    for found in market_data.option_bars(list(wanted), known) if wanted else ():
        here = wanted[found.session]
        if not isinstance(found, BarFile):
            if here.whole:
                load.notes.append(f"{found.session}: {found.error}; what is stored stays")
            else:
                load.miss(here, str(found.error))
            continue
        held = None if found.unchanged else history.of(here)
        symbols = [] if found.unchanged else here.symbols if held is not None else here.lacking(found)
        if not symbols:
            load.unchanged += 1
            _keep_etag(database, here, found)
            continue
        refuse_mixed_data(database, found.label)
        day = chain_of_day(found.rows, found.session, symbols, contracts, held)
        if day.unreadable and day.unreadable == found.rows.height:
            load.miss(here, f"not one of its {day.unreadable} tickers can be read as an option contract")
            continue
        _store_day(database, found, symbols, day, load)


def _without_bars(database: Database, wanted: dict[date, _Wanted]) -> list[date]:
    if not wanted:
        return []
    loaded = database.rows(query("known_bar_files"), {"first": min(wanted), "last": max(wanted)})
    return [session for session in wanted if session not in {row["session_date"] for row in loaded}]


class _History:
    """The vendor's history of open interest and greeks, asked until it says that the plan has none."""

    def __init__(self, market_data: MarketData, load: ChainLoad) -> None:
        self._market_data, self._load, self._off = market_data, load, False

    def of(self, wanted: _Wanted) -> pl.DataFrame | None:
        """OPTION_HISTORY_SCHEMA of the session's wanted underlyings; None, with a note, where there is none."""
        if self._off:
            return None
        try:
            found = self._market_data.option_history(wanted.session, wanted.symbols)
        except NotEntitled as error:
            self._off = True
            self._load.notes.append(f"past sessions without open interest: {error}")
            return None
        except VendorError as error:
            self._load.notes.append(f"{wanted.session}: no open interest ({error})")
            return None
        return found if found.height else None


def _known_files(wanted: dict[date, _Wanted], history: _History) -> dict[date, KnownFile]:
    """The files that need no second reading; where the history works now, files read without it are read again."""
    stored = {session: here for session, here in wanted.items() if here.file is not None}
    bare = [here for here in stored.values() if not here.has_open_interest]
    reread = bool(bare) and history.of(bare[-1]) is not None
    again = {here.session for here in bare} if reread else set()
    return {s: here.file for s, here in stored.items() if here.file is not None and s not in again}


def _keep_etag(database: Database, stored: _Wanted, file: BarFile) -> None:
    """A file published again with equal content is known by its new ETag from now on."""
    if stored.file is None or stored.file.etag != file.etag:
        where = {"session": file.session, "source": DAY_FILE}
        new = {"etag": file.etag, "modified": file.last_modified}
        database.execute(query("touch_chain_loads"), where | new)


def _store_day(
    database: Database, file: BarFile, symbols: list[str], day: OptionDay, load: ChainLoad
) -> None:
    held = day.chain["open_interest"].is_not_null().any()
    manifest = {
        "etag": file.etag, "size": file.size_bytes, "checksum": file.checksum, "modified": file.last_modified,
        "oi_session": file.session if held else None, "label": file.label,
    }  # fmt: skip
    load.rejected += store_chains(
        database, file.session, DAY_FILE, day.chain, symbols, manifest, day.rejected
    )
    load.sources.add(DAY_FILE)
    if day.unreadable:
        load.notes.append(
            f"{file.session}: {day.unreadable} of {file.rows.height} tickers of the option day file cannot be read"
        )
