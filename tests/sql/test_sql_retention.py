"""How long rows stay, and partitions made before they are needed."""

from __future__ import annotations

from datetime import date

import pytest

from kapman_resources.database import Database

TODAY = date(2026, 6, 12)


def partitions(database: Database, table: str) -> list[str]:
    rows = database.rows(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = %s::regclass ORDER BY 1",
        (table,),
    )
    return [row["name"].removeprefix(f"{table}_") for row in rows]


def make(database: Database, table: str, *months: date) -> None:
    for month in months:
        database.execute("SELECT ensure_partition(%s, %s)", (table, month))
        database.execute(
            "INSERT INTO load_manifest (dataset, session_date, source, row_count) VALUES (%s, %s, 'x', 1)",
            (table, month),
        )


def dropped(database: Database, today: date = TODAY) -> list[str]:
    return [row["dropped"] for row in database.rows("SELECT dropped FROM apply_retention(%s)", (today,))]


@pytest.mark.parametrize(
    ("table", "last_gone", "first_kept"),
    [
        ("ohlcv_daily", date(2023, 5, 1), date(2023, 6, 1)),  # 3 years before 2026-06-12 is 2023-06-12
        ("options_chains", date(2026, 2, 2), date(2026, 3, 2)),  # 90 days before is 2026-03-14
        ("options_daily_summary", date(2026, 2, 2), date(2026, 3, 2)),
        ("daily_snapshots", date(2024, 5, 1), date(2024, 6, 3)),  # 2 years before is 2024-06-12
    ],
)
def test_a_partition_goes_when_all_of_it_is_older_than_its_table_keeps(
    database: Database, table: str, last_gone: date, first_kept: date
) -> None:
    make(database, table, last_gone, first_kept)
    assert dropped(database) == [f"{table}_{last_gone:%Y_%m}"]
    assert partitions(database, table) == [f"{first_kept:%Y_%m}"]
    left = database.rows("SELECT session_date FROM load_manifest WHERE dataset = %s", (table,))
    assert [row["session_date"] for row in left] == [first_kept]  # a dropped session counts as not loaded
    assert dropped(database) == []


def test_retention_is_judged_as_of_the_day_given_and_not_by_the_clock(database: Database) -> None:
    make(database, "ohlcv_daily", date(2016, 5, 2))
    assert dropped(database, date(2018, 1, 2)) == []
    assert dropped(database, date(2019, 6, 3)) == ["ohlcv_daily_2016_05"]


def test_advice_and_its_contracts_are_kept_for_ever(database: Database) -> None:
    kept = {row["table_name"] for row in database.rows("SELECT table_name FROM retention")}
    assert kept == {
        "ohlcv_daily", "options_chains", "options_daily_summary", "daily_snapshots", "universe_indicators",
    }  # fmt: skip


def test_partitions_of_this_month_and_the_next_are_made_ahead_and_once(database: Database) -> None:
    for _ in range(2):
        database.execute("SELECT make_partitions_ahead(%s)", (date(2026, 12, 31),))
    for table in ("ohlcv_daily", "options_chains", "options_daily_summary", "daily_snapshots"):
        assert partitions(database, table) == ["2026_12", "2027_01"]


def test_a_row_for_a_month_without_a_partition_makes_one(database: Database) -> None:
    assert (
        database.value("SELECT ensure_partition('options_chains', '2031-02-03')") == "options_chains_2031_02"
    )
    assert partitions(database, "options_chains") == ["2031_02"]
