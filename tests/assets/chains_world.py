"""The options_chains asset on a real database with a vendor made of frames: what it shows, has on file, and refuses."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg
import polars as pl
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from metrics_builders import occ, raw_row

from kapman_assets import options_chains as table
from kapman_resources import calendar, clock
from kapman_resources.clock import SessionClock
from kapman_resources.database import Database
from kapman_resources.database.queries import query
from kapman_resources.market_data.protocol import (
    OPTION_HISTORY_SCHEMA,
    RAW_BAR_SCHEMA,
    RAW_CHAIN_SCHEMA,
    BarFile,
    ChainCapture,
    KnownFile,
    MissingFile,
    NotEntitled,
    NotYetPublished,
    VendorError,
)

SESSION = date(2026, 6, 11)  # a Thursday
NIGHT = "2026-06-12T04:00"  # the night after it
BEFORE = calendar.session_offset(SESSION, -1)
EXPIRATION = date(2026, 7, 17)
SWITCHED_OFF = "the history of open interest is switched off (POLYGON_OPTION_HISTORY)"


def contract(symbol: str, strike: float = 100.0, option_type: str = "call", root: str | None = None) -> str:
    return occ(root or symbol, EXPIRATION, option_type, strike)


def listed(symbol: str, strike: float = 100.0, **given: object) -> dict[str, object]:
    """A contract as the snapshot shows it for SESSION, sound unless told otherwise."""
    return raw_row(
        **{"symbol": symbol, "strike": strike, "expiration": EXPIRATION, "day_session": SESSION} | given
    )


def traded(ticker: str, close: float = 4.0, **given: object) -> dict[str, object]:
    """A line of the option day file; `session` is filled in by the file."""
    prices = {"open": close, "high": close, "low": close, "close": close, "volume": 10.0, "vwap": None}
    return {"symbol": ticker, **prices} | given


@dataclass
class FrameVendor:
    """The vendor's chains, option day files and history as the test wants them, and what was asked of it."""

    shown: dict[str, list[dict[str, object]] | VendorError] = field(default_factory=dict)
    files: dict[date, list[dict[str, object]] | VendorError] = field(default_factory=dict)
    held: dict[date, list[dict[str, object]] | VendorError] | None = None
    label: str | None = None
    etag_suffix: str = ""
    captured_at: datetime | None = None
    while_fetching: Callable[[], object] = lambda: None
    asked_chains: list[list[str]] = field(default_factory=list)
    asked_files: list[date] = field(default_factory=list)
    read_files: list[date] = field(default_factory=list)
    asked_history: list[date] = field(default_factory=list)

    def chains(self, symbols: Sequence[str]) -> ChainCapture:
        self.asked_chains.append(list(symbols))
        self.while_fetching()
        rows: list[dict[str, object]] = []
        failed: dict[str, str] = {}
        for symbol in symbols:
            answer = self.shown.get(symbol, [])
            if isinstance(answer, VendorError):
                failed[symbol] = str(answer)
            else:
                rows += answer
        return ChainCapture(
            captured_at=self.captured_at or clock.now(),
            rows=pl.DataFrame(rows, schema=RAW_CHAIN_SCHEMA),
            pages=len(symbols),
            failed=failed,
            empty=[s for s in symbols if self.shown.get(s, []) == []],
            label=self.label,
        )

    def option_bars(
        self, sessions: Sequence[date], known: Mapping[date, KnownFile]
    ) -> Iterator[BarFile | MissingFile]:
        for session in sessions:
            self.asked_files.append(session)
            rows = self.files.get(
                session, NotYetPublished(f"the option day file of {session} is not published")
            )
            if isinstance(rows, VendorError):
                yield MissingFile(session, rows)
            else:
                yield self._file(session, rows, known.get(session))

    def _file(self, session: date, rows: list[dict[str, object]], known: KnownFile | None) -> BarFile:
        checksum = hashlib.sha256(repr(rows).encode()).hexdigest()
        etag = f"{checksum[:8]}{self.etag_suffix}"
        unchanged = known is not None and (known.etag == etag or known.checksum == checksum)
        if known is None or known.etag != etag:
            self.read_files.append(session)
        frame = pl.DataFrame([{"session": session} | r for r in rows], schema=RAW_BAR_SCHEMA)
        return BarFile(
            session,
            "flatfile",
            etag,
            1000,
            frame.clear() if unchanged else frame,
            self.label,
            unchanged,
            checksum,
        )

    def option_history(self, session: date, symbols: Sequence[str]) -> pl.DataFrame:
        self.asked_history.append(session)
        if self.held is None:
            raise NotEntitled(SWITCHED_OFF)
        answer = self.held.get(session, [])
        if isinstance(answer, VendorError):
            raise answer
        return pl.DataFrame(answer, schema=OPTION_HISTORY_SCHEMA)


@dataclass(frozen=True)
class Outcome:
    """A run of the asset: what its materialization reported, its failure, and the checks that did not pass."""

    facts: dict[str, Any]
    failure: str | None
    failed_checks: list[str]


