"""The checks that guard every table alike: its schema, its row count, one row a key, nothing from the future.

Each table's module declares its guard and any check of its own. Does not belong here: what a value means.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl
from dagster import ResourceParam

from kapman_assets.partitions import session_of_key
from kapman_resources.clock import SessionClock
from kapman_resources.database.core import Database
from kapman_resources.database.queries import query

if TYPE_CHECKING:
    import pandera.polars as pa


_SESSION_OF_TIME = "session_of(time)"


@dataclass(frozen=True)
class TableGuard:
    """What is known of a table before a row is in it.

    `columns`: what the schema check reads; `schema`: builds the pandera schema (imported late: it costs a second);
    `session`: SQL of a row's session; `within`: SQL that narrows to [%(first)s, %(last)s] by an index;
    `expects_rows`: an empty session is a fault, and so is one below 85 % of the median of the 20 before;
    `stored_in`: the table itself where `table` is a view of it.
    """

    table: str
    key: tuple[str, ...]
    columns: Mapping[str, pl.DataType | type[pl.DataType]]
    schema: Callable[[], "pa.DataFrameSchema"]
    session: str = _SESSION_OF_TIME
    within: str = "time BETWEEN session_time(%(first)s) AND session_time(%(last)s)"
    expects_rows: bool = False
    stored_in: str | None = None

    @property
    def partitioned(self) -> bool:
        """A reference table has no sessions: all of it is judged."""
        return "%(first)s" in self.within

    @property
    def after(self) -> str:
        """SQL of the rows later than %(last)s; partitions and indexes know `time`, not a function of it."""
        if self.session == _SESSION_OF_TIME:
            return "time > session_time(%(last)s)"
        return f"{self.session} > %(last)s"


def schema_failures(guard: TableGuard, frame: pl.DataFrame) -> list[str]:
    """One line a violated rule, empty when the frame fits."""
    from pandera.errors import SchemaErrors

    try:
        guard.schema().validate(frame, lazy=True)
    except SchemaErrors as error:
        cases = error.failure_cases
        return [
            f"{r['column']}: {r['check']} ({r['failure_case']})" for r in cases.head(10).iter_rows(named=True)
        ]
    return []


def trailing_shortfall(counts: list[int]) -> str | None:
    """Why the newest of these per-session row counts (oldest first) is too small, None when it is not."""
    *before, newest = counts
    if newest == 0:
        return "no rows"
    if before:
        median = sorted(before)[len(before) // 2]
        if newest < 0.85 * median:
            return f"{newest} rows against a median of {median} in the {len(before)} sessions before"
    return None


def table_checks(guard: TableGuard) -> dg.AssetChecksDefinition:
    """The four checks of one table as one step, judged on the run's sessions (schema: on its newest one).

    A reference table is judged whole.
    """
    asset = dg.AssetKey(guard.table)
    specs = [
        dg.AssetCheckSpec(
            "schema", asset=asset, blocking=True, description="column types, ranges and missing values"
        ),
        dg.AssetCheckSpec(
            "row_count", asset=asset, description="rows of the newest session against the 20 before"
        ),
        dg.AssetCheckSpec("one_row_per_key", asset=asset, blocking=True, description=", ".join(guard.key)),
        dg.AssetCheckSpec(
            "no_future_data", asset=asset, blocking=True, description="no row after the last close"
        ),
    ]

    @dg.multi_asset_check(specs=specs, name=f"{guard.table}_checks")
    def run_checks(
        context: dg.AssetCheckExecutionContext,
        database: ResourceParam[Database],
        clock: ResourceParam[SessionClock],
    ) -> Iterable[dg.AssetCheckResult]:
        if guard.partitioned:
            sessions = [session_of_key(key) for key in context.partition_keys]
        else:
            sessions = [clock.last_completed_session()]

        failures = schema_failures(guard, _newest(guard, database, sessions[-1]))
        yield dg.AssetCheckResult(
            check_name="schema",
            asset_key=asset,
            passed=not failures,
            metadata={"failures": failures or "none"},
        )
        counts = _row_counts(guard, database, sessions[-1])
        shortfall = trailing_shortfall(counts) if guard.expects_rows else None
        yield dg.AssetCheckResult(
            check_name="row_count", asset_key=asset, passed=shortfall is None, severity=dg.AssetCheckSeverity.ERROR,
            metadata={"rows": counts[-1], "finding": shortfall or "none"},
        )  # fmt: skip
        twice = _doubled_keys(guard, database, {"first": sessions[0], "last": sessions[-1]})
        yield dg.AssetCheckResult(
            check_name="one_row_per_key", asset_key=asset, passed=twice == 0, metadata={"doubled_keys": twice}
        )
        limit = clock.newest_possible_session()
        later = f"SELECT count(*) FROM {guard.table} WHERE {guard.after}"
        future = database.value(later, {"last": limit})
        yield dg.AssetCheckResult(
            check_name="no_future_data", asset_key=asset, passed=future == 0,
            metadata={"rows_after_last_close": future, "newest_possible_session": str(limit)},
        )  # fmt: skip

    return run_checks


def _doubled_keys(guard: TableGuard, database: Database, span: dict[str, date]) -> int:
    """Keys with more than one row. A unique index on the table and all its parts proves 0 without reading a row."""
    named = {"table": guard.stored_in or guard.table, "key": sorted(guard.key)}
    if not database.rows(query("tables_without_key"), named):
        return 0
    keys = f"SELECT 1 FROM {guard.table} WHERE {guard.within} GROUP BY {', '.join(guard.key)} HAVING count(*) > 1"
    return database.value(f"SELECT count(*) FROM ({keys}) doubled", span)


def _newest(guard: TableGuard, database: Database, session: date) -> pl.DataFrame:
    columns = ", ".join(guard.columns)
    statement = f"SELECT {columns} FROM {guard.table} WHERE {guard.within}"
    return database.frame(statement, {"first": session, "last": session}, guard.columns)


def _row_counts(guard: TableGuard, database: Database, session: date) -> list[int]:
    """Rows of the stored sessions among the 20 before, oldest first, then of the session itself (0 when absent)."""
    from kapman_resources.calendar import session_offset

    if not guard.partitioned:
        return [database.value(f"SELECT count(*) FROM {guard.table}")]
    counts = f"SELECT {guard.session} AS s, count(*) AS n FROM {guard.table}"
    grouped = f"{counts} WHERE {guard.within} GROUP BY 1 ORDER BY 1"
    span = {"first": session_offset(session, -20), "last": session}
    found = {row["s"]: row["n"] for row in database.rows(grouped, span)}
    newest = found.pop(session, 0)
    return [*found.values(), newest]
