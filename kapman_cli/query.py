"""`kapman sql`: one read-only question, as a table or as CSV."""

from __future__ import annotations

import csv
import sys

import psycopg
from psycopg.rows import tuple_row

from kapman_cli.console import CliError, out, say, table
from kapman_resources.database import Database


def run_query(database: Database, statement: str, as_csv: bool) -> None:
    """Prints the answer; raises CliError with the server's own words when it cannot be answered."""
    try:
        with database.transaction() as connection:
            connection.execute("SET TRANSACTION READ ONLY")
            cursor = connection.cursor(row_factory=tuple_row).execute(statement)
            if cursor.description is None:
                raise CliError("the statement answers nothing: `kapman sql` is for SELECT")
            names = [column.name for column in cursor.description]
            if as_csv:
                writer = csv.writer(sys.stdout, lineterminator="\n")
                writer.writerow(names)
                writer.writerows(cursor)
                return
            rows = cursor.fetchall()
    except psycopg.Error as error:
        raise CliError(" ".join(str(error).split())) from error
    shown = table(*names)
    for row in rows:
        shown.add_row(*("" if value is None else str(value) for value in row))
    out.print(shown, markup=False)
    say(f"{len(rows)} row{'' if len(rows) == 1 else 's'}")
