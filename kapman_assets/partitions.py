"""Trading sessions as Dagster partitions, and the look-backs between tables, counted in sessions.

The horizon is fixed: if exclusions depended on today, the definition's identity would change from load to load.
"""

from __future__ import annotations

from datetime import date, datetime

import dagster as dg

from kapman_resources import calendar

FIRST_SESSION = date(2015, 1, 2)
_SATURDAYS, _SUNDAYS = "0 0 * * 6", "0 0 * * 0"

TRADING_SESSIONS = dg.DailyPartitionsDefinition(
    start_date=FIRST_SESSION.isoformat(),
    timezone=calendar.NEW_YORK.key,
    exclusions=[
        _SATURDAYS,
        _SUNDAYS,
        *(
            datetime(d.year, d.month, d.day)
            for d in calendar.all_holidays(FIRST_SESSION.year, calendar.LAST_YEAR)
        ),
    ],
)

# Every table of the daily line shares this policy: assets with different policies are staged in separate runs.
SINGLE_RUN = dg.BackfillPolicy.single_run()

SAME_SESSION = dg.TimeWindowPartitionMapping()
# Rank and regime look at the previous 252 sessions of a table.
LOOKBACK_252 = dg.TimeWindowPartitionMapping(start_offset=-252)
# The longest outcome horizon.
LOOKBACK_40 = dg.TimeWindowPartitionMapping(start_offset=-40)


def session_of_key(partition_key: str) -> date:
    return date.fromisoformat(partition_key)
