"""Which exceptions are the user's to put right: their message is printed alone.

Everything else is our bug and keeps its traceback.
"""

from __future__ import annotations

import typer

from kapman_assets.launch import NoSuchSession
from kapman_assets.stages import MixedDataError
from kapman_cli.console import CliError
from kapman_resources.clock import ClockError
from kapman_resources.database import DatabaseError
from kapman_resources.embedded_postgres import EmbeddedPostgresError
from kapman_resources.market_data import VendorError
from kapman_resources.settings import SettingsError

_USERS = (
    CliError,
    NoSuchSession,
    MixedDataError,
    ClockError,
    DatabaseError,
    EmbeddedPostgresError,
    VendorError,
    SettingsError,
)


def sentence_for(error: Exception) -> str | None:
    """The one line to print, None for a fault of ours."""
    if isinstance(error, typer.TyperException):
        return getattr(error, "format_message", error.__str__)() + " (see --help)"
    return str(error) if isinstance(error, _USERS) else None
