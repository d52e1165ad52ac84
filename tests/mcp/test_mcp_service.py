"""Kapman's own server, asked by the SDK's client and by the pipeline: the numbers that the pipeline computes itself."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import psycopg
import pytest
from assets_world import World

from kapman_mcp.reading import ReadOnlyDatabase
from kapman_metrics.indicators import SURFACE
from kapman_resources.listening import listen
from kapman_resources.metrics.families import FAMILIES
from kapman_resources.screener import screen

pytestmark = pytest.mark.slow

NIGHT = date(2026, 6, 12)
SESSION = NIGHT.isoformat()
SNAPSHOTS = (
    "SELECT s::text AS line FROM daily_snapshots s WHERE session_of(time) = '2026-06-12' ORDER BY symbol"
)
OF_THE_SERVER = (
    "rsi_14", "sma_200", "obv", "technical_indicators_json", "gex_net", "dgpi", "dealer_metrics_json", "average_iv",
    "volatility_metrics_json", "rvol", "hv_20", "iv_hv_diff", "price_metrics_json",
)  # fmt: skip


def stored(world: World, symbol: str, session: str = SESSION) -> dict[str, Any]:
    found = world.database.rows(
        "SELECT * FROM daily_snapshots WHERE symbol = %s AND session_of(time) = %s", (symbol, session)
    )
    return found[0]


def test_the_tools_have_the_specification_s_names_and_take_a_symbol(kapman_server: Any) -> None:
    tools = kapman_server.tools()
    assert set(tools) == {
        "get_all_ta_indicators", "get_dealer_metrics", "get_volatility_metrics", "get_price_metrics",
        "get_snapshot", "get_alerts", "get_recommendations", "screen",
    }  # fmt: skip
    for family in FAMILIES:
        assert {"symbol", "symbols", "session"} == set(tools[family.tool].input_schema["properties"])
    assert all(tool.annotations.read_only_hint for tool in tools.values())


def test_descriptions_carry_units_the_sign_convention_and_what_null_means(kapman_server: Any) -> None:
    said = {name: tool.description for name, tool in kapman_server.tools().items()}
    assert "calls +, puts -" in " ".join(said["get_dealer_metrics"].split())
    assert "dollars of delta per 1 % move" in said["get_dealer_metrics"]
    assert "decimal" in said["get_volatility_metrics"] and "decimal" in said["get_price_metrics"]
    assert "null means not known" in kapman_server.instructions()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.tool)
def test_an_ai_client_gets_the_numbers_that_the_pipeline_stored(
    analysed: World, kapman_server: Any, family: Any
) -> None:
    row = stored(analysed, "AAPL")
    answer = kapman_server.good(family.tool, symbol="AAPL")
    assert answer["session"] == SESSION
    result = answer["results"]["AAPL"]
    assert result["document"] == row[family.document]
    assert result["metrics"].keys() == family.schema.keys() - {"symbol", family.document}
    for name, value in result["metrics"].items():
        kept = row[name]
        if isinstance(kept, int) and value is not None:  # a whole number in the table
            value = int(value)
        assert value == (kept if kept is None or isinstance(kept, str) else float(kept)), name


def test_an_earlier_session_is_answered_as_it_was(analysed: World, kapman_server: Any) -> None:
    answer = kapman_server.good("get_price_metrics", symbols=["MSFT", "AAPL"], session="2026-06-11")
    assert list(answer["results"]) == ["AAPL", "MSFT"]
    for symbol, result in answer["results"].items():
        assert result["document"] == stored(analysed, symbol, "2026-06-11")["price_metrics_json"]
        assert result["computed_from"]["newest_bar"] == "2026-06-11"


def test_all_84_indicators_are_in_the_document_and_the_text_says_the_same_as_the_structure(
    kapman_server: Any,
) -> None:
    answer = kapman_server("get_all_ta_indicators", {"symbol": "AAPL"})
    assert answer.structured_content["results"]["AAPL"]["document"].keys() == set(SURFACE)
    assert json.loads(answer.content[0].text) == answer.structured_content


def test_a_symbol_without_data_is_null_with_a_note_and_generated_data_says_so(kapman_server: Any) -> None:
    answer = kapman_server.good("get_dealer_metrics", symbol="NOSUCH")
    assert answer["data"] == "SIMULATED"
    assert answer["results"]["NOSUCH"] == {
        "computed_from": None, "metrics": None, "document": None,
        "note": "no option chain of NOSUCH is stored for 2026-06-12",
    }  # fmt: skip


def test_a_snapshot_comes_without_its_documents_unless_they_are_asked_for(
    analysed: World, kapman_server: Any
) -> None:
    short = kapman_server.good("get_snapshot", symbol="AAPL", session="2026-06-13")["snapshot"]
    full = kapman_server.good("get_snapshot", symbol="AAPL", documents=True)["snapshot"]
    assert (short["session"], short["symbol"]) == (SESSION, "AAPL")
    assert "missing_inputs" in short["events_json"]
    assert full.keys() - short.keys() == {
        "technical_indicators_json", "dealer_metrics_json", "volatility_metrics_json", "price_metrics_json",
        "checklist_json",
    }  # fmt: skip
    assert full["dgpi"] == float(stored(analysed, "AAPL")["dgpi"])


def test_alerts_and_advice_are_those_of_the_database_and_limited(analysed: World, kapman_server: Any) -> None:
    expected = analysed.database.rows("SELECT * FROM fn_alerts(%s)", (date(2026, 6, 12),))
    alerts = kapman_server.good("get_alerts", limit=1)
    assert alerts["count"] == len(expected) and len(alerts["alerts"]) == min(1, len(expected))
    advised = analysed.database.rows("SELECT id, symbol FROM recommendations")
    answer = kapman_server.good("get_recommendations", limit=500)["recommendations"]
    assert {row["id"] for row in answer} == {str(row["id"]) for row in advised}
    assert all("legs" in row for row in answer)


def test_a_screen_gives_what_the_screener_finds_in_its_order_and_no_more_than_asked(
    analysed: World, kapman_server: Any
) -> None:
    asked = {"expression": "rsi > 20 and close > 5", "sort": "rsi:desc"}
    found = kapman_server.good("screen", limit=3, **asked)
    assert found["session"] == SESSION
    assert found["rows"] == screen(analysed.database, asked["expression"], NIGHT, "rsi:desc", 3).to_dicts()
    assert len(found["rows"]) == 3 < len(kapman_server.good("screen", limit=500, **asked)["rows"])


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("get_dealer_metrics", {}, "give either `symbol` or `symbols`"),
        ("get_dealer_metrics", {"symbol": "A", "symbols": ["B"]}, "give either `symbol` or `symbols`"),
        ("get_dealer_metrics", {"symbol": "A'; DROP TABLE tickers"}, "should match pattern"),
        ("get_dealer_metrics", {"symbols": [f"S{n}" for n in range(21)]}, "at most 20 items"),
        ("get_dealer_metrics", {"symbols": []}, "at least 1 item"),
        ("get_dealer_metrics", {"symbol": "A", "session": "2026-06-13"}, "the one before it is 2026-06-12"),
        ("get_dealer_metrics", {"symbol": "A", "session": "2026-02-30"}, "is not a date"),
        ("get_dealer_metrics", {"symbol": "A", "session": "1900-01-02"}, "outside the calendar"),
        ("get_dealer_metrics", {"symbol": "A", "session": 1}, "valid string"),
        ("get_dealer_metrics", {"symbol": "A", "date": "2026-06-11"}, "Extra inputs are not permitted"),
        ("get_snapshot", {"symbol": "NOSUCH"}, "is it on a watchlist?"),
        ("get_snapshot", {"symbol": "AAPL", "session": "2020-01-02"}, "the oldest stored is 2026-06-11"),
        ("get_alerts", {"limit": 501}, "less than or equal to 500"),
        ("screen", {"expression": "rsi < 30; DROP TABLE tickers"}, "at position"),
        ("screen", {"expression": "rsi < and"}, "at position"),
        ("screen", {"expression": "close > 0", "sort": "tickers.symbol"}, "tickers.symbol"),
        ("screen", {"expression": "close > 0", "session": "2026-06-13"}, "no indicators of the market"),
        ("screen", {"expression": "close > 0", "limit": 0}, "greater than or equal to 1"),
    ],
)
def test_a_wrong_question_is_refused_with_what_is_wrong(
    kapman_server: Any, tool: str, arguments: dict[str, Any], said: str
) -> None:
    assert said in kapman_server.refused(tool, **arguments)


@pytest.mark.parametrize(
    "write",
    [
        "DELETE FROM daily_snapshots",
        "UPDATE tickers SET is_active = false",
        "CREATE TABLE mine (id integer)",
        "SELECT ensure_partition('ohlcv_daily', '2027-01-04')",
    ],
)
def test_postgresql_itself_refuses_a_write_of_the_server(
    analysed: World, read_only: ReadOnlyDatabase, write: str
) -> None:
    before = analysed.checksums()
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        read_only.execute(write)
    assert analysed.checksums() == before


def test_a_statement_that_does_not_end_is_ended(read_only: ReadOnlyDatabase) -> None:
    assert read_only.value("SHOW statement_timeout") == "30s"
    assert read_only.value("SHOW transaction_read_only") == "on"


# -- the pipeline over MCP ---------------------------------------------------------------------------------------------


@pytest.fixture
def over_mcp(
    analysed: World, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], list[dict[str, Any]]]]:
    """Runs the session's snapshots anew over the server at an address; gives the rows."""

    def run(url: str) -> list[dict[str, Any]]:
        monkeypatch.setenv("METRICS_PROVIDER", "mcp")
        monkeypatch.setenv("POLYGON_MCP_URL", url)
        analysed.database.execute("DELETE FROM daily_snapshots WHERE session_of(time) = %s", (NIGHT,))
        report = analysed.run(NIGHT, NIGHT, "daily_snapshots")
        assert report.ok, report.failures
        return rows(analysed)

    yield run
    monkeypatch.setenv("METRICS_PROVIDER", "local")
    assert analysed.run(NIGHT, NIGHT, "daily_snapshots").ok


