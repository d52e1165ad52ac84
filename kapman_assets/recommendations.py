"""Table recommendations (and its legs): advice for the P1 symbols whose signal asks for a decision.

Does not belong here: candidates, rules, levels (kapman_advice) or the choice itself (the provider).
"""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl
from dagster import ResourceParam

from kapman_advice.calibration import HISTORY_SCHEMA
from kapman_advice.decision import Context, Decision, DecisionError, advice_record, build_context, validate
from kapman_advice.evidence import EVIDENCE_COLUMNS, compact_json, plain
from kapman_advice.rules import MODEL_VERSION, is_actionable
from kapman_assets import inputs
from kapman_assets.checks import TableGuard, table_checks
from kapman_assets.daily_snapshots import daily_snapshots
from kapman_assets.options_chains import options_chains
from kapman_assets.partitions import SAME_SESSION, SINGLE_RUN, TRADING_SESSIONS, session_of_key
from kapman_assets.stages import open_stage
from kapman_resources.ai import AdviceProvider, RulesProvider
from kapman_resources.database.core import Connection, Database
from kapman_resources.database.queries import query

if TYPE_CHECKING:
    import pandera.polars as pa

# the namespace of ids: the same advice has the same id in every run
_IDS = uuid.UUID("6b61706d-616e-4a64-8269-636500000001")


@dg.asset(
    partitions_def=TRADING_SESSIONS,
    backfill_policy=SINGLE_RUN,
    group_name="advice",
    kinds={"python", "postgres"},
    owners=["team:kapman"],
    tags={"domain": "advice"},
    code_version=MODEL_VERSION,
    deps=[
        dg.AssetDep(daily_snapshots, partition_mapping=SAME_SESSION),
        dg.AssetDep(options_chains, partition_mapping=SAME_SESSION),
    ],
)
def recommendations(
    context: dg.AssetExecutionContext,
    database: ResourceParam[Database],
    advisor: ResourceParam[AdviceProvider],
) -> dg.MaterializeResult:
    """Advice of the session for every P1 symbol with an actionable signal; NO_TRADE and WAIT are answers too.

    The provider chooses an enumerated candidate; the database refuses a leg that is not in the session's stored chain
    at the price named. An answer that fails the gate is replaced by the rules' own, labelled `fallback`.
    """
    with open_stage(context, database) as stage:
        counts: dict[str, int] = {}
        for session in stage.sessions:
            decided = [decide(c, advisor) for c in contexts(database, session)]
            with database.transaction() as connection:
                for case, decision in decided:
                    _store(connection, case, decision)
                    counts[decision.action] = counts.get(decision.action, 0) + 1
            stage.record.rows += len(decided)
            stage.record.symbols = max(stage.record.symbols, len(decided))
        return stage.result(source=f"provider {advisor.info().name}", actions=compact_json(counts))


def contexts(database: Database, session: date) -> Iterable[Context]:
    """What a provider may look at, one P1 symbol with an actionable signal at a time."""
    wanted = inputs.watchlist(database, session, priority="P1")
    snapshots = database.rows(query("snapshots_of_session"), {"session": session, "symbols": wanted})
    actionable = [s for s in map(_plain_numbers, snapshots) if is_actionable(s)]
    chain = inputs.chain(database, session, [s["symbol"] for s in actionable])
    history = database.frame(query("resolved_advice"), {"session": session}, HISTORY_SCHEMA)
    for found in actionable:
        yield build_context(chain.filter(pl.col("symbol") == found["symbol"]), found, session, history)


def decide(case: Context, advisor: AdviceProvider) -> tuple[Context, Decision]:
    """The provider's decision where it passes the gate, else the rules', labelled so."""
    decision = advisor.decide(case)
    try:
        validate(decision, case)
    except DecisionError as error:
        fallback = RulesProvider().decide(case)
        validate(fallback, case)
        decision = replace(fallback, provider=f"fallback ({advisor.info().name}: {error})")
    return case, decision


def _plain_numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: float(value) if isinstance(value, Decimal) else value for key, value in row.items()}


def _store(connection: Connection, case: Context, decision: Decision) -> None:
    """Upserts one advice with its legs; its status, which its outcomes decide, is left alone."""
    record = advice_record(decision, case)
    identity = uuid.uuid5(_IDS, f"{decision.session}:{decision.symbol}")
    first = decision.legs[0] if decision.legs else None
    chosen = case.candidates.get(decision.candidate_id or "")
    evidence = {name: case.snapshot.get(name) for name in EVIDENCE_COLUMNS} | {
        name: record[name] for name in ("spot", "dte", "expected_move", "p_direction_basis", "legs")
    }
    evidence["primary_event"] = case.snapshot.get("primary_event")
    evidence["signal"] = plain(case.signal)
    evidence["candidates"] = plain(case.candidates)
    row = record | {
        "id": identity, "session": decision.session, "strike": first.strike if first else None,
        "expiration": first.expiration if first else None, "option_type": first.option_type if first else None,
        "max_gain": chosen.max_gain if chosen else None, "rule_trace": compact_json(decision.trace),
        "alternatives": compact_json(decision.alternatives),
        "missing_data": compact_json(case.missing), "evidence": compact_json(evidence),
        "what_would_change": "; ".join(decision.what_would_change) or None,
    }  # fmt: skip
    connection.execute(query("upsert_recommendation"), row)
    connection.execute("DELETE FROM recommendation_legs WHERE recommendation_id = %s", (identity,))
    for number, leg in enumerate(decision.legs, 1):
        connection.execute(
            query("insert_leg"), vars(leg) | {"id": identity, "leg": number, "session": decision.session}
        )


def _schema() -> "pa.DataFrameSchema":
    import pandera.polars as pa

    share = pa.Column(pl.Float64, pa.Check.in_range(0, 1), nullable=True)
    return pa.DataFrameSchema(
        {
            "symbol": pa.Column(pl.String),
            "action": pa.Column(pl.String, pa.Check.isin(["ENTER", "WAIT", "NO_TRADE", "EXIT"])),
            "confidence": share,
            "p_direction": share,
            "justification": pa.Column(pl.String),
        }
    )


GUARD = TableGuard(
    table="recommendations",
    key=("symbol", "recommendation_date"),
    columns={
        "symbol": pl.String, "action": pl.String, "confidence": pl.Float64, "p_direction": pl.Float64,
        "justification": pl.String,
    },
    schema=_schema,
    session="recommendation_date",
    within="recommendation_date BETWEEN %(first)s AND %(last)s",
)  # fmt: skip
recommendations_checks = table_checks(GUARD)


@dg.asset_check(
    asset=recommendations, blocking=True, description="every leg is a contract of that session's chain"
)
def every_leg_is_in_the_chain(
    context: dg.AssetCheckExecutionContext, database: ResourceParam[Database]
) -> dg.AssetCheckResult:
    """The database refuses such a leg when it is written; this asks again, over what is stored."""
    first, last = session_of_key(context.partition_keys[0]), session_of_key(context.partition_keys[-1])
    strangers = database.rows(query("legs_without_a_contract"), {"first": first, "last": last})
    return dg.AssetCheckResult(
        passed=not strangers, metadata={"strangers": [r["contract"] for r in strangers] or "none"}
    )
