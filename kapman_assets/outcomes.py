"""Table recommendation_outcomes (asset and view `outcomes`): what became of older advice, at the prices really stored.

Does not belong here: how an outcome is judged (kapman_advice.outcomes).
"""

import uuid
from collections.abc import Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl
from dagster import ResourceParam

from kapman_advice.evidence import compact_json
from kapman_advice.outcomes import Outcome, evaluate
from kapman_assets import inputs
from kapman_assets.checks import TableGuard, table_checks
from kapman_assets.ohlcv_daily import ohlcv_daily
from kapman_assets.options_chains import options_chains
from kapman_assets.partitions import LOOKBACK_40, SAME_SESSION, SINGLE_RUN, TRADING_SESSIONS
from kapman_assets.recommendations import recommendations
from kapman_assets.stages import open_stage
from kapman_resources.calendar import sessions_between
from kapman_resources.database.core import Connection, Database
from kapman_resources.database.queries import query

if TYPE_CHECKING:
    import pandera.polars as pa

_IDS = uuid.UUID("6b61706d-616e-4a64-8269-636500000002")
_OPEN_DAYS = 130  # the longest advice expires after 90 days and its exit is known a session later
_PRICES = {"contract": pl.String, "date": pl.Date, "price": pl.Float64, "price_source": pl.String}


@dg.asset(
    partitions_def=TRADING_SESSIONS,
    backfill_policy=SINGLE_RUN,
    group_name="advice",
    kinds={"python", "postgres"},
    owners=["team:kapman"],
    tags={"domain": "advice"},
    deps=[
        dg.AssetDep(recommendations, partition_mapping=LOOKBACK_40),
        dg.AssetDep(ohlcv_daily, partition_mapping=LOOKBACK_40),
        dg.AssetDep(options_chains, partition_mapping=SAME_SESSION),
    ],
)
def outcomes(context: dg.AssetExecutionContext, database: ResourceParam[Database]) -> dg.MaterializeResult:
    """Evaluations that fall due in the session: 5, 10, 20 and 40 sessions after the advice, and at its exit.

    Entry is the next session's open; the option trade is judged as one, at stored prices only. A price that is not
    stored is named in `missing_data` and never filled in. Brier scores use `p_direction`.
    """
    with open_stage(context, database) as stage:
        for session in stage.sessions:
            found = [
                (advice["id"], o)
                for advice in _open_advice(database, session)
                for o in _judge(database, advice, session)
            ]
            with database.transaction() as connection:
                connection.execute(
                    "DELETE FROM recommendation_outcomes WHERE evaluation_date = %s", (session,)
                )
                for identity, outcome in found:
                    _store(connection, identity, outcome)
                connection.execute(query("status_from_outcomes"), {"session": session})
            stage.record.rows += len(found)
            stage.record.symbols = max(stage.record.symbols, len({outcome.symbol for _, outcome in found}))
        return stage.result(source="stored bars and chains")


def _open_advice(database: Database, session: date) -> list[dict[str, Any]]:
    """Directional advice before the session that may still fall due, as outcomes.evaluate reads it."""
    first = session - timedelta(days=_OPEN_DAYS)
    return [_with_split_factor(database, _advice(r), session)
            for r in database.rows(query("open_advice"), {"first": first, "session": session})]  # fmt: skip


def _advice(row: Mapping[str, Any]) -> dict[str, Any]:
    evidence = row["evidence"]
    known = {name: evidence.get(name) for name in ("spot", "dte", "expected_move")}
    legs = [leg | {"expiration": date.fromisoformat(leg["expiration"])} for leg in evidence.get("legs") or []]
    return {**row, **known, "legs": legs}


def _with_split_factor(database: Database, advice: dict[str, Any], session: date) -> dict[str, Any]:
    later = inputs.splits(database, [advice["symbol"]], session).filter(
        pl.col("execution_date") > advice["recommendation_date"]
    )
    ratio = (later["split_to"] / later["split_from"]).product() if later.height else 1.0
    return advice | {"split_factor": ratio}


def _judge(database: Database, advice: Mapping[str, Any], session: date) -> list[Outcome]:
    symbol, start = advice["symbol"], advice["recommendation_date"]
    bars = inputs.adjusted_bars(database, [symbol], session)
    contracts = [leg["contract"] for leg in advice["legs"]]
    prices = database.frame(
        query("option_prices"), {"symbol": symbol, "contracts": contracts, "session": session}, _PRICES
    )
    later = [day for day in sessions_between(start, session) if day > start]
    return evaluate(advice, bars, prices, session, sessions=later)


def _store(connection: Connection, advice_id: uuid.UUID, outcome: Outcome) -> None:
    row = vars(outcome) | {
        "id": uuid.uuid5(_IDS, f"{advice_id}:{outcome.horizon}"),
        "recommendation_id": advice_id,
        "missing": compact_json(outcome.missing),
    }
    connection.execute(query("insert_outcome"), row)


def _schema() -> "pa.DataFrameSchema":
    import pandera.polars as pa

    return pa.DataFrameSchema(
        {
            "horizon": pa.Column(pl.String, pa.Check.isin(["5", "10", "20", "40", "exit"])),
            "outcome_status": pa.Column(pl.String, pa.Check.isin(["WIN", "LOSS", "NEUTRAL"]), nullable=True),
            "directional_brier": pa.Column(pl.Float64, pa.Check.in_range(0, 1), nullable=True),
        }
    )


GUARD = TableGuard(
    table="outcomes",
    key=("recommendation_id", "horizon"),
    columns={"horizon": pl.String, "outcome_status": pl.String, "directional_brier": pl.Float64},
    schema=_schema,
    session="evaluation_date",
    within="evaluation_date BETWEEN %(first)s AND %(last)s",
    stored_in="recommendation_outcomes",
)
outcomes_checks = table_checks(GUARD)
