"""The named queries of sql/queries, so that no module carries SQL longer than a line."""

from __future__ import annotations

from functools import cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "sql" / "queries"


@cache
def query(name: str) -> str:
    """The text of sql/queries/<name>.sql."""
    return (FOLDER / f"{name}.sql").read_text()
