"""The provider against servers that are wrong, half wrong, slow, broken or not there: NULL with a reason, never a guess."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import anyio
import polars as pl
import pytest
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp_types import CallToolResult, TextContent
from metrics_builders import SESSION, bars, spot_of, stored_chain, stored_row
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.routing import Route

from kapman_resources.metrics import ComputedMetrics, LocalMetrics
from kapman_resources.metrics.families import FAMILIES, HISTORY_SCHEMA, Family
from kapman_resources.metrics.mcp_client import McpMetrics
from kapman_resources.metrics.wire import answer


@dataclass(frozen=True)
class Given:
    session: date
    bars: pl.DataFrame
    chain: pl.DataFrame
    spot: pl.DataFrame
    history: pl.DataFrame


def made(*symbols: str, without_chain: tuple[str, ...] = ()) -> Given:
    """Forty bars up to SESSION and a chain of four contracts for each symbol."""
    closes = [100 + (n * 37 % 11) / 7 for n in range(40)]
    moved = SESSION - timedelta(days=39) - date(2020, 1, 1)
    frames = [
        bars(symbol, closes, volume=1000.0 + 7 * number, start=moved.days)
        for number, symbol in enumerate(symbols)
    ]
    contracts = [
        stored_row(symbol=symbol, strike=strike, option_type=kind, contract=f"O:{symbol}{kind}{strike}")
        for symbol in symbols
        if symbol not in without_chain
        for kind in ("call", "put")
        for strike in (95.0, 105.0)
    ]
    return Given(
        SESSION,
        pl.concat(frames) if frames else bars("X", []).clear(),
        stored_chain(*contracts),
        spot_of(**{symbol: closes[-1] for symbol in symbols}),
        pl.DataFrame(schema=HISTORY_SCHEMA),
    )


GIVEN = made("AAA", "BBB", "CCC", without_chain=("CCC",))
TECHNICAL, DEALER, VOLATILITY, PRICE = FAMILIES
Change = Callable[[dict[str, Any]], Any]
Served = Callable[[Any], str]


def right(family: Family, change: Change = lambda content: content) -> Tool:
    """The tool as Kapman serves it, its content changed."""

    def tool(symbols: list[str], session: str) -> CallToolResult:
        content = change(json.loads(json.dumps(answer(family, GIVEN, symbols))))
        if isinstance(content, CallToolResult):
            return content
        return CallToolResult(content=[TextContent(type="text", text="")], structured_content=content)

    return Tool.from_function(tool, name=family.tool)


def server_of(*tools: Tool) -> Starlette:
    return MCPServer(name="other", tools=list(tools), log_level="CRITICAL").streamable_http_app(
        stateless_http=True, json_response=True
    )


def with_dealer(tool: Tool) -> Starlette:
    """A right server whose get_dealer_metrics is `tool`."""
    return server_of(*(right(family) for family in FAMILIES if family is not DEALER), tool)


def rows(computed: ComputedMetrics, family: Family) -> dict[str, dict[str, Any]]:
    frame = computed.frames[FAMILIES.index(family)]
    assert dict(frame.schema) == family.schema
    return {row["symbol"]: row for row in frame.to_dicts()}


def only_the_others_are_right(computed: ComputedMetrics, *absent: str) -> None:
    """All families equal the local ones, but for the dealer metrics of the absent symbols."""
    local = LocalMetrics().compute(GIVEN)
    for family in FAMILIES:
        expected = rows(local, family)
        if family is DEALER:
            expected = {symbol: row for symbol, row in expected.items() if symbol not in absent}
        assert rows(computed, family) == expected, family.tool


def test_a_right_server_gives_what_is_computed_here(served: Served) -> None:
    computed = McpMetrics(served(server_of(*map(right, FAMILIES)))).compute(GIVEN)
    assert computed.missing == {}
    only_the_others_are_right(computed)


def test_the_address_may_name_the_endpoint_itself(served: Served) -> None:
    computed = McpMetrics(served(server_of(*map(right, FAMILIES))) + "/mcp").compute(GIVEN)
    assert computed.missing == {}


def test_a_missing_tool_leaves_its_numbers_out_and_names_it(served: Served) -> None:
    tools = [right(family) for family in FAMILIES if family is not DEALER]
    computed = McpMetrics(served(server_of(*tools))).compute(GIVEN)
    only_the_others_are_right(computed, "AAA", "BBB")
    reason = ["metrics server: it has no tool get_dealer_metrics"]
    assert computed.missing == {"AAA": reason, "BBB": reason}


def test_a_tool_that_knows_no_session_could_answer_for_another_day_and_is_not_asked(served: Served) -> None:
    asked = []

    def tool(symbols: list[str]) -> dict[str, Any]:
        asked.append(symbols)
        return answer(DEALER, GIVEN, symbols)

    computed = McpMetrics(served(with_dealer(Tool.from_function(tool, name=DEALER.tool)))).compute(GIVEN)
    only_the_others_are_right(computed, "AAA", "BBB")
    assert asked == []
    assert computed.missing["AAA"] == ["metrics server: get_dealer_metrics does not take session"]


@pytest.mark.parametrize("properties", [None, [], "symbols session", 5])
def test_a_tool_whose_arguments_cannot_be_read_is_not_asked(served: Served, properties: Any) -> None:
    tool = right(DEALER)
    tool.parameters = {"type": "object", "properties": properties}
    computed = McpMetrics(served(with_dealer(tool))).compute(GIVEN)
    assert "does not take session and symbols" in computed.missing["AAA"][0]


def test_an_answer_that_breaks_the_server_s_own_schema_is_refused(served: Served) -> None:
    for schema in (
        {"type": "object", "required": ["other"]},
        {"type": "object", "$ref": "http://192.0.2.1/x"},
    ):
        tool = right(DEALER)
        tool.fn_metadata.output_schema = schema
        computed = McpMetrics(served(with_dealer(tool)), seconds=10).compute(GIVEN)
        only_the_others_are_right(computed, "AAA", "BBB")
        assert computed.missing["AAA"][0].startswith("metrics server, get_dealer_metrics: ")


def test_half_the_symbols_are_kept_and_the_other_half_is_named(served: Served) -> None:
    def half(content: dict[str, Any]) -> dict[str, Any]:
        del content["results"]["BBB"]
        return content

    computed = McpMetrics(served(with_dealer(right(DEALER, half)))).compute(GIVEN)
    only_the_others_are_right(computed, "BBB")
    assert computed.missing == {"BBB": ["metrics server, get_dealer_metrics: no answer for BBB"]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: {"session": c["session"]}, "no object `results`"),
        (lambda c: c | {"results": [1]}, "no object `results`"),
        (lambda c: c | {"session": "2026-05-04"}, "is for session '2026-05-04', not 2026-05-05"),
        (lambda c: {"results": c["results"]}, "is for session None"),
        (lambda c: CallToolResult(content=[TextContent(type="text", text="42")]), "no structured content"),
    ],
)  # fmt: skip
def test_an_answer_of_another_shape_or_session_is_used_for_no_symbol(
    served: Served, change: Change, said: str
) -> None:
    computed = McpMetrics(served(with_dealer(right(DEALER, change)))).compute(GIVEN)
    only_the_others_are_right(computed, "AAA", "BBB")
    assert said in computed.missing["AAA"][0] and said in computed.missing["BBB"][0]


def of_aaa(part: str, **values: Any) -> Change:
    def change(content: dict[str, Any]) -> dict[str, Any]:
        content["results"]["AAA"][part] |= values
        return content

    return change


def without(part: str, key: str) -> Change:
    def change(content: dict[str, Any]) -> dict[str, Any]:
        del content["results"]["AAA"][part][key]
        return content

    return change


def instead(**values: Any) -> Change:
    def change(content: dict[str, Any]) -> dict[str, Any]:
        content["results"]["AAA"] |= values
        return content

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (of_aaa("metrics", gex_net="much"), "AAA.gex_net cannot be 'much'"),
        (of_aaa("metrics", gex_net=True), "AAA.gex_net cannot be 'True'"),
        (of_aaa("metrics", gex_net=[1]), "AAA.gex_net cannot be '[1]'"),
        (of_aaa("metrics", gex_net=10**400), "AAA.gex_net cannot be 'a huge number'"),
        (of_aaa("metrics", dgpi=100.5), "AAA.dgpi cannot be '100.5'"),
        (of_aaa("metrics", call_wall_primary_oi=1.5), "AAA.call_wall_primary_oi cannot be '1.5'"),
        (of_aaa("metrics", call_wall_primary_oi=2**63), "AAA.call_wall_primary_oi cannot be"),
        (of_aaa("metrics", dealer_position="very long"), "AAA.dealer_position cannot be 'very long'"),
        (of_aaa("metrics", dealer_position=1), "AAA.dealer_position cannot be '1'"),
        (without("metrics", "gex_net"), "AAA lacks gex_net"),
        (lambda c: c | {"results": c["results"] | {"AAA": 5}}, "AAA is not an object"),
        (lambda c: c | {"results": c["results"] | {"AAA": None}}, "no answer for AAA"),
        (of_aaa("computed_from", spot="x\x00" * 999), "AAA rests on other data"),
        (instead(metrics=[1]), "AAA.metrics is not an object"),
        (instead(document=None), "AAA.document is not an object"),
        (of_aaa("document", note="a\x00b"), "holds a NUL"),
        (of_aaa("document", note="x" * 1_000_001), "larger than"),
        (of_aaa("computed_from", contracts=5), "AAA rests on other data: {'contracts': 5"),
        (of_aaa("computed_from", spot=99.0), "AAA rests on other data"),
        (instead(computed_from=None), "AAA rests on other data: None there"),
    ],
)
def test_one_wrong_value_costs_its_symbol_and_no_other(served: Served, change: Change, said: str) -> None:
    computed = McpMetrics(served(with_dealer(right(DEALER, change)))).compute(GIVEN)
    only_the_others_are_right(computed, "AAA")
    assert computed.missing.keys() == {"AAA"}
    (reason,) = computed.missing["AAA"]
    assert said in reason and len(reason) < 300 and reason.isprintable()


def test_an_indicator_document_without_all_84_keys_is_refused(served: Served) -> None:
    tools = [right(TECHNICAL, without("document", "rsi")), *map(right, FAMILIES[1:])]
    computed = McpMetrics(served(server_of(*tools))).compute(GIVEN)
    assert rows(computed, TECHNICAL).keys() == {"BBB", "CCC"}
    assert computed.missing["AAA"] == [
        "metrics server, get_all_ta_indicators: AAA.document lacks 1 keys, rsi among them"
    ]


def test_a_tool_s_own_error_is_quoted_on_one_line_shortened_and_never_with_the_token(served: Served) -> None:
    def fails(symbols: list[str], session: str) -> dict[str, Any]:
        raise ToolError("no\nsuch\x00 thing, your token is secret-of-the-test " + "y" * 500)

    url = served(with_dealer(Tool.from_function(fails, name=DEALER.tool)))
    computed = McpMetrics(url, token="secret-of-the-test").compute(GIVEN)
    only_the_others_are_right(computed, "AAA", "BBB")
    (reason,) = computed.missing["AAA"]
    assert "no such thing, your token is ***" in reason
    assert "secret-of-the-test" not in reason and len(reason) < 300 and reason.isprintable()


def test_a_slow_tool_costs_its_own_numbers_within_the_time_and_the_others_are_kept(served: Served) -> None:
    def sleeps(symbols: list[str], session: str) -> dict[str, Any]:
        time.sleep(4)
        return {}

    provider = McpMetrics(served(with_dealer(Tool.from_function(sleeps, name=DEALER.tool))), seconds=1.5)
    started = time.monotonic()
    computed = provider.compute(GIVEN)
    assert time.monotonic() - started < 3
    only_the_others_are_right(computed, "AAA", "BBB")
    assert "no answer within 1.5 s (POLYGON_MCP_TIMEOUT)" in computed.missing["BBB"][0]


def test_a_server_that_lets_a_whole_session_s_time_pass_is_not_asked_again(served: Served) -> None:
    asked = []

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            asked.append(scope["path"])
            await anyio.sleep(3)

    provider = McpMetrics(served(silent), seconds=0.5)
    first = provider.compute(GIVEN)
    assert all("no answer within 0.5 s" in said[0] for said in first.missing.values())
    assert first.missing.keys() == {"AAA", "BBB", "CCC"}
    count, started = len(asked), time.monotonic()
    second = provider.compute(GIVEN)
    assert time.monotonic() - started < 0.3 and len(asked) == count
    assert "not asked again in this run" in second.missing["AAA"][0]


def breaking(app: Any, breaks: Callable[[int], bool]) -> Any:
    """The application behind a connection that breaks at the requests whose numbers `breaks` names."""
    asked = []

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            asked.append(1)
            if breaks(len(asked)):
                raise ConnectionResetError
        await app(scope, receive, send)

    async def cut(scope: Any, receive: Any, send: Any) -> None:
        """Half an answer, then nothing more."""
        try:
            await behind(scope, receive, send)
        except ConnectionResetError:
            length = [(b"content-length", b"100"), (b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 200, "headers": length})
            await send({"type": "http.response.body", "body": b"{", "more_body": True})
            raise

    return cut


@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_a_connection_that_breaks_once_is_opened_again(served: Served, number: int) -> None:
    app = breaking(server_of(*map(right, FAMILIES)), lambda request: request == number)
    computed = McpMetrics(served(app)).compute(GIVEN)
    assert computed.missing == {}
    only_the_others_are_right(computed)


@pytest.mark.parametrize("first", [1, 3, 4])
def test_a_connection_that_keeps_breaking_is_told_and_what_came_before_is_kept(
    served: Served, first: int
) -> None:
    app = breaking(server_of(*map(right, FAMILIES)), lambda request: request >= first)
    computed = McpMetrics(served(app), seconds=10).compute(GIVEN)
    assert computed.missing.keys() == {"AAA", "BBB", "CCC"}
    assert "metrics server http://127.0.0.1:" in computed.missing["AAA"][0]
    local = LocalMetrics().compute(GIVEN)
    for family in FAMILIES:
        assert rows(computed, family) in ({}, rows(local, family))


@pytest.mark.parametrize(
    ("app", "said"),
    [
        (Starlette(), "there is no MCP server under this path (404)"),
        (Starlette(routes=[Route("/mcp", lambda _: PlainTextResponse("hello"), methods=["POST"])]), "content type"),
        (Starlette(routes=[Route("/mcp", lambda _: RedirectResponse("http://192.0.2.1/x"), methods=["POST"])]), "not followed"),
        (Starlette(routes=[Route("/mcp", lambda _: PlainTextResponse("", 421), methods=["POST"])]), "start it with --name"),
        (Starlette(routes=[Route("/mcp", lambda _: PlainTextResponse("", 503), methods=["POST"])]), "HTTP 503"),
        (Starlette(routes=[Route("/mcp", lambda _: PlainTextResponse("{", media_type="application/json"), methods=["POST"])]), "MCPError"),
        (server_of(), "it has no tool get_all_ta_indicators"),
    ],
)  # fmt: skip
def test_what_is_no_metrics_server_is_told_in_one_sentence(served: Served, app: Any, said: str) -> None:
    computed = McpMetrics(served(app), seconds=10).compute(GIVEN)
    assert all(frame.is_empty() for frame in computed.frames)
    assert computed.missing.keys() == {"AAA", "BBB", "CCC"}
    assert said in computed.missing["AAA"][0], computed.missing["AAA"]


def test_a_wrong_token_is_told_with_its_setting_and_the_right_one_is_sent(served: Served) -> None:
    app, sent = server_of(*map(right, FAMILIES)), []

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            sent.append(dict(scope["headers"]).get(b"authorization"))
            if sent[-1] != b"Bearer right":
                return await PlainTextResponse("", 401)(scope, receive, send)
        await app(scope, receive, send)

    url = served(guarded)
    refused = McpMetrics(url, token="wrong").compute(GIVEN)
    assert "it refuses the token: set KAPMAN_MCP_TOKEN" in refused.missing["CCC"][0]
    assert McpMetrics(url, token="right").compute(GIVEN).missing == {}


def test_a_down_server_is_told_once_for_each_symbol_and_asked_again_for_the_next_session() -> None:
    provider = McpMetrics("http://127.0.0.1:9")
    for _ in range(2):
        computed = provider.compute(GIVEN)
        assert computed.missing["AAA"] == [
            "metrics server http://127.0.0.1:9/mcp: not reachable: start it with `kapman mcp`, "
            "or unset METRICS_PROVIDER"
        ]


def test_without_a_symbol_nobody_is_asked() -> None:
    computed = McpMetrics("http://127.0.0.1:9").compute(made())
    assert computed.missing == {} and all(frame.is_empty() for frame in computed.frames)


def test_many_symbols_are_asked_for_twenty_at_a_time(served: Served) -> None:
    many = made(*(f"S{n:02}" for n in range(45)))
    batches: list[int] = []

    def tool_of(family: Family) -> Tool:
        def tool(symbols: list[str], session: str) -> CallToolResult:
            batches.append(len(symbols))
            return CallToolResult(content=[], structured_content=answer(family, many, symbols))

        return Tool.from_function(tool, name=family.tool)

    computed = McpMetrics(served(server_of(*map(tool_of, FAMILIES)))).compute(many)
    assert computed.missing == {}
    assert [len(frame) for frame in computed.frames] == [45] * 4
    assert sorted(batches) == [5] * 4 + [20] * 8
