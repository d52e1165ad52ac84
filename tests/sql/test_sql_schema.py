"""The schema holds what the specification names: tables, the 65 snapshot columns, views, functions, seeds."""

from __future__ import annotations

import re
from datetime import date
from typing import Any
from uuid import UUID

import psycopg
import pytest

from kapman_resources.database import Database
from kapman_resources.database.queries import FOLDER as QUERIES
from kapman_resources.database.queries import query

TABLES = {
    "tickers", "portfolios", "portfolio_tickers", "ohlcv_daily", "options_chains", "options_daily_summary",
    "daily_snapshots", "recommendations", "recommendation_outcomes", "model_parameters", "job_runs",
    "splits", "option_contracts", "recommendation_legs", "load_manifest", "rejected_rows", "notifications",
}  # fmt: skip

# section 5.3 of the specification, in its order
SNAPSHOT_COLUMNS = [
    "time", "symbol",
    "wyckoff_phase", "phase_score", "phase_confidence", "phase_sub_stage",
    "events_detected", "primary_event", "primary_event_confidence", "events_json",
    "bc_score", "spring_score", "composite_score",
    "rsi_14", "macd_line", "macd_signal", "macd_histogram", "stoch_k", "stoch_d", "mfi_14",
    "sma_20", "sma_50", "sma_200", "ema_12", "ema_26", "adx_14",
    "atr_14", "bbands_upper", "bbands_middle", "bbands_lower", "bbands_width",
    "obv", "vwap",
    "gex_total", "gex_net", "gamma_flip_level", "call_wall_primary", "call_wall_primary_oi",
    "put_wall_primary",
    "put_wall_primary_oi", "dgpi", "dealer_position",
    "iv_skew_25d", "iv_term_structure", "put_call_ratio_oi", "put_call_ratio_volume", "average_iv", "iv_rank",
    "iv_percentile",
    "rvol", "vsi", "hv_20", "hv_60", "iv_hv_diff", "price_vs_sma20", "price_vs_sma50", "price_vs_sma200",
    "technical_indicators_json", "dealer_metrics_json", "volatility_metrics_json", "price_metrics_json",
    "checklist_json", "volatility_regime", "model_version", "data_quality",
]  # fmt: skip

VIEWS = {
    "v_latest_snapshots", "v_watchlist_tickers", "v_alerts", "v_wyckoff_events", "v_entry_signals",
    "v_exit_signals",
}  # fmt: skip

ETFS = {"SPY", "QQQ", "IWM", "DIA", "TLT", "GLD", "XLF", "XLK", "XLE", "XLV", "XLI", "SMH"}
SESSION = date(2026, 5, 5)


def columns_of(database: Database, table: str) -> list[str]:
    rows = database.rows(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped "
        "ORDER BY attnum",
        (table,),
    )
    return [row["attname"] for row in rows]


def test_every_table_of_the_specification_exists_and_no_template_is_left(database: Database) -> None:
    rows = database.rows(
        "SELECT relname FROM pg_class c WHERE relkind IN ('r', 'p') AND NOT relispartition "
        "AND relnamespace = 'public'::regnamespace"
    )
    names = {row["relname"] for row in rows}
    assert names >= TABLES
    assert not [name for name in names if name.endswith("_template")]


def test_a_snapshot_has_the_65_columns_of_the_specification_by_name_and_in_order(database: Database) -> None:
    assert len(SNAPSHOT_COLUMNS) == 65
    assert columns_of(database, "daily_snapshots") == SNAPSHOT_COLUMNS


def test_a_bar_has_the_specified_columns_and_no_invented_ones(database: Database) -> None:
    assert columns_of(database, "ohlcv_daily") == [
        "time", "symbol", "open", "high", "low", "close", "volume", "vwap", "source",
    ]  # fmt: skip


