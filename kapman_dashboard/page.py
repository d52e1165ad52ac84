"""What every page shares: template environment, data label, session shown, the way to a response.

Does not belong here: what any one page shows.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from kapman_dashboard import formats, vocabulary
from kapman_dashboard.queries import Reader, ShownSession
from kapman_resources import clock

HERE = Path(__file__).resolve().parent
STATIC = HERE / "static"


@dataclass(frozen=True)
class SessionAge:
    """How far the newest stored session is behind `expected`, the last completed one by the clock."""

    expected: date
    sessions: int | None

    @property
    def is_current(self) -> bool:
        return self.sessions == 0


def reader(request: Request) -> Reader:
    """The reads over the application's database."""
    return request.app.state.reader


def session_age(session: ShownSession) -> SessionAge:
    """Age of the newest stored session in sessions; 0 when it is the last completed one."""
    expected = clock.last_completed_session()
    return SessionAge(
        expected, 0 if session.newest > expected else formats.sessions_since(session.newest, expected)
    )


@cache
def _asset_version() -> str:
    return hashlib.sha256((STATIC / "kapman.css").read_bytes()).hexdigest()[:12]


@cache
def environment() -> Environment:
    """Autoescaping for every template; an undefined name is an error, not an empty cell."""
    env = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.globals.update(words=vocabulary, asset_version=_asset_version())
    for name in (
        "fixed",
        "price",
        "premium",
        "percent",
        "compact",
        "whole",
        "plain",
        "day",
        "short_day",
        "eastern",
        "counted",
        "leg",
    ):
        env.filters[name] = getattr(formats, name)
    return env


def render(
    request: Request,
    template: str,
    *,
    session: ShownSession | None,
    labels: list[str],
    status: int = 200,
    **values: Any,
) -> HTMLResponse:
    """The page as a response; `labels` are printed above everything else."""
    text = (
        environment()
        .get_template(template)
        .render(
            request_path=request.url.path,
            session=session,
            session_query=f"?session={session.in_urls}" if session and session.in_urls else "",
            labels=labels,
            **values,
        )
    )
    return HTMLResponse(text, status_code=status)
