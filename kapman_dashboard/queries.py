"""Every read of the pages and the API, each as of a session; the SQL stands in sql/queries/dashboard_*.sql.

Rows come back as dictionaries of plain values (NUMERIC as float). Does not belong here: writing, words, HTML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from kapman_dashboard.boundary import Filters
from kapman_metrics.frames import BAR_SCHEMA
from kapman_resources.database.core import Database
from kapman_resources.database.queries import query

Row = dict[str, Any]
CHART_SESSIONS = 120
NEAREST_EXPIRY_DAYS = 30


@dataclass(frozen=True)
class ShownSession:
    """The session a page is about: `shown` is the newest stored at or before `asked` (None: of all)."""

    asked: date | None
    shown: date
    newest: date
    oldest: date
    earlier: date | None
    later: date | None

    @property
    def is_replay(self) -> bool:
        return self.shown != self.newest

    @property
    def in_urls(self) -> date | None:
        """The session that links have to carry: none while the newest is shown."""
        return self.shown if self.is_replay else None


class NothingStored(LookupError):
    """No session is stored, or none at or before the one asked for; the message says what to do."""


class Reader:
    """The reads over one database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def _rows(self, name: str, **params: Any) -> list[Row]:
        return [_plain(row) for row in self.database.rows(query(f"dashboard_{name}"), params)]

    # -- sessions and bookkeeping

    def session(self, asked: date | None) -> ShownSession:
        """Raises NothingStored when the database is empty or everything stored is later than `asked`."""
        found = self._rows("sessions", asked=asked)[0]
        if found["newest"] is None:
            raise NothingStored("no session stored yet: run ./kapman demo or ./kapman run")
        if found["shown"] is None:
            raise NothingStored(
                f"no session stored at or before {asked}: the oldest stored is {found['oldest']}, "
                f"the newest {found['newest']}"
            )
        return ShownSession(asked=asked, **found)

    def data_labels(self) -> list[str]:
        """How the stored data declares itself, e.g. SIMULATED; empty for the vendor's."""
        text = "SELECT DISTINCT data_label FROM load_manifest WHERE data_label IS NOT NULL ORDER BY 1"
        return [row["data_label"] for row in self.database.rows(text)]

    def runs(self, limit: int, until: date | None = None) -> list[Row]:
        """Runs of the pipeline, newest first, each with its stages; `until` bounds their sessions."""
        return self._rows("runs", limit=limit, until=until)

    def portfolios(self) -> list[Row]:
        return self._rows("portfolios")

    # -- today

    def alerts(self, session: date) -> list[Row]:
        """Alert conditions as of the session, most urgent first."""
        found = self.database.rows("SELECT * FROM fn_alerts(%(session)s)", {"session": session})
        return [_plain(row | {"session": row["time"].date()}) for row in found]

    def watchlist(self, session: date, portfolio: str | None = None) -> list[Row]:
        """Every watchlist symbol with its newest snapshot as of the session."""
        return self._rows("watchlist", session=session, portfolio=portfolio)

    def recommendations(
        self,
        *,
        session: date | None = None,
        until: date | None = None,
        symbol: str | None = None,
        filters: Filters | None = None,
        limit: int = 500,
    ) -> list[Row]:
        """Advice with its `legs`: of one session, or of every session up to `until`."""
        chosen = vars(filters or Filters())
        found = self._rows(
            "recommendations", session=session, until=until, symbol=symbol, limit=limit, **chosen
        )
        legs = self._legs([row["id"] for row in found])
        return [row | {"legs": legs.get(row["id"], [])} for row in found]

    def _legs(self, ids: Sequence[UUID]) -> dict[UUID, list[Row]]:
        grouped: dict[UUID, list[Row]] = {}
        for row in self._rows("legs", ids=list(ids)) if ids else []:
            grouped.setdefault(row["recommendation_id"], []).append(row)
        return grouped

    # -- one recommendation

    def recommendation(self, identity: UUID, until: date | None = None) -> Row | None:
        """One advice with `legs` and the `outcomes` known up to `until`."""
        found = self._rows("recommendation", id=identity)
        if not found:
            return None
        legs = self._legs([identity]).get(identity, [])
        return found[0] | {"legs": legs, "outcomes": self._rows("outcomes", id=identity, until=until)}

    # -- one ticker

    def tickers(self, *, watched: bool, limit: int, offset: int = 0) -> list[Row]:
        return self._rows("tickers", symbol=None, watched=watched, limit=limit, offset=offset)

    def ticker(self, symbol: str) -> Row | None:
        found = self._rows("tickers", symbol=symbol, watched=False, limit=1, offset=0)
        return found[0] if found else None

    def snapshot(self, symbol: str, session: date) -> Row | None:
        """The newest snapshot of the symbol as of the session, all columns."""
        found = self._rows("snapshot", symbol=symbol, session=session)
        return found[0] if found else None

    def snapshots(self, symbol: str, session: date, limit: int) -> list[Row]:
        """Newest first."""
        return self._rows("snapshot_history", symbol=symbol, session=session, limit=limit)

    def bars(self, symbol: str, session: date, limit: int = CHART_SESSIONS) -> list[Row]:
        """The last bars up to the session, split-adjusted as of it, of one listing, oldest first."""
        # calendar days that surely hold `limit` sessions
        first = session - timedelta(days=limit * 8 // 5 + 14)
        params = {"symbols": [symbol], "first": first, "last": session}
        bars = self.database.frame(query("adjusted_bars_of_symbols"), params, BAR_SCHEMA)
        return bars.sort("date").tail(limit).to_dicts()

    def expirations(self, symbol: str, session: date) -> list[Row]:
        """Expirations of the newest chain as of the session: session, expiration, days, contracts."""
        return self._rows("expirations", symbol=symbol, session=session)

    def chain(
        self, symbol: str, session: date, expiration: date | None, limit: int = 2000, offset: int = 0
    ) -> list[Row]:
        """Contracts stored for exactly this session."""
        return self._rows(
            "chain", symbol=symbol, session=session, expiration=expiration, limit=limit, offset=offset
        )

    def recent_events(self, session: date, days: int, limit: int) -> list[Row]:
        return self._rows("recent_events", session=session, days=days, limit=limit)


def _plain(row: Mapping[str, Any]) -> Row:
    return {key: float(value) if isinstance(value, Decimal) else value for key, value in row.items()}
