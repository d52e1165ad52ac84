"""Many sessions of one time-series table, in order: a missing month through a fresh table, a known one replaced.

Every transaction holds whole sessions together with what is recorded about them, so that a killed process leaves none
half written. Does not belong here: where the rows come from.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from datetime import date
from types import TracebackType
from typing import Self

import psycopg

from kapman_resources.database.core import Connection, Database, EncodedRows

Record = Callable[[Connection], None]


class SessionWriter:
    """A context manager; sessions must come oldest first.

    A month without a partition is written as one transaction: COPY FREEZE into a table of its own, then keys and
    indexes, then ATTACH. When something else fails in the caller's block (a vendor, Ctrl-C), the sessions that were
    written whole are kept. In a month that exists each session is a transaction: delete, COPY, record.
    `before_commit` runs last in every transaction. Months are flushed to disk together at the end: a server that dies
    before loses some of them whole, with what is recorded about them.
    """

    def __init__(self, database: Database, table: str, before_commit: Record) -> None:
        self._database, self._table, self._before_commit = database, table, before_commit
        self._month: date | None = None
        self._fresh: str | None = None
        self._transaction = ExitStack()
        self._connection: Connection | None = None
        self._writing = False
        self._unflushed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writing or isinstance(error, psycopg.Error):
            self._transaction.__exit__(kind, error, trace)  # rolls back: the last session is not whole
        else:
            self._finish_month()
            self._flush()

    def write(self, session: date, rows: EncodedRows, record: Record) -> None:
        """The session's rows and, in the same transaction, whatever `record` writes about them."""
        month = session.replace(day=1)
        if month != self._month:
            self._finish_month()
            self._begin_month(month)
        self._writing = True
        if self._fresh is not None and self._connection is not None:
            self._database.copy(self._connection, self._fresh, rows, freeze=True)
            record(self._connection)
        else:
            with self._database.transaction() as connection:
                self._database.replace_session(connection, self._table, session, rows)
                record(connection)
                self._before_commit(connection)
        self._writing = False

    def _begin_month(self, month: date) -> None:
        self._month = month
        with ExitStack() as opened:
            connection = opened.enter_context(self._database.transaction())
            row = connection.execute("SELECT begin_partition(%s, %s)", (self._table, month)).fetchone()
            self._fresh = row[0] if row else None
            if self._fresh is not None:
                connection.execute("SET LOCAL synchronous_commit = off")
                self._connection, self._unflushed = connection, True
                self._transaction = opened.pop_all()

    def _finish_month(self) -> None:
        """Commits the month under construction; nothing when there is none."""
        if self._fresh is not None and self._connection is not None:
            with self._transaction:
                self._connection.execute("SELECT finish_partition(%s, %s)", (self._table, self._month))
                self._before_commit(self._connection)
        self._month, self._fresh, self._connection = None, None, None

    def _flush(self) -> None:
        """The commit of any transaction of its own waits for the log of all before it."""
        if self._unflushed:
            self._database.execute("SELECT pg_current_xact_id()")
            self._unflushed = False
