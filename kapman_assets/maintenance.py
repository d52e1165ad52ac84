"""Work on the tables that is no session's: what is too old goes, next month's partitions are made ahead.

Does not belong here: how long a table keeps its rows (table `retention`), when this runs (schedules.py).
"""

import dagster as dg
from dagster import ResourceParam

from kapman_resources.clock import SessionClock
from kapman_resources.database.core import Database
from kapman_resources.database.queries import query


@dg.op(
    description="Drops partitions beyond their table's retention and makes those of this month and the next."
)
def keep_partitions(
    context: dg.OpExecutionContext, database: ResourceParam[Database], clock: ResourceParam[SessionClock]
) -> None:
    """With TimescaleDB its own policies do this; then nothing is left to do here."""
    newest = clock.last_completed_session()
    dropped = [row["dropped"] for row in database.rows(query("apply_retention"), {"today": newest})]
    database.execute(query("make_partitions_ahead"), {"today": newest})
    context.log.info(f"retention as of session {newest}: dropped {', '.join(dropped) or 'nothing'}")
    context.add_output_metadata({"dropped": dropped or "nothing", "as_of": str(newest)})


@dg.job(description="Retention of the time-series tables, and their partitions ahead of need.")
def retention() -> None:
    keep_partitions()
