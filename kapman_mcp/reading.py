"""The database as this room sees it: every transaction is read only and ends in time.

Does not belong here: what is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kapman_resources.database.core import Connection, Database

_LONGEST_SECONDS = 30


class ReadOnlyDatabase(Database):
    """A database that PostgreSQL itself keeps from writing; a statement of more than 30 s is ended."""

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Raises psycopg.errors.ReadOnlySqlTransaction inside when something tries to write."""
        with super().transaction() as connection:
            connection.execute(
                f"SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = '{_LONGEST_SECONDS}s'"
            )
            yield connection
