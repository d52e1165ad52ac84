"""Metrics on their way: the same bits after JSON, and the settings that say where they come from."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import pydantic_core
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kapman_metrics.documents import compact_json
from kapman_resources.metrics import LocalMetrics, provider_from_settings
from kapman_resources.metrics.families import FAMILIES
from kapman_resources.metrics.mcp_client import McpMetrics
from kapman_resources.metrics.wire import WrongAnswer, row_of
from kapman_resources.settings import SettingsError, load_settings

PRICE = next(family for family in FAMILIES if family.tool == "get_price_metrics")
NUMBERS = [name for name, kind in PRICE.schema.items() if kind.is_float()]
finite = st.floats(allow_nan=False, allow_infinity=False)


def bits(value: Any) -> bytes | None:
    return None if value is None else struct.pack("<d", value)


@given(
    values=st.lists(st.none() | finite, min_size=len(NUMBERS), max_size=len(NUMBERS)),
    document=st.recursive(
        st.none() | finite | st.integers(-(2**63), 2**63 - 1) | st.text('abcäß€ "\\/{}[],:', max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3)
        ),
        max_leaves=8,
    ),
)
def test_every_double_and_every_document_survives_the_way_bit_for_bit(
    values: list[float | None], document: Any
) -> None:
    """Through both encoders that meet on the way: Python's json and the SDK's."""
    sent = {
        "computed_from": {"close": 1.5},
        "metrics": dict(zip(NUMBERS, values, strict=True)),
        "document": {"of": document},
    }
    arrived = pydantic_core.from_json(pydantic_core.to_json(json.loads(compact_json(sent))))
    row = row_of(PRICE, "AAPL", arrived, {"close": 1.5})
    assert row is not None
    assert [bits(row[name]) for name in NUMBERS] == [bits(value) for value in values]
    assert row["price_metrics_json"] == compact_json({"of": document})


def test_null_is_kept_apart_from_zero_and_a_whole_number_becomes_a_double() -> None:
    sent = {"computed_from": {}, "metrics": dict.fromkeys(NUMBERS) | {"rvol": 0, "vsi": -0.0}, "document": {}}
    row = row_of(PRICE, "AAPL", sent, {})
    assert row is not None and row["hv_20"] is None
    assert (bits(row["rvol"]), bits(row["vsi"])) == (bits(0.0), bits(-0.0))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400])
def test_what_is_no_double_is_refused(value: float) -> None:
    sent = {"computed_from": {}, "metrics": dict.fromkeys(NUMBERS) | {"rvol": value}, "document": {}}
    with pytest.raises(WrongAnswer, match=r"AAPL\.rvol cannot be"):
        row_of(PRICE, "AAPL", sent, {})


def test_the_metrics_are_local_unless_the_provider_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(provider_from_settings(load_settings()), LocalMetrics)
    monkeypatch.setenv("POLYGON_MCP_URL", "http://127.0.0.1:5001")
    assert isinstance(provider_from_settings(load_settings()), LocalMetrics)
    monkeypatch.setenv("METRICS_PROVIDER", "mcp")
    assert isinstance(provider_from_settings(load_settings()), McpMetrics)


@pytest.mark.parametrize(
    ("configured", "said"),
    [
        ({"METRICS_PROVIDER": "mcp"}, "POLYGON_MCP_URL is not set, but METRICS_PROVIDER is mcp"),
        ({"METRICS_PROVIDER": "polygon"}, "METRICS_PROVIDER='polygon'"),
        ({"POLYGON_MCP_URL": "localhost:5001"}, "POLYGON_MCP_URL is not an address such as"),
        ({"POLYGON_MCP_URL": "http://host:port"}, "POLYGON_MCP_URL is not an address such as"),
        ({"POLYGON_MCP_URL": "http://me:secret@host"}, "put the token into KAPMAN_MCP_TOKEN"),
        ({"POLYGON_MCP_TIMEOUT": "0"}, "POLYGON_MCP_TIMEOUT='0'"),
        ({"KAPMAN_MCP_TOKEN": "two secrets"}, "KAPMAN_MCP_TOKEN holds a blank"),
    ],
)
def test_a_half_set_or_wrong_provider_is_refused_in_one_sentence_without_its_secret(
    monkeypatch: pytest.MonkeyPatch, configured: dict[str, str], said: str
) -> None:
    for name, value in configured.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert said in str(refused.value) and "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)


def test_the_token_is_in_no_print_of_the_settings(nothing_configured: Path) -> None:
    nothing_configured.write_text("KAPMAN_MCP_TOKEN=of-the-file\n")
    settings = load_settings()
    assert settings.kapman_mcp_token is not None
    assert "of-the-file" not in f"{settings} {settings!r} {settings.model_dump()}"
