"""What a fault plan does to one underlying's snapshot: changed contracts, repeated ones, pages without end.

Contracts come here encoded and leave encoded; how a healthy one looks is defined in rest_chains.
"""

from __future__ import annotations

from typing import Any

import msgspec

from kapman_simulator.faults import ContractOverride, FaultPlan
from kapman_simulator.paging import Query

_REPEATED = 4


def concern(plan: FaultPlan, symbol: str) -> bool:
    """Whether the plan does anything to this underlying's snapshot."""
    named = (plan.cursor_loop, plan.endless_pages, plan.duplicate_contracts)
    return any(symbol in symbols for symbols in named) or any(
        override.symbol == symbol for override in plan.contract_overrides
    )


def overridden(plan: FaultPlan, symbol: str, items: list[bytes], tickers: list[str]) -> list[bytes]:
    """The chain with the contract overrides of this underlying; a contract that is not there is left alone."""
    changed = items
    for override in plan.contract_overrides:
        if override.symbol != symbol:
            continue
        changed = [
            _patched(item, override) if _meant(override, at, tickers[at]) else item
            for at, item in enumerate(changed)
        ]
    return changed


def _meant(override: ContractOverride, at: int, ticker: str) -> bool:
    return override.index in (None, at) and override.ticker in (None, ticker)


def _patched(item: bytes, override: ContractOverride) -> bytes:
    contract = _merged(msgspec.json.decode(item), override.patch)
    for name in override.remove:
        *path, last = name.split(".")
        inside = contract
        for step in path:
            inside = inside.get(step, {})
        inside.pop(last, None)
    return msgspec.json.encode(contract)


def _merged(target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """`target` with the patch's values; only objects that hold something are merged, not put in place."""
    merged = dict(target)
    for name, value in patch.items():
        old = merged.get(name)
        if isinstance(old, dict) and isinstance(value, dict) and value:
            merged[name] = _merged(old, value)
        else:
            merged[name] = value
    return merged


def repeated(plan: FaultPlan, symbol: str, rows: list[bytes], limit: int) -> list[bytes]:
    """The rows with four of page 1 once more at the head of page 2, greeks now here, now there."""
    if symbol not in plan.duplicate_contracts:
        return rows
    complete = [at for at, row in enumerate(rows[:limit]) if b'"greeks"' in row][:_REPEATED]
    bare = ContractOverride(symbol, remove=["greeks"])
    first, second = list(rows), []
    for place, at in enumerate(complete):
        stripped = _patched(rows[at], bare)
        early = place < _REPEATED // 2
        first[at] = stripped if early else rows[at]
        second.append(rows[at] if early else stripped)
    return first[:limit] + second + first[limit:]


def another_page(plan: FaultPlan, symbol: str, query: Query, rows: int) -> str | None:
    """Where the last page points on to when the plan lets pages never end."""
    if symbol in plan.cursor_loop:
        return query.address(query.limit if rows > query.limit else 0)
    if symbol in plan.endless_pages:
        return query.address(query.offset + query.limit)
    return None
