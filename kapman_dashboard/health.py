"""/healthz: the process answers. /readyz: the database answers, is migrated, and how fresh it is."""

from __future__ import annotations

from datetime import date
from typing import Literal

import psycopg
from fastapi import APIRouter, Request, Response
from psycopg_pool import PoolTimeout
from pydantic import BaseModel

from kapman_dashboard import page
from kapman_dashboard.queries import NothingStored
from kapman_resources.database import DatabaseError, Migrations

router = APIRouter(tags=["health"])


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """`newest_session` is null while nothing is stored; the age counts from the last completed session."""

    ready: bool
    database: str
    pending_migrations: list[str] = []
    newest_session: date | None = None
    age_in_sessions: int | None = None


@router.get("/healthz")
def healthz() -> Health:
    return Health()


@router.get("/readyz", responses={503: {"model": Readiness}})
def readyz(request: Request, response: Response) -> Readiness:
    """503 unless the database answers and no migration is pending. An empty database is ready."""
    found = _readiness(page.reader(request))
    response.status_code = 200 if found.ready else 503
    return found


def _readiness(reader: page.Reader) -> Readiness:
    try:
        pending = [file.name for file in Migrations(reader.database).pending()]
        if pending:
            return Readiness(ready=False, database="ok", pending_migrations=pending)
        session = reader.session(None)
    except NothingStored:
        return Readiness(ready=True, database="ok")
    except (DatabaseError, psycopg.Error, PoolTimeout) as error:
        return Readiness(
            ready=False, database=str(error).splitlines()[0] if str(error) else type(error).__name__
        )
    age = page.session_age(session)
    return Readiness(ready=True, database="ok", newest_session=session.newest, age_in_sessions=age.sessions)
