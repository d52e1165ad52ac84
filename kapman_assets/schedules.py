"""When the jobs start. Does not belong here: what they run (jobs.py, maintenance.py)."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import dagster as dg
from dagster import ResourceParam

from kapman_assets.jobs import daily
from kapman_assets.maintenance import retention
from kapman_resources import calendar
from kapman_resources.database.core import Database
from kapman_resources.database.queries import query
from kapman_resources.settings import Settings

_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


def daily_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """A tick every day at DAILY_JOB_HOUR:DAILY_JOB_MINUTE in TIMEZONE; a tick without a new session is skipped.

    Asking the session calendar, instead of a weekday cron, makes holidays and clock changes come out right.
    """

    @dg.schedule(
        name="daily_at_night",
        job=daily,
        cron_schedule=f"{settings.daily_job_minute} {settings.daily_job_hour} * * *",
        execution_timezone=settings.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="The last completed session, once it is complete.",
    )
    def daily_at_night(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        tick = context.scheduled_execution_time
        session = calendar.last_completed_session(tick)
        if calendar.last_completed_session(tick - timedelta(days=1)) == session:
            return dg.SkipReason(f"no session has closed since the last tick; the newest is {session}")
        return dg.RunRequest(run_key=str(session), partition_key=str(session))

    return daily_at_night


def late_bars_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """Every half hour from the nightly tick until past BAR_FILE_DEADLINE, while the newest session has no bars.

    The first tick after the deadline lets grouped daily stand in, so a session has bars by noon whatever happens.
    """
    nightly = time(settings.daily_job_hour, settings.daily_job_minute)
    zone = ZoneInfo(settings.timezone)
    minutes = sorted({nightly.minute % 30, nightly.minute % 30 + 30})
    last_hour = min(max(nightly.hour, settings.bar_file_deadline.hour) + 1, 23)

    @dg.schedule(
        name="daily_when_bars_are_late",
        job=daily,
        cron_schedule=f"{minutes[0]},{minutes[1]} {nightly.hour}-{last_hour} * * *",
        execution_timezone=settings.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="The newest session again while the vendor's day file is late.",
    )
    def daily_when_bars_are_late(
        context: dg.ScheduleEvaluationContext, database: ResourceParam[Database]
    ) -> dg.RunRequest | dg.SkipReason:
        tick = context.scheduled_execution_time.astimezone(zone)
        session = calendar.last_completed_session(tick)
        if tick.time() <= nightly:
            return dg.SkipReason("the nightly run asks first")
        if database.value(query("loaded_bar_files"), {"first": session, "last": session}):
            return dg.SkipReason(f"the bars of session {session} are there")
        if _is_under_way(context.instance, session):
            return dg.SkipReason(f"a run of session {session} is under way")
        return dg.RunRequest(run_key=f"{session} {tick:%Y-%m-%d %H:%M}", partition_key=str(session))

    return daily_when_bars_are_late


def _is_under_way(instance: dg.DagsterInstance, session: date) -> bool:
    runs = dg.RunsFilter(job_name=daily.name, statuses=_UNDER_WAY, tags={"dagster/partition": str(session)})
    return bool(instance.get_runs(runs, limit=1))


def retention_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """Once a day, two hours before the nightly run."""
    before = datetime.combine(date.min, time(settings.daily_job_hour)) + timedelta(hours=22)
    return dg.ScheduleDefinition(
        name="retention_before_the_night",
        job=retention,
        cron_schedule=f"{settings.daily_job_minute} {before.hour} * * *",
        execution_timezone=settings.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Drops what is older than the table `retention` says, and makes next month's partitions.",
    )
