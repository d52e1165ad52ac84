"""What the pages read is as of a session: the newest stored one, or the one that kapman.as_of names."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date
from typing import Any

import psycopg
import pytest

from kapman_resources import calendar
from kapman_resources.database import Database

Store = Callable[..., None]
SESSION = date(2026, 5, 15)  # a Friday; 7 days before it is the 8th, 14 days the 1st


def as_of(database: Database, session: date | None, statement: str) -> list[dict[str, Any]]:
    with (
        database.transaction() as connection,
        connection.cursor(row_factory=psycopg.rows.dict_row) as cursor,
    ):
        if session is not None:
            cursor.execute(f"SET LOCAL kapman.as_of = '{session}'")
        return cursor.execute(statement).fetchall()


def alerts(database: Database, session: date | None = None) -> list[tuple[str, str, date]]:
    rows = as_of(database, session, "SELECT symbol, alert_type, session_of(time) AS day FROM v_alerts")
    return [(row["symbol"], row["alert_type"], row["day"]) for row in rows]


# --- latest snapshots ---------------------------------------------------------------------------------------


def test_the_latest_snapshot_of_every_symbol_is_right_with_history_and_gaps(
    database: Database, store_snapshots: Store
) -> None:
    chance = random.Random(5)
    symbols = ["NVDA", "MSFT", "META", "TSLA", "MU", "ARM"]
    sessions = calendar.sessions_between(date(2026, 3, 2), SESSION)[::3]
    for session in sessions:
        store_snapshots(session, {s: {"bc": chance.randrange(28)} for s in symbols if chance.random() < 0.4})
    for asked in (*sessions, date(2026, 5, 9), None):
        naive = as_of(
            database,
            None,
            "SELECT DISTINCT ON (symbol) symbol, time, bc_score FROM daily_snapshots "
            f"WHERE time <= session_time('{asked or date(2030, 1, 1)}') ORDER BY symbol, time DESC",
        )
        view = as_of(database, asked, "SELECT symbol, time, bc_score FROM v_latest_snapshots ORDER BY symbol")
        assert view == naive, asked


def test_the_newest_stored_session_is_shown_unless_another_is_named(
    database: Database, store_snapshots: Store
) -> None:
    assert database.value("SELECT fn_as_of()") is None
    store_snapshots(date(2026, 5, 14), {"NVDA": {"bc": 1}})
    store_snapshots(SESSION, {"NVDA": {"bc": 2}})
    newest = "SELECT bc_score, fn_as_of() AS session FROM v_latest_snapshots"
    assert as_of(database, None, newest) == [{"bc_score": 2, "session": SESSION}]
    assert as_of(database, date(2026, 5, 14), newest) == [{"bc_score": 1, "session": date(2026, 5, 14)}]
    assert as_of(database, date(2026, 5, 13), newest) == []
    assert as_of(database, None, newest)[0]["bc_score"] == 2  # a replay leaves the connection as it was


# --- alerts -------------------------------------------------------------------------------------------------

RULES = {
    1: ("BC_CRITICAL", {"signal": "EXIT_CRITICAL", "alert": "CRITICAL", "bc": 25}, 25),
    2: ("SPRING_SOS", {"signal": "ENTRY_SIGNAL", "alert": "HIGH", "spring": 11}, 11),
    3: ("SPRING_CONFIRMED", {"signal": "ENTRY_SETUP", "alert": "HIGH", "spring": 9}, 9),
    4: ("BC_WARNING", {"signal": "EXIT_WARNING", "alert": "MEDIUM", "bc": 21}, 21),
    5: ("SOW_DETECTED", {"signal": "EXIT_WARNING", "alert": "MEDIUM", "confidence": 0.7}, 0.7),
    6: ("SOS_BREAKOUT", {"signal": "ENTRY_SIGNAL", "alert": "LOW", "confidence": 0.6}, 0.6),
    7: ("SPRING_OR_TEST", {"signal": "ENTRY_SETUP", "alert": "LOW", "confidence": 0.5}, 0.5),
}


def test_each_rule_of_the_stored_signal_gives_its_alert_in_order_of_urgency(
    database: Database, store_snapshots: Store
) -> None:
    symbols = ["NVDA", "MSFT", "META", "TSLA", "MU", "ARM", "AMD"]
    given = {
        symbol: {"rule": rule, "message": f"message {rule}", **RULES[rule][1]}
        for symbol, rule in zip(symbols, RULES, strict=True)
    }
    quiet = {"SPY": {"rule": 8, "signal": "ACCUMULATION", "alert": "LOW"}, "QQQ": {"rule": 9}}
    store_snapshots(SESSION, given | quiet)
    rows = as_of(database, None, "SELECT * FROM v_alerts")
    assert [row["alert_type"] for row in rows] == [kind for kind, _, _ in RULES.values()]
    assert [row["priority"] for row in rows] == list(RULES)
    for row, (rule, (_, values, value)) in zip(rows, RULES.items(), strict=True):
        assert float(row["alert_value"]) == value
        assert (row["signal_type"], row["alert_priority"]) == (values["signal"], values["alert"])
        assert row["alert_message"] == f"message {rule}" and row["is_current"]


def test_an_alert_is_shown_for_7_days_and_spring_with_sos_for_14(
    database: Database, store_snapshots: Store
) -> None:
    for day in (1, 4, 8, 11, 15):
        session = date(2026, 5, day)
        store_snapshots(
            session,
            {"NVDA": {"rule": 1, "bc": 25}, "MU": {"rule": 2, "spring": 11}, "SPY": {"vsi": 3.0}},
        )
    within = {
        kind: [day.day for _, k, day in alerts(database) if k == kind]
        for kind in ("BC_CRITICAL", "SPRING_SOS")
    }
    assert within == {"BC_CRITICAL": [15, 11], "SPRING_SOS": [15, 11, 8, 4]}
    assert [day.day for _, kind, day in alerts(database) if kind == "VOLUME_SURGE"] == [15, 11]


def test_a_volume_surge_above_two_deviations_is_a_note_beside_the_signal(
    database: Database, store_snapshots: Store
) -> None:
    store_snapshots(
        SESSION, {"NVDA": {"rule": 1, "bc": 25, "vsi": 2.46}, "MU": {"vsi": 2.0}, "ARM": {"vsi": None}}
    )
    assert alerts(database) == [("NVDA", "BC_CRITICAL", SESSION), ("NVDA", "VOLUME_SURGE", SESSION)]
    note = as_of(database, None, "SELECT * FROM v_alerts WHERE alert_type = 'VOLUME_SURGE'")[0]
    assert (note["signal_type"], note["alert_priority"], float(note["alert_value"])) == ("INFO", "INFO", 2.46)
    assert note["alert_message"].startswith("volume 2.5 standard deviations above")


def test_an_alert_of_an_older_snapshot_is_marked_as_no_longer_current(
    database: Database, store_snapshots: Store
) -> None:
    store_snapshots(date(2026, 5, 14), {"NVDA": {"rule": 1, "bc": 25}, "MU": {"rule": 5}})
    store_snapshots(SESSION, {"NVDA": {"rule": 9}})
    rows = as_of(database, None, "SELECT symbol, is_current FROM v_alerts ORDER BY symbol")
    assert rows == [{"symbol": "MU", "is_current": True}, {"symbol": "NVDA", "is_current": False}]


def test_a_replay_shows_the_alerts_of_its_session_and_none_of_later_ones(
    database: Database, store_snapshots: Store
) -> None:
    replayed = date(2026, 5, 12)
    store_snapshots(date(2026, 5, 6), {"NVDA": {"rule": 4, "bc": 21}})
    store_snapshots(replayed, {"NVDA": {"rule": 1, "bc": 25}})
    before = alerts(database)
    store_snapshots(SESSION, {"NVDA": {"rule": 9}, "MU": {"rule": 2, "spring": 11}})
    assert alerts(database, replayed) == before
    assert before == [("NVDA", "BC_CRITICAL", replayed), ("NVDA", "BC_WARNING", date(2026, 5, 6))]
    assert alerts(database) == [("NVDA", "BC_CRITICAL", replayed), ("MU", "SPRING_SOS", SESSION)]


# --- events and signals -------------------------------------------------------------------------------------


def test_events_show_the_eight_flags_of_watchlist_symbols_only(
    database: Database, store_snapshots: Store
) -> None:
    store_snapshots(
        SESSION, {"NVDA": {"events": ["SC", "SPRING", "SOS"]}, "MU": {}, "SPY": {"events": ["SC"]}}
    )
    rows = {row["symbol"]: row for row in as_of(database, None, "SELECT * FROM v_wyckoff_events")}
    assert set(rows) == {"NVDA", "MU"}
    flags = ("has_sc", "has_ar", "has_st", "has_spring", "has_test", "has_sos", "has_bc", "has_sow")
    assert [flag for flag in flags if rows["NVDA"][flag]] == ["has_sc", "has_spring", "has_sos"]
    assert rows["NVDA"]["events_count"] == 3
    assert rows["MU"]["events_count"] == 0 and not any(rows["MU"][flag] for flag in flags)


@pytest.mark.parametrize("session", [None, date(2026, 5, 14)])
def test_entry_and_exit_signals_are_those_stored_with_the_snapshot(
    database: Database, store_snapshots: Store, session: date | None
) -> None:
    signals = {
        "NVDA": "ENTRY_SIGNAL", "MSFT": "ENTRY_SETUP", "META": "EXIT_CRITICAL", "TSLA": "EXIT_WARNING",
        "MU": "ACCUMULATION", "ARM": "NEUTRAL", "SPY": "EXIT_CRITICAL",
    }  # fmt: skip
    store_snapshots(date(2026, 5, 14), {symbol: {"signal": signal} for symbol, signal in signals.items()})
    if session is not None:
        store_snapshots(SESSION, {symbol: {} for symbol in signals})

    def listed(view: str) -> set[str]:
        return {row["symbol"] for row in as_of(database, session, f"SELECT symbol FROM {view}")}

    assert listed("v_entry_signals") == {"NVDA", "MSFT"}
    assert listed("v_exit_signals") == {"META", "TSLA"}


def test_a_watchlist_symbol_needs_analysis_until_its_snapshot_of_that_session_is_stored(
    database: Database, store_snapshots: Store
) -> None:
    store_snapshots(date(2026, 5, 14), {"NVDA": {}, "MSFT": {}})
    store_snapshots(SESSION, {"NVDA": {}, "SPY": {}})
    rows = database.rows("SELECT symbol, priority FROM fn_watchlist_needing_analysis(%s)", (SESSION,))
    assert len(rows) == 13 and "NVDA" not in {row["symbol"] for row in rows}
    assert [row["priority"] for row in rows] == sorted(row["priority"] for row in rows)
    assert database.value("SELECT count(*) FROM fn_watchlist_needing_analysis('2026-05-14')") == 12
