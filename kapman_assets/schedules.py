"""When the nightly run starts. Does not belong here: what it runs (jobs.py)."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from kapman_assets.jobs import daily
from kapman_resources import calendar
from kapman_resources.settings import Settings


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