def rows(world: World) -> list[dict[str, Any]]:
    return world.database.rows(
        "SELECT * FROM daily_snapshots WHERE session_of(time) = %s ORDER BY symbol", (NIGHT,)
    )


def test_the_same_session_over_mcp_is_the_same_in_every_column_byte_for_byte(
    analysed: World, kapman_server: Any, over_mcp: Callable[[str], list[dict[str, Any]]]
) -> None:
    text, values, all_tables = analysed.database.rows(SNAPSHOTS), rows(analysed), analysed.checksums()
    assert len(text) > 10 and any(row["gamma_flip_level"] is not None for row in values)
    kapman_server.seen.clear()
    assert over_mcp(kapman_server.url) == values
    assert len(kapman_server.seen) > len(("technical", "dealer", "volatility", "price")), "nobody asked"
    assert analysed.database.rows(SNAPSHOTS) == text
    assert analysed.checksums() == all_tables


def test_a_server_that_is_down_leaves_whole_rows_that_are_partial_and_say_why(
    analysed: World, over_mcp: Callable[[str], list[dict[str, Any]]]
) -> None:
    before = {row["symbol"]: row for row in rows(analysed)}
    found = over_mcp("http://127.0.0.1:9")
    assert {row["symbol"] for row in found} == before.keys()
    for row in found:
        assert [row[name] for name in OF_THE_SERVER] == [None] * len(OF_THE_SERVER)
        assert (row["wyckoff_phase"], row["bc_score"]) == (
            before[row["symbol"]]["wyckoff_phase"],
            before[row["symbol"]]["bc_score"],
        )
        assert row["data_quality"] in ("partial", "stale")
        reason = row["events_json"]["missing_inputs"][-1]
        assert reason == (
            "metrics server http://127.0.0.1:9/mcp: not reachable: start it with `kapman mcp`, "
            "or unset METRICS_PROVIDER"
        )
    assert "complete" in {row["data_quality"] for row in before.values()}


def test_a_server_that_never_answers_costs_a_bounded_time(
    analysed: World, over_mcp: Callable[[str], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYGON_MCP_TIMEOUT", "1")
    with listen("127.0.0.1", 0) as silent:
        started = time.monotonic()
        found = over_mcp(f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert time.monotonic() - started < 15
    assert all(json.dumps(row["events_json"]).count("no answer within 1 s") == 1 for row in found)
    assert all(row["dgpi"] is None and row["data_quality"] != "complete" for row in found)