def test_no_ratio_or_exposure_of_a_snapshot_can_overflow(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute("SELECT ensure_partition('daily_snapshots', %s)", (SESSION,))
        connection.execute(
            "INSERT INTO daily_snapshots (time, symbol, put_call_ratio_oi, gex_net, obv, "
            "call_wall_primary_oi, vsi, model_version, data_quality) "
            "VALUES (session_time(%s), 'X', 1234.5678, -1e18, -9e18, 3e9, 1e6, 'x', 'partial')",
            (SESSION,),
        )
    row = database.rows("SELECT put_call_ratio_oi, call_wall_primary_oi FROM daily_snapshots")[0]
    assert (float(row["put_call_ratio_oi"]), row["call_wall_primary_oi"]) == (1234.5678, 3_000_000_000)


def test_a_snapshot_value_outside_its_scale_is_refused(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute("SELECT ensure_partition('daily_snapshots', %s)", (SESSION,))
        connection.execute(
            "INSERT INTO daily_snapshots (time, symbol, model_version, data_quality) "
            "VALUES (session_time(%s), 'X', 'x', 'complete')",
            (SESSION,),
        )
    for fault in (
        "bc_score = 29", "spring_score = -1", "spring_score = 13", "dgpi = 100.1", "iv_rank = 101",
        "phase_score = -0.1", "wyckoff_phase = 'F'", "dealer_position = 'short'", "data_quality = 'good'",
        "volatility_regime = 'calm'", "composite_score = 1.1", "iv_percentile = -1",
        "primary_event_confidence = 2",
    ):  # fmt: skip
        with pytest.raises(psycopg.errors.CheckViolation):
            database.execute(f"UPDATE daily_snapshots SET {fault}")


def test_a_bar_that_contradicts_itself_is_refused(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute("SELECT ensure_partition('ohlcv_daily', %s)", (SESSION,))
        connection.execute(
            "INSERT INTO ohlcv_daily VALUES (session_time(%s), 'X', 10, 11, 9, 10, 0.5, NULL, 'flatfile')",
            (SESSION,),
        )
    for fault in ("high = 9.9", "low = 10.1", "low = 0", "volume = -1", "open = 'NaN'", "close = 12"):
        with pytest.raises(psycopg.errors.CheckViolation):
            database.execute(f"UPDATE ohlcv_daily SET {fault}")
    for fault in ("close = NULL", "volume = NULL", "source = NULL"):
        with pytest.raises(psycopg.errors.NotNullViolation):
            database.execute(f"UPDATE ohlcv_daily SET {fault}")


def test_the_six_views_and_both_functions_answer_on_an_empty_database(database: Database) -> None:
    rows = database.rows("SELECT viewname FROM pg_views WHERE schemaname = 'public'")
    assert {row["viewname"] for row in rows} >= VIEWS
    empty = VIEWS - {"v_watchlist_tickers"}
    assert all(database.value(f"SELECT count(*) FROM {view}") == 0 for view in empty)
    assert database.value("SELECT count(*) FROM fn_symbols_needing_ohlcv(%s)", (SESSION,)) == 26
    assert database.value("SELECT count(*) FROM fn_watchlist_needing_analysis(%s)", (SESSION,)) == 14


def test_the_seeds_are_the_12_etfs_and_a_first_portfolio(database: Database) -> None:
    rows = database.rows("SELECT symbol FROM tickers WHERE universe_tier = 'etf'")
    assert {row["symbol"] for row in rows} == ETFS and len(rows) == 12
    assert database.rows("SELECT name FROM portfolios") == [{"name": "AI stocks"}]
    members = database.rows("SELECT symbol, priority, portfolio_names FROM v_watchlist_tickers")
    assert len(members) == 14 and {row["priority"] for row in members} == {"P1", "P2"}
    assert {row["symbol"] for row in members} >= {
        "AAPL",
        "AMZN",
        "GOOGL",
        "MSFT",
        "TSLA",
        "AMD",
        "AVGO",
        "PLTR",
    }
    assert all(row["portfolio_names"] == ["AI stocks"] for row in members)


def test_symbols_are_case_sensitive_and_may_look_like_nulls(database: Database) -> None:
    for symbol in ("BACpL", "BACPL", "NA", "TRUE", "BRK.B"):
        database.execute(query("track_symbol"), {"symbol": symbol})
        database.execute(query("track_symbol"), {"symbol": symbol})
    assert database.value("SELECT count(*) FROM tickers WHERE universe_tier = 'custom'") == 6  # ARM is seeded


def test_a_watchlist_symbol_has_its_highest_priority_and_every_portfolio_and_may_be_inactive(
    database: Database,
) -> None:
    second = database.value("INSERT INTO portfolios (name) VALUES ('A second') RETURNING id")
    for symbol, priority in (("MU", "P1"), ("NVDA", "P2")):
        database.execute(
            query("add_to_portfolio"), {"portfolio": second, "symbol": symbol, "priority": priority}
        )
    database.execute("UPDATE tickers SET is_active = false WHERE symbol = 'DELL'")
    rows = database.rows("SELECT symbol, priority, portfolio_names FROM v_watchlist_tickers")
    by_symbol = {row["symbol"]: (row["priority"], row["portfolio_names"]) for row in rows}
    assert len(rows) == len(by_symbol) == 13 and "DELL" not in by_symbol
    assert by_symbol["MU"] == ("P1", ["A second", "AI stocks"])
    assert by_symbol["NVDA"] == ("P1", ["A second", "AI stocks"])
    with pytest.raises(psycopg.errors.CheckViolation):
        database.execute(query("add_to_portfolio"), {"portfolio": second, "symbol": "AMD", "priority": "P3"})


def test_symbols_need_bars_until_the_session_is_loaded(database: Database) -> None:
    database.execute("UPDATE tickers SET last_ohlcv_date = '2026-05-05' WHERE symbol IN ('SPY', 'AAPL')")
    database.execute("UPDATE tickers SET is_active = false WHERE symbol = 'TLT'")

    def needing(session: date) -> set[str]:
        return {
            row["symbol"]
            for row in database.rows("SELECT symbol FROM fn_symbols_needing_ohlcv(%s)", (session,))
        }

    assert len(needing(SESSION)) == 23 and not needing(SESSION) & {"SPY", "AAPL", "TLT"}
    assert len(needing(date(2026, 5, 6))) == 25


_VALUES: dict[str, Any] = {
    "first": SESSION, "last": SESSION, "session": SESSION, "symbols": ["AAPL"], "contracts": ["O:A"],
    "tables": ["x"],
    "ids": [UUID(int=0)], "limit": 5, "offset": 0, "days": 7, "watched": True, "symbol": "AAPL",
}  # fmt: skip


_STAGED = {
    "upsert_tickers": ["stage_tickers"],
    "date_tickers": ["stage_seen_symbols"],
    "new_tickers": ["stage_seen_symbols"],
}


def test_every_named_query_fits_the_schema(database: Database) -> None:
    """With NULL for what is not named above: a writing one may miss a value, but must know its columns."""
    for path in sorted(QUERIES.glob("*.sql")):
        text = query(path.stem)
        values = {name: _VALUES.get(name) for name in re.findall(r"%\((\w+)\)s", text)}
        with database.transaction() as connection, connection.transaction(force_rollback=True):
            for staged in _STAGED.get(path.stem, ()):
                connection.execute(query(staged))
            try:
                connection.execute(text, values)
            except psycopg.errors.IntegrityError:
                continue
            except psycopg.Error as error:
                pytest.fail(f"{path.name}: {error}")
