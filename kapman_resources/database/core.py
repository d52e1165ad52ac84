"""One database: a small pool, one way to read a frame and one way to replace a partition.

Writes are delete + COPY in a single transaction, so a killed process leaves the old rows or the new ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool, PoolTimeout

from kapman_resources import calendar
from kapman_resources.database import binary_copy

Connection = psycopg.Connection[Any]


class DatabaseError(RuntimeError):
    """The database cannot be reached or is not migrated; the message says what to do."""


@dataclass(frozen=True)
class EncodedRows:
    """Rows as one binary COPY stream."""

    columns: tuple[str, ...]
    blocks: list[binary_copy.Block]
    height: int


def at_session(frame: pl.DataFrame, session: date) -> pl.DataFrame:
    """The frame with the session's `time`."""
    stamp = pl.lit(calendar.session_time(session)).cast(pl.Datetime("us", "UTC"))
    return frame.with_columns(stamp.alias("time"))


class Database:
    """A pool of connections to Kapman's database; cheap to create, opens nothing until it is used."""

    def __init__(self, url: str, *, max_size: int = 4) -> None:
        self.url = url
        self._pool = ConnectionPool(
            url,
            min_size=0,
            max_size=max_size,
            open=False,
            timeout=10,
            kwargs={"options": "-c timezone=America/New_York"},
        )
        self._column_types: dict[str, dict[str, str]] = {}

    def close(self) -> None:
        self._pool.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A connection whose statements commit together on leaving, or not at all.

        Raises DatabaseError when the server cannot be reached.
        """
        if self._pool.closed:
            self._probe()
            self._pool.open()
        with ExitStack() as stack:
            try:
                connection = stack.enter_context(self._pool.connection())
            except PoolTimeout:
                self._probe()  # says so when the server is gone; otherwise every connection is in use
                raise
            yield connection

    def _probe(self) -> None:
        """The pool retries in the background; one plain attempt gives the real reason at once."""
        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.OperationalError as error:
            where = psycopg.conninfo.conninfo_to_dict(self.url)
            # the indented lines below a reason are libpq's guesses
            reason = [line for line in str(error).strip().splitlines() if not line.startswith("\t")][-1]
            raise DatabaseError(
                f"no PostgreSQL at host={where.get('host', 'localhost')} port={where.get('port', 5432)} "
                f"dbname={where.get('dbname')}: {reason}. Check DATABASE_URL, or unset it to use the embedded server"
            ) from error

    # -- reading ------------------------------------------------------------------------------------------------

    def rows(self, query: str, params: Mapping[str, Any] | Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Rows as dictionaries; for small answers."""
        with self.transaction() as connection, connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, params).fetchall()

    def value(self, query: str, params: Mapping[str, Any] | Sequence[Any] = ()) -> Any:
        """The first column of the first row, None where there is none."""
        with self.transaction() as connection:
            row = connection.execute(query, params).fetchone()
        return row[0] if row else None

    def execute(self, query: str, params: Mapping[str, Any] | Sequence[Any] = ()) -> None:
        with self.transaction() as connection:
            connection.execute(query, params)

    def frame(
        self, query: str, params: Mapping[str, Any], schema: Mapping[str, pl.DataType | type[pl.DataType]]
    ) -> pl.DataFrame:
        """The answer as a frame with exactly this schema, streamed as COPY text: fast for large answers.

        Timestamps are not wanted here: select session_of(time).
        """
        with self.transaction() as connection:
            cursor = psycopg.ClientCursor(connection)
            bound = cursor.mogrify(query, params)
            with cursor.copy(f"COPY ({bound}) TO STDOUT (FORMAT csv)".encode()) as copy:
                data = b"".join(bytes(block) for block in copy)
        wire = {name: (pl.String() if kind == pl.Boolean else kind) for name, kind in schema.items()}
        if not data:
            return pl.DataFrame(schema=dict(schema))
        frame = pl.read_csv(
            data, has_header=False, new_columns=list(wire), schema_overrides=list(wire.values())
        )  # fmt: skip
        return frame.with_columns(
            (pl.col(n) == "t").alias(n) for n, kind in schema.items() if kind == pl.Boolean
        )

    # -- writing ------------------------------------------------------------------------------------------------

    def replace_session(
        self,
        connection: Connection,
        table: str,
        session: date,
        rows: pl.DataFrame | EncodedRows,
        *,
        symbols: Sequence[str] | None = None,
    ) -> int:
        """Replaces one session's rows of a time-series table inside the caller's transaction.

        `rows`: the table's columns but `time`, or what `encode` made of them; with `symbols` only their rows are
        replaced. Returns the rows written.
        """
        replaced = None if symbols is None else list(symbols)  # a tuple would be sent as a composite value
        # two runs of one session: the second waits, then replaces what the first wrote
        connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (f"session:{table}:{session}",))
        leaf = connection.execute("SELECT ensure_partition(%s, %s)", (table, session)).fetchone()
        target = leaf[0] if leaf and leaf[0] else table
        connection.execute(
            sql.SQL(
                "DELETE FROM {} WHERE time = %s AND (%s::text[] IS NULL OR symbol = ANY (%s::text[]))"
            ).format(sql.Identifier(target)),
            (calendar.session_time(session), replaced, replaced),
        )
        stamped = rows if isinstance(rows, EncodedRows) else at_session(rows, session)
        return self.copy(connection, target, stamped, like=table)

    def encode(self, table: str, session: date, frame: pl.DataFrame) -> EncodedRows:
        """A session's rows ready to be sent, so that they can be made beside the COPY of another session.

        Raises ValueError for a table with a column that has no binary encoding here.
        """
        with self.transaction() as connection:
            sql_types = self._types_for(connection, table, [*frame.columns, "time"])
        stamped = at_session(frame, session)
        return EncodedRows(tuple(stamped.columns), binary_copy.encode(stamped, sql_types), stamped.height)

    def copy(
        self,
        connection: Connection,
        table: str,
        rows: pl.DataFrame | EncodedRows,
        *,
        freeze: bool = False,
        like: str | None = None,
    ) -> int:
        """COPY in binary; whole columns at once where every type is fixed or text, else row by row.

        `freeze`: the table was created in this transaction, so its rows need no later vacuum. `like`: the table whose
        columns these are, for a partition. Returns the rows written.
        """
        columns = list(rows.columns)
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary, FREEZE {})").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.SQL("true" if freeze else "false"),
        )
        sql_types = (
            [] if isinstance(rows, EncodedRows) else self._types_for(connection, like or table, columns)
        )
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            if isinstance(rows, EncodedRows) or all(map(binary_copy.is_encodable, sql_types)):
                blocks = rows.blocks if isinstance(rows, EncodedRows) else binary_copy.encode(rows, sql_types)
                for block in blocks:
                    copy.write(block)
            else:
                copy.set_types([_psycopg_type(kind) for kind in sql_types])
                for row in rows.iter_rows():
                    copy.write_row([_to_sql(value, kind) for value, kind in zip(row, sql_types, strict=True)])
        return rows.height

    def _types_for(self, connection: Connection, table: str, columns: list[str]) -> list[str]:
        """The columns' SQL types; raises ValueError naming those that the table does not have."""
        types = self._column_types_of(connection, table)
        unknown = [name for name in columns if name not in types]
        if unknown:
            raise ValueError(f"table {table} has no column {', '.join(unknown)}")
        return [types[name] for name in columns]

    def _column_types_of(self, connection: Connection, table: str) -> dict[str, str]:
        """Column name -> SQL type, generated columns left out; temporary tables are seen by their connection."""
        if table not in self._column_types:
            found = connection.execute(_COLUMN_TYPES, (table,)).fetchall()
            if not found:
                raise DatabaseError(f"table {table} does not exist: run `./kapman migrate`")
            self._column_types[table] = dict(found)
        return self._column_types[table]


_COLUMN_TYPES = """
    SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
    WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""


def _psycopg_type(sql_type: str) -> str:
    return {
        "double precision": "float8", "bigint": "int8", "integer": "int4", "smallint": "int2", "boolean": "bool",
        "timestamp with time zone": "timestamptz", "character varying": "text", "character": "text",
        "character varying[]": "varchar[]",
    }.get(sql_type, sql_type)  # fmt: skip


def _to_sql(value: Any, sql_type: str) -> Any:
    if value is None:
        return None
    if sql_type == "numeric":
        # the shortest decimal that reads back as the same double: a re-run writes the same digits
        return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if sql_type == "jsonb":
        return Jsonb(json.loads(value) if isinstance(value, str) else value)
    if sql_type in ("bigint", "integer", "smallint"):
        return int(value)
    return value
