"""Screens against the database: the same rows as an oracle in polars, whatever is asked, and nothing but rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from types import SimpleNamespace

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from metrics_builders import random_bars
from screen_trees import NUMBERS, conditions, stated, truth

from kapman_metrics import screening
from kapman_metrics.indicators import indicators, technical_snapshot
from kapman_metrics.screen_words import ScreenError
from kapman_metrics.universe import UNIVERSE_COLUMNS
from kapman_resources import screener
from kapman_resources.database import Database

SESSION, BEFORE = date(2026, 5, 5), date(2026, 5, 4)
MARKET = pl.DataFrame(
    {
        "symbol": ["A", "AAPL", "B", "BRK.B", "C", "CAT", "close", "not"],
        "close": [10.0, 180.5, 0.5, 410.0, 60.0, 300.0, 7.0, 1.0],
        "volume": [1e6, 5e7, 0.0, 1e5, 2e6, 3e6, 10.0, 1.0],
        "rsi": [25.0, 71.0, None, 30.0, 29.999, 50.0, 0.0, 100.0],
        "rvol": [0.0, 2.5, None, 1.0, 2.0, 3.0, 0.0, 1.0],
        "sma_200": [9.0, 170.0, None, 420.0, 60.0, None, 7.0, 0.0],
    }
)
SNAPSHOTS = pl.DataFrame({"symbol": ["AAPL", "C"], "bc_score": [24, None], "wyckoff_phase": ["C", None]})


@pytest.fixture
def market(database: Database) -> Iterator[Database]:
    with database.transaction() as connection:
        for session in (BEFORE, SESSION):
            database.replace_session(connection, "universe_indicators", session, MARKET)
        snapshots = SNAPSHOTS.with_columns(
            events_detected=pl.lit([], pl.List(pl.String)),
            model_version=pl.lit("x"),
            data_quality=pl.lit("partial"),
        )
        database.replace_session(connection, "daily_snapshots", SESSION, snapshots)
    yield database


def symbols(database: Database, expression: str, **asked) -> list[str]:
    return screener.screen(database, expression, **asked)["symbol"].to_list()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=conditions)
def test_a_screen_finds_what_the_oracle_finds(market: Database, tree: screening.Condition) -> None:
    joined = MARKET.join(SNAPSHOTS, on="symbol", how="left").with_columns(pl.col("bc_score").cast(pl.Float64))
    try:
        found = symbols(market, stated(tree), session=SESSION)
    except ScreenError as error:
        assert "range of numbers" in str(error)
    else:
        assert found == joined.filter(truth(tree))["symbol"].sort().to_list()


def test_the_screen_of_the_specification_answers_with_the_columns_it_speaks_of(market: Database) -> None:
    found = screener.screen(market, "rsi < 72 and close > sma_200 and rvol > 2")
    assert found.to_dicts() == [
        {"symbol": "AAPL", "close": 180.5, "rsi": 71.0, "sma_200": 170.0, "rvol": 2.5}
    ]
    assert dict(found.schema) == {
        "symbol": pl.String, "close": pl.Float64, "rsi": pl.Float64, "sma_200": pl.Float64, "rvol": pl.Float64,
    }  # fmt: skip


def test_a_division_by_zero_is_no_row_and_no_error(market: Database) -> None:
    assert symbols(market, "close / rvol > 0") == ["AAPL", "BRK.B", "C", "CAT", "not"]
    assert symbols(market, "not (close / rvol > 0)") == []
    assert symbols(market, "close / rvol is null") == ["A", "B", "close"]


def test_numbers_beyond_what_can_be_written_are_an_error_of_the_screen(market: Database) -> None:
    with pytest.raises(ScreenError, match="range of numbers"):
        screener.screen(market, "close * 1e200 * 1e200 > 0")


def test_wyckoff_columns_are_those_of_the_session_and_null_for_every_other_symbol(market: Database) -> None:
    found = screener.screen(market, "bc_score >= 24 or wyckoff_phase = C")
    assert found.to_dicts() == [{"symbol": "AAPL", "close": 180.5, "bc_score": 24.0, "wyckoff_phase": "C"}]
    assert len(symbols(market, "bc_score is null")) == MARKET.height - 1
    assert symbols(market, "bc_score > 0", session=BEFORE) == []


def test_sort_and_limit_put_missing_values_last_and_ties_by_symbol(market: Database) -> None:
    everything = "close > 0"
    assert symbols(market, everything, sort="rsi:desc", limit=3) == ["not", "AAPL", "CAT"]
    assert symbols(market, everything, sort="rsi")[0] == "close"
    assert symbols(market, everything, sort="rsi")[-1] == "B"
    assert symbols(market, everything, sort="rvol")[:2] == ["A", "close"]
    assert screener.screen(market, everything, sort="rsi").columns == ["symbol", "close", "rsi"]


@pytest.mark.parametrize(
    "attempt",
    [
        "rsi < 30; DROP TABLE tickers",
        "rsi < 30) OR (1=1",
        "symbol = 'A'' OR 1=1'",
        "symbol in ('A''; DROP TABLE tickers --')",
        "symbol = 'A\\'' or close > 0",
        'symbol = "u.symbol"',
        "symbol = '%(session)s'",
        "symbol = '{}'",
        "\"close\" > 0",
        "u.close > 0",
        "pg_sleep(5) > 0",
        "close > (select 1)",
        "close > 0 union select 1",
        "close::text = 'x'",
        "close > $1",
        "close > %s",
        "close > 0 /* x */",
        "close > 0 -- x",
        "xmin > 0",
        "time > 0",
    ],
)  # fmt: skip
def test_an_attempt_to_inject_is_refused_or_is_only_a_word(market: Database, attempt: str) -> None:
    try:
        found = symbols(market, attempt)
    except ScreenError:
        found = []
    assert found == []
    assert market.value("SELECT count(*) FROM tickers") > 0


@given(tree=conditions)
def test_the_text_of_the_query_holds_no_word_of_the_user(tree: screening.Condition) -> None:
    text, params = screener._compiled(tree, ["symbol", "close"], screening.Sort("rsi", True))
    written = text.as_string(None)
    for name, value in params.items():
        assert f"%({name})s" in written
        for word in value if isinstance(value, list) else [repr(value)]:
            assert f"'{word}'" not in written
    bare = written.split("WHERE", 1)[1]
    assert set(bare) <= set(
        'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789"%().,:<>=-+*/[] \n'
    )


def test_every_column_of_the_allow_list_exists_and_the_table_holds_the_universe(market: Database) -> None:
    for name, column in screener.COLUMNS.items():
        if column.kind == "number":
            assert isinstance(symbols(market, f"{name} > 0 or close > 0"), list)
    stored = market.rows("SELECT * FROM universe_indicators LIMIT 1")[0]
    assert list(stored) == ["time", "symbol", *UNIVERSE_COLUMNS]
    assert set(NUMBERS) <= set(screener.COLUMNS)


def test_the_snapshots_names_mean_what_the_snapshot_stores() -> None:
    bars = random_bars(3, 260, seed=5)
    as_of = bars["date"].max()
    snapshot = technical_snapshot(bars, as_of).sort("symbol")
    surface = indicators(bars, as_of, last=True).sort("symbol")
    for name, stored in screener._SNAPSHOT_NAMES.items():
        assert snapshot[name].to_list() == surface[stored].to_list(), name


def test_a_session_without_rows_says_what_to_run(market: Database) -> None:
    with pytest.raises(screener.NothingComputed, match=r"kapman run --session 2026-05-06`"):
        screener.screen(market, "rsi < 30", date(2026, 5, 6))
    market.execute(
        "INSERT INTO load_manifest (dataset, session_date, source, row_count) "
        "VALUES ('ohlcv_daily', '2026-05-06', 'flatfile', 1)"
    )
    with pytest.raises(screener.NothingComputed, match="2026-05-06 --only universe_indicators"):
        screener.screen(market, "rsi < 30", date(2026, 5, 6))
    assert symbols(market, "rsi < 0") == []  # rows, and none of them found


def test_an_empty_database_says_what_to_run(database: Database) -> None:
    with pytest.raises(screener.NothingComputed, match="kapman run"):
        screener.screen(database, "rsi < 30")


def test_screens_are_saved_replaced_listed_and_deleted(database: Database) -> None:
    first = screener.SavedScreen("oversold", "rsi < 30", "rsi:desc", 5)
    screener.save(database, first)
    screener.save(database, screener.SavedScreen("busy", "rvol > 2"))
    assert [s.name for s in screener.saved_screens(database)] == ["busy", "oversold"]
    screener.save(database, screener.SavedScreen("oversold", "rsi < 25"))
    assert screener.saved_screen(database, "oversold") == screener.SavedScreen("oversold", "rsi < 25")
    screener.delete(database, "oversold")
    with pytest.raises(screener.NoSuchScreen, match="busy"):
        screener.saved_screen(database, "bussy")
    with pytest.raises(screener.NoSuchScreen):
        screener.delete(database, "oversold")


def test_a_screen_that_cannot_be_read_is_not_saved(database: Database) -> None:
    for wrong in (
        SimpleNamespace(expression="rsii < 30", sort=None),
        SimpleNamespace(expression="rsi < 30", sort="x"),
    ):
        with pytest.raises(ScreenError):
            screener.save(database, screener.SavedScreen("bad", wrong.expression, wrong.sort))
    assert screener.saved_screens(database) == []
