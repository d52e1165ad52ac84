"""Plain numbered SQL files, each applied once in a transaction of its own, under one advisory lock.

Up only. An applied file is never edited: its checksum is compared on every run. Does not belong here: the SQL.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import psycopg

from kapman_resources.database.core import Database, DatabaseError

FOLDER = Path(__file__).resolve().parents[2] / "sql" / "migrations"
_LOCK = 0x6B61706D616E  # "kapman"
_NAME = re.compile(r"^(\d{3})_[a-z0-9_]+\.sql$")


@dataclass(frozen=True)
class Migration:
    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def read_migrations(folder: Path = FOLDER) -> list[Migration]:
    """The files in order; raises ValueError for a wrong name, a gap or a number used twice."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = _NAME.match(path.name)
        if not match:
            raise ValueError(f"{path.name}: a migration is named NNN_what_it_does.sql")
        found.append(Migration(int(match[1]), path.name, path.read_text()))
    numbers = [m.number for m in found]
    if numbers != list(range(1, len(numbers) + 1)):
        raise ValueError(
            f"migrations in {folder} are numbered {numbers}: they must be 1..{len(numbers)}, each once"
        )
    return found


class Migrations:
    """Applies what is missing; `pending` only tells."""

    def __init__(self, database: Database, folder: Path = FOLDER) -> None:
        self._database = database
        self._files = read_migrations(folder)

    def pending(self) -> list[Migration]:
        """Files not applied yet; raises DatabaseError when an applied one was edited or is missing."""
        with self._database.transaction() as connection:
            exists = connection.execute("SELECT to_regclass('schema_migrations') IS NOT NULL").fetchone()
            applied = (
                dict(connection.execute("SELECT number, checksum FROM schema_migrations").fetchall())
                if exists and exists[0]
                else {}
            )
        for file in self._files:
            if applied.get(file.number, file.checksum) != file.checksum:
                raise DatabaseError(
                    f"{file.name} was edited after it had been applied: restore it and write the change as a new file"
                )
        newest = max((file.number for file in self._files), default=0)
        ahead = [number for number in applied if number > newest]
        if ahead:
            raise DatabaseError(
                f"the database holds migration {max(ahead)}, this version knows {newest}: "
                "use the newer version of Kapman"
            )
        return [file for file in self._files if file.number not in applied]

    def apply(self) -> list[str]:
        """Applies every pending file; returns their names. Two starts at once wait for each other."""
        done: list[str] = []
        self.pending()  # an unreachable server and an edited file are told before anything is locked
        with psycopg.connect(self._database.url, autocommit=True) as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
            connection.execute(
                "CREATE TABLE IF NOT EXISTS schema_migrations (number integer PRIMARY KEY, name text NOT NULL, "
                "checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
            )
            for file in self.pending():
                try:
                    with connection.transaction():
                        connection.execute(file.text)
                        connection.execute(
                            "INSERT INTO schema_migrations (number, name, checksum) VALUES (%s, %s, %s)",
                            (file.number, file.name, file.checksum),
                        )
                except psycopg.Error as error:
                    raise DatabaseError(f"{file.name} failed and left nothing behind: {error}") from error
                done.append(file.name)
        return done