@dataclass
class ChainsWorld:
    database: Database
    vendor: FrameVendor
    monkeypatch: pytest.MonkeyPatch

    def at(self, new_york: str) -> None:
        """Moves the clock to this New York time."""
        instant = datetime.fromisoformat(new_york).replace(tzinfo=calendar.NEW_YORK)
        self.monkeypatch.setenv("KAPMAN_NOW", instant.isoformat())

    def watch(self, *symbols: str) -> None:
        self.database.execute("DELETE FROM portfolio_tickers")
        for symbol in symbols:
            self.database.execute(query("track_symbol"), {"symbol": symbol})
            self.database.execute(
                "INSERT INTO portfolio_tickers (portfolio_id, ticker_id) SELECT 1, id FROM tickers WHERE symbol = %s",
                (symbol,),
            )

    def close_at(self, session: date, **closes: float) -> None:
        """The session's bars: one a symbol, with this close; a symbol is written with _ for its dot."""
        symbols = [name.replace("_", ".") for name in closes]
        prices = dict.fromkeys(
            ("open", "high", "low", "close"), pl.Series(list(closes.values()), dtype=pl.Float64)
        )
        frame = pl.DataFrame({"symbol": symbols, **prices}).with_columns(
            volume=pl.lit(1e6), source=pl.lit("flatfile")
        )
        nothing = dict.fromkeys(("etag", "size", "captured_at", "oi_session", "checksum", "modified"))
        manifest = {
            "dataset": "ohlcv_daily", "session": session, "symbol": "*", "source": "flatfile", "rows": len(symbols),
            "rejected": 0, "label": self.vendor.label,
        }  # fmt: skip
        with self.database.transaction() as connection:
            self.database.replace_session(connection, "ohlcv_daily", session, frame)
            connection.execute(query("record_load"), nothing | manifest)

    def run(self, first: date, last: date | None = None) -> Outcome:
        """Materializes options_chains with its checks, as `kapman run` and `kapman backfill` do."""
        last = last or first
        tags = {ASSET_PARTITION_RANGE_START_TAG: str(first), ASSET_PARTITION_RANGE_END_TAG: str(last)}
        midnight = datetime.combine(last + timedelta(days=1), datetime.min.time(), calendar.NEW_YORK)
        checks = [
            table.options_chains_checks,
            table.options_chains_cover_the_watchlist,
            table.options_chains_cover_the_sessions,
        ]
        with partition_loading_context(effective_dt=max(midnight, clock.now())):
            done = dg.materialize(
                [table.options_chains, *checks],
                resources={"database": self.database, "market_data": self.vendor, "clock": SessionClock()},
                partition_key=str(first) if first == last else None,
                tags=tags if first != last else None,
                raise_on_error=False,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
        facts: dict[str, Any] = {}
        for event in done.get_asset_materialization_events():
            facts = {key: value.value for key, value in event.materialization.metadata.items()}
        failures = [event.event_specific_data for event in done.get_step_failure_events()]
        words = [
            f.user_failure_data.description if f.user_failure_data else f.error.to_string() for f in failures
        ]
        failed = [
            f"{e.check_name}: {', '.join(f'{k} {v.value}' for k, v in e.metadata.items())}"
            for e in done.get_asset_check_evaluations()
            if not e.passed
        ]
        return Outcome(facts, words[0] if words else None, failed)

    def chain(self, session: date = SESSION) -> dict[str, dict[str, Any]]:
        """The stored rows of a session by contract."""
        rows = self.database.rows("SELECT * FROM options_chains WHERE time = session_time(%s)", (session,))
        return {row["contract"]: row for row in rows}

    def manifest(self, session: date = SESSION) -> dict[str, dict[str, Any]]:
        """The session's manifest rows by underlying; a second row for one of them fails."""
        rows = self.database.rows(
            "SELECT * FROM load_manifest WHERE dataset = 'options_chains' AND session_date = %s", (session,)
        )
        by_symbol = {row["symbol"]: row for row in rows}
        assert len(by_symbol) == len(rows)
        return by_symbol

    def refused(self, session: date = SESSION) -> list[tuple[str, str, str]]:
        """symbol, reason, detail of the session's rejected rows, sorted."""
        rows = self.database.rows(
            "SELECT symbol, reason, detail FROM rejected_rows WHERE dataset = 'options_chains' AND session_date = %s",
            (session,),
        )
        return sorted((row["symbol"], row["reason"], row["detail"]) for row in rows)

    def fingerprint(self) -> list[dict[str, Any]]:
        """Where every stored row stands physically: a row written again moves."""
        return self.database.rows(
            "SELECT ctid::text, xmin::text, contract FROM options_chains ORDER BY time, contract"
        )


@pytest.fixture
def chains(database: Database, monkeypatch: pytest.MonkeyPatch) -> ChainsWorld:
    """An empty database that watches AAA and BBB, with their bars, in the night after SESSION."""
    world = ChainsWorld(database, FrameVendor(), monkeypatch)
    world.watch("AAA", "BBB")
    for session in (BEFORE, SESSION):
        world.close_at(session, AAA=100.0, BBB=100.0)
    world.at(NIGHT)
    return world
