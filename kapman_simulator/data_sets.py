"""The flat-file data sets: where their keys lie, what they are named and when a session's file appears.

What stands in a file does not belong here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, time


@dataclass(frozen=True)
class DataSet:
    """One kind of day file; `published` is New York time of the session itself."""

    prefix: str
    published: time

    def key(self, session: date) -> str:
        return f"{self.prefix}{session:%Y/%m}/{session}.csv.gz"


STOCKS = DataSet("us_stocks_sip/day_aggs_v1/", time(22))
OPTIONS = DataSet("us_options_opra/day_aggs_v1/", time(23))
DATA_SETS = (OPTIONS, STOCKS)  # in the order of their keys

_KEY = re.compile(r"(.+/)(\d{4})/(\d{2})/(\2-\3-\d{2})\.csv\.gz")


def parse_key(key: str) -> tuple[DataSet, date] | None:
    """The data set and the date that a key names; None for a key that cannot exist."""
    match = _KEY.fullmatch(key)
    found = [data_set for data_set in DATA_SETS if match and data_set.prefix == match.group(1)]
    if match is None or not found:
        return None
    try:
        return found[0], date.fromisoformat(match.group(4))
    except ValueError:
        return None
