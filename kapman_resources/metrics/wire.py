"""How metrics travel over MCP: one object per symbol, and what an object must hold before it is believed.

Floats travel as the shortest decimal that reads back as the same double, so both sides hold the same bits. Does not
belong here: connections (mcp_client, kapman_mcp), formulas.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

import polars as pl

from kapman_metrics.documents import compact_json
from kapman_resources.metrics.families import Facts, Family, MetricInputs

SYMBOLS_PER_CALL = 20
_LARGEST_DOCUMENT = 1_000_000  # bytes; the largest of our own has a few ten thousand
_INT64 = 2**63 - 1
_LARGEST_DOUBLE = sys.float_info.max
# what the table refuses or a check holds; every other number only has to be finite
_RANGES = {
    "rsi_14": (0, 100), "stoch_k": (0, 100), "stoch_d": (0, 100), "mfi_14": (0, 100), "adx_14": (0, 100),
    "obv": (-_INT64, _INT64), "dgpi": (-100, 100), "iv_rank": (0, 100), "iv_percentile": (0, 100),
    "average_iv": (0, 2),
}  # fmt: skip
_WORDS = {
    "dealer_position": ("long_gamma", "short_gamma", "neutral"),
    "volatility_regime": ("low", "normal", "high", "extreme"),
}


class WrongAnswer(ValueError):
    """An answer that must not be stored; the message names the symbol, the field and what stands there."""


def answer(family: Family, given: MetricInputs, symbols: Iterable[str]) -> dict[str, Any]:
    """The tool's answer: session and, for each symbol, computed_from, metrics and document.

    metrics and document are null, with a note, for a symbol that has nothing to compute from.
    """
    facts = family.computed_from(given)
    rows = {row.pop("symbol"): row for row in family.compute(given).to_dicts()}
    results: dict[str, Any] = {}
    for symbol in symbols:
        row = rows.get(symbol)
        document = json.loads(row.pop(family.document)) if row else None
        results[symbol] = {"computed_from": facts.get(symbol), "metrics": row, "document": document}
        if row is None:
            results[symbol]["note"] = f"no {family.source} of {symbol} is stored for {given.session}"
    return {"session": given.session.isoformat(), "results": results}


def results_of(content: Any, session: date) -> Mapping[str, Any]:
    """The answer's symbols; raises WrongAnswer unless it is an answer for exactly this session."""
    if not isinstance(content, dict) or not isinstance(content.get("results"), dict):
        raise WrongAnswer("the answer has no object `results`")
    if content.get("session") != session.isoformat():
        raise WrongAnswer(f"the answer is for session {content.get('session')!r}, not {session}")
    return content["results"]


def row_of(family: Family, symbol: str, result: Any, expected: Facts) -> dict[str, Any] | None:
    """The symbol's row of `family.schema`, None where the server says that there is nothing to compute.

    Raises WrongAnswer for numbers that do not rest on `expected`, a lacking or mistyped field, a value out of range.
    """
    if not isinstance(result, dict):
        raise WrongAnswer(f"no answer for {symbol}" if result is None else f"{symbol} is not an object")
    if result.get("computed_from") != expected:
        raise WrongAnswer(
            f"{symbol} rests on other data: {result.get('computed_from')} there, {expected} here"
        )
    metrics = result.get("metrics")
    if metrics is None:
        return None
    if not isinstance(metrics, dict):
        raise WrongAnswer(f"{symbol}.metrics is not an object")
    row: dict[str, Any] = {"symbol": symbol, family.document: _document(family, symbol, result)}
    for name, kind in family.schema.items():
        if name not in row:
            if name not in metrics:
                raise WrongAnswer(f"{symbol} lacks {name}")
            row[name] = _value(symbol, name, kind, metrics[name])
    return row


def _value(symbol: str, name: str, kind: pl.DataType, value: Any) -> Any:
    if value is None:
        return None
    if name in _WORDS:
        good = value in _WORDS[name]
    elif isinstance(value, bool) or not isinstance(value, int | float):
        good = False
    elif kind.is_integer():
        good = isinstance(value, int) and abs(value) <= _INT64
    else:
        low, high = _RANGES.get(name, (-_LARGEST_DOUBLE, _LARGEST_DOUBLE))
        good = low <= value <= high  # false for NaN
    if not good:
        shown = "a huge number" if isinstance(value, int) and abs(value) > _INT64 else str(value)[:40]
        raise WrongAnswer(f"{symbol}.{name} cannot be {shown!r}")
    return float(value) if kind.is_float() else value


def _document(family: Family, symbol: str, result: Mapping[str, Any]) -> str:
    document = result.get("document")
    if not isinstance(document, dict):
        raise WrongAnswer(f"{symbol}.document is not an object")
    if lacking := sorted(family.document_keys - set(document)):
        raise WrongAnswer(f"{symbol}.document lacks {len(lacking)} keys, {lacking[0]} among them")
    text = compact_json(document)
    if len(text) > _LARGEST_DOCUMENT or "\\u0000" in text:
        raise WrongAnswer(f"{symbol}.document is larger than {_LARGEST_DOCUMENT} bytes or holds a NUL")
    return text
