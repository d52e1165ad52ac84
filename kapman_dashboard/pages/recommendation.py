"""One piece of advice: trade, price used, rules, missing data, alternatives, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse

from kapman_dashboard import formats, metric_catalog, page, vocabulary
from kapman_dashboard.boundary import AskedSession

router = APIRouter(include_in_schema=False)
Row = dict[str, Any]


def rule_lines(trace: Any) -> list[Row]:
    """The trace with what decided first: vetoed, fired, missing, passed; each as it was judged."""
    order = list(vocabulary.RULE_OUTCOMES)
    rules = [dict(item) for item in trace if isinstance(item, Mapping)] if isinstance(trace, list) else []
    rules.sort(key=lambda rule: order.index(rule["outcome"]) if rule.get("outcome") in order else len(order))
    return [
        {
            "rule_id": rule.get("rule_id", "?"),
            "outcome": vocabulary.RULE_OUTCOMES.get(str(rule.get("outcome")), vocabulary.UNKNOWN_SIGNAL),
            "sentence": rule.get("sentence") or "",
            "remedy": rule.get("remedy") or "",
            "numbers": [f"{key} {_number(value)}" for key, value in (rule.get("numbers") or {}).items()],
        }
        for rule in rules
    ]


def alternative_lines(alternatives: Any, evidence: Mapping[str, Any]) -> list[Row]:
    """The alternatives, each with its legs in words where the evidence kept the enumerated candidates."""
    enumerated = metric_catalog.document(evidence, "candidates").get("candidates")
    legs = {item["candidate_id"]: [formats.leg(leg) for leg in item["legs"]] for item in enumerated or []}
    items = alternatives if isinstance(alternatives, list) else []
    return [
        {
            "candidate_id": item.get("candidate_id", formats.MISSING),
            "strategy": vocabulary.STRATEGIES.get(item.get("strategy", ""), item.get("strategy")),
            "reason": item.get("reason", formats.MISSING),
            "legs": legs.get(item.get("candidate_id"), []),
        }
        for item in items
        if isinstance(item, Mapping)
    ]


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return formats.MISSING if value is None else str(value)
    return f"{value:,.6g}"


def _texts(value: Any) -> list[str]:
    """A stored text or list of texts as a list."""
    if value is None or value == "":
        return []
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


@router.get("/recommendations/{identity}")
def recommendation(request: Request, identity: UUID, asked: AskedSession) -> HTMLResponse:
    reader = page.reader(request)
    session = reader.session(asked)
    found = reader.recommendation(identity, until=asked)
    if found is None:
        raise HTTPException(404, f"no recommendation {identity} is stored")
    made_on = found["recommendation_date"]
    legs = [
        leg | {"price_age": formats.sessions_since(leg["price_session"], made_on)} for leg in found["legs"]
    ]
    entry, stop, target = found["entry_price_target"], found["stop_loss"], found["profit_target"]
    risk = abs(entry - stop) if entry is not None and stop is not None else None
    return page.render(
        request,
        "recommendation.html",
        session=session,
        labels=reader.data_labels(),
        advice=found,
        action=vocabulary.ACTIONS[found["action"]],
        legs=legs,
        age=formats.sessions_since(made_on, session.shown),
        reward_to_risk=abs(target - entry) / risk if risk and target is not None else None,
        rules=rule_lines(found["rule_trace"]),
        alternatives=alternative_lines(found["alternatives"], found["evidence"]),
        missing=_texts(found["missing_data"]),
        changes=_texts(found["what_would_change"]),
        evidence=[
            (key, _number(value))
            for key, value in sorted(found["evidence"].items())
            if not isinstance(value, dict | list)
        ],
        outcomes=[row | {"missing": _texts(row["missing_data"])} for row in found["outcomes"]],
        spot=metric_catalog.document(found, "evidence").get("spot"),
    )
