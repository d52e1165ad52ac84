"""No advice can name a contract that the session's stored chain does not hold: the database refuses it."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID, uuid4

import polars as pl
import psycopg
import pytest
from psycopg.types.json import Jsonb

from kapman_resources.database import Database
from kapman_resources.database.core import Connection
from kapman_resources.database.queries import query

YESTERDAY, SESSION = date(2026, 5, 4), date(2026, 5, 5)
JUNE = date(2026, 6, 19)
C200, C210, P200 = "O:AAPL260619C00200000", "O:AAPL260619C00210000", "O:AAPL260619P00200000"
GONE = "O:AAPL260508C00205000"  # in yesterday's chain only
OTHERS = "O:MSFT260619C00200000"

Leg = dict[str, Any]


def contract(
    symbol: str, name: str, strike: float, kind: str, bid: float | None, ask: float | None
) -> dict[str, Any]:
    return {
        "symbol": symbol, "contract": name, "expiration": date(2026, 5, 8) if name == GONE else JUNE,
        "strike": strike,
        "option_type": kind, "bid": bid, "ask": ask, "close": 3.3, "shares_per_contract": 100.0,
        "last_session": YESTERDAY, "is_standard": True, "is_live": True,
    }  # fmt: skip


CHAIN = [
    contract("AAPL", C200, 200.0, "call", 5.1, 5.4),
    contract("AAPL", C210, 210.0, "call", 2.1, 2.3),
    contract("AAPL", P200, 200.0, "put", None, None),
    contract("MSFT", OTHERS, 200.0, "call", 1.0, 1.2),
]


@pytest.fixture
def chained(database: Database) -> Database:
    """A database with the chains of two sessions and their contracts."""
    for session, chain in ((YESTERDAY, [contract("AAPL", GONE, 205.0, "call", 1.0, 1.1)]), (SESSION, CHAIN)):
        symbols = sorted({row["symbol"] for row in chain})
        with database.transaction() as connection:
            database.replace_session(
                connection,
                "options_chains",
                session,
                pl.DataFrame(chain, infer_schema_length=None),
                symbols=symbols,
            )
            connection.execute(query("contracts_from_chains"), {"session": session, "symbols": symbols})
    return database


def leg(name: str = C200, **changes: Any) -> Leg:
    row = next(
        row for row in [*CHAIN, contract("AAPL", GONE, 205.0, "call", 1.0, 1.1)] if row["contract"] == name
    )
    mid = row["bid"] is not None
    true: Leg = {
        "symbol": "AAPL", "session": SESSION, "contract": name, "expiration": row["expiration"],
        "strike": row["strike"], "option_type": row["option_type"], "side": "buy", "quantity": 1,
        "price": (row["bid"] + row["ask"]) / 2 if mid else row["close"],
        "price_source": "mid" if mid else "day_close",
        "price_session": SESSION if mid else row["last_session"],
    }  # fmt: skip
    return true | changes


def write(
    connection: Connection,
    legs: list[Leg],
    action: str = "ENTER",
    strategy: str | None = "LONG_CALL",
    **changes: Any,
) -> UUID:
    """One recommendation with its legs, by the pipeline's own statements."""
    values: dict[str, Any] = {
        "id": uuid4(), "session": SESSION, "symbol": "AAPL", "direction": "LONG", "action": action,
        "confidence": 0.7,
        "p_direction": 0.55, "justification": "a spring above support", "entry_price_target": 200,
        "stop_loss": 190,
        "profit_target": 220, "strategy": strategy,
        **{name: legs[0][name] if legs else None for name in ("strike", "expiration", "option_type")},
        "candidate_id": "C01", "breakeven": None, "max_loss": None, "max_gain": None, "provider": "rules",
        "model_version": "1", "rule_trace": Jsonb([]), "alternatives": Jsonb([]), "missing_data": Jsonb([]),
        "what_would_change": None, "evidence": Jsonb({}),
    }  # fmt: skip
    values |= changes
    connection.execute(query("upsert_recommendation"), values)
    for number, given in enumerate(legs, 1):
        connection.execute(query("insert_leg"), {"id": values["id"], "leg": number} | given)
    return values["id"]


def advise(database: Database, legs: list[Leg], **more: Any) -> UUID:
    with database.transaction() as connection:
        return write(connection, legs, **more)


def stored(database: Database) -> int:
    return database.value("SELECT count(*) FROM recommendation_legs")


def test_true_legs_are_accepted_at_midpoint_and_at_day_close(chained: Database) -> None:
    advise(chained, [leg(C200)])
    advise(chained, [leg(P200, side="sell")], strategy="CSP")
    advise(chained, [leg(C200), leg(C210, side="sell")], strategy="VERTICAL_SPREAD")
    advise(chained, [], action="NO_TRADE", strategy=None, direction="NEUTRAL")
    advise(chained, [], action="WAIT", strategy=None)
    assert stored(chained) == 4
    assert chained.value("SELECT count(*) FROM recommendations") == 5
    span = {"first": YESTERDAY, "last": SESSION}
    assert chained.rows(query("legs_without_a_contract"), span) == []


FALSE_LEGS: dict[str, Leg] = {
    "an invented strike": leg(strike=201.0),
    "an invented expiry": leg(expiration=date(2026, 6, 20)),
    "another ticker's contract": leg(OTHERS),
    "the wrong type": leg(option_type="put"),
    "another session's contract": leg(GONE),
    "a contract that never existed": leg(contract="O:AAPL260619C00201000", strike=201.0),
    "another session": leg(session=YESTERDAY),
    "another session with its own contract": leg(GONE, session=YESTERDAY, price_session=YESTERDAY),
    "another symbol": leg(OTHERS, symbol="MSFT"),
}


def test_a_leg_that_is_not_in_the_session_s_chain_is_refused(chained: Database) -> None:
    for kind, false in FALSE_LEGS.items():
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            advise(chained, [false])
            pytest.fail(f"accepted: {kind}")
    assert chained.value("SELECT count(*) FROM recommendations") == 0


ALTERED: dict[str, Leg] = {
    "a midpoint a cent off": leg(price=5.26),
    "a midpoint of another session": leg(price_session=YESTERDAY),
    "a midpoint where nothing is quoted": leg(P200, price_source="mid", price=3.3),
    "a day close a cent off": leg(P200, price=3.31),
    "a day close of another session": leg(P200, price_session=SESSION),
    "a negative price": leg(price=-5.25),
    "a price from nowhere": leg(price_source="model"),
    "no contracts": leg(quantity=0),
    "neither bought nor sold": leg(side="hold"),
}


def test_a_leg_with_a_price_that_was_not_stored_is_refused(chained: Database) -> None:
    for kind, false in ALTERED.items():
        with pytest.raises(psycopg.errors.CheckViolation):
            advise(chained, [false])
            pytest.fail(f"accepted: {kind}")
    assert chained.value("SELECT count(*) FROM recommendations") == 0


SHAPES: dict[str, tuple[str, str | None, list[Leg]]] = {
    "a leg on NO_TRADE": ("NO_TRADE", None, [leg()]),
    "a leg on WAIT": ("WAIT", None, [leg()]),
    "ENTER without legs": ("ENTER", "LONG_CALL", []),
    "ENTER without a strategy": ("ENTER", None, [leg()]),
    "NO_TRADE with a strategy": ("NO_TRADE", "LONG_CALL", []),
    "a vertical with one leg": ("ENTER", "VERTICAL_SPREAD", [leg()]),
    "a long call with two legs": ("ENTER", "LONG_CALL", [leg(), leg(C210)]),
    "a long call that is sold": ("ENTER", "LONG_CALL", [leg(side="sell")]),
    "a long call of a put": ("ENTER", "LONG_CALL", [leg(P200)]),
    "a long put of a call": ("ENTER", "LONG_PUT", [leg()]),
    "a cash-secured put that is bought": ("ENTER", "CSP", [leg(P200)]),
    "a vertical of one contract": ("ENTER", "VERTICAL_SPREAD", [leg(), leg(side="sell")]),
    "a vertical bought twice": ("ENTER", "VERTICAL_SPREAD", [leg(), leg(C210)]),
    "a vertical of a call and a put": ("ENTER", "VERTICAL_SPREAD", [leg(), leg(P200, side="sell")]),
}


def test_advice_whose_legs_do_not_fit_its_action_is_refused_at_commit(chained: Database) -> None:
    for kind, (action, strategy, legs) in SHAPES.items():
        with pytest.raises(psycopg.errors.CheckViolation, match="legs are not those"):
            advise(chained, legs, action=action, strategy=strategy)
            pytest.fail(f"accepted: {kind}")
    assert chained.value("SELECT count(*) FROM recommendations") == 0


@pytest.mark.parametrize(
    "changes",
    [{"strike": 205.0}, {"expiration": date(2026, 7, 17)}, {"option_type": "put"}, {"strike": None}],
    ids=str,
)
def test_the_contract_that_the_advice_itself_names_is_that_of_its_first_leg(
    chained: Database, changes: dict[str, Any]
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="legs are not those"):
        advise(chained, [leg()], **changes)


def test_a_contract_that_does_not_deliver_100_shares_is_never_advised(chained: Database) -> None:
    chained.execute("UPDATE options_chains SET is_standard = false WHERE contract = %s", (C200,))
    with pytest.raises(psycopg.errors.CheckViolation, match="does not deliver 100 shares"):
        advise(chained, [leg()])


def test_moving_a_leg_to_other_advice_is_judged_on_both(chained: Database) -> None:
    first = advise(chained, [leg()])
    second = advise(chained, [leg(C210)])
    move = "UPDATE recommendation_legs SET recommendation_id = %s, leg = 2 WHERE recommendation_id = %s"
    with pytest.raises(psycopg.errors.CheckViolation, match="legs are not those"):
        chained.execute(move, (second, first))
    assert stored(chained) == 2


def test_stored_advice_cannot_be_damaged_afterwards(chained: Database) -> None:
    advise(chained, [leg(C200), leg(C210, side="sell")], strategy="VERTICAL_SPREAD")
    for damage in (
        "DELETE FROM recommendation_legs WHERE leg = 2",
        "UPDATE recommendations SET action = 'NO_TRADE', option_strategy = NULL",
        "UPDATE recommendations SET option_strategy = 'LONG_CALL'",
        "UPDATE recommendation_legs SET price = price + 0.01 WHERE leg = 1",
        "UPDATE recommendation_legs SET strike = 205 WHERE leg = 1",
        "DELETE FROM option_contracts",
    ):
        with pytest.raises(psycopg.errors.IntegrityError):
            chained.execute(damage)
            pytest.fail(f"accepted: {damage}")
    assert stored(chained) == 2


def test_a_rerun_may_replace_the_legs_of_its_own_advice_in_one_transaction(chained: Database) -> None:
    same = advise(chained, [leg(C200)])
    with chained.transaction() as connection:
        connection.execute("DELETE FROM recommendation_legs WHERE recommendation_id = %s", (same,))
        write(connection, [leg(C210), leg(C200, side="sell")], strategy="VERTICAL_SPREAD", id=same)
    assert stored(chained) == 2
    with chained.transaction() as connection:
        connection.execute("DELETE FROM recommendation_legs WHERE recommendation_id = %s", (same,))
        write(connection, [], action="NO_TRADE", strategy=None, id=same)
    assert stored(chained) == 0


@pytest.mark.parametrize(
    "retention", ["DELETE FROM options_chains", "DROP TABLE options_chains_2026_05"], ids=["delete", "drop"]
)
def test_advice_outlives_the_chain_it_was_checked_against(chained: Database, retention: str) -> None:
    kept = advise(chained, [leg(C200), leg(C210, side="sell")], strategy="VERTICAL_SPREAD")
    chained.execute(retention)
    assert stored(chained) == 2
    chained.execute("UPDATE recommendations SET status = 'closed'")
    assert chained.value("SELECT status FROM recommendations WHERE id = %s", (kept,)) == "closed"
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        advise(chained, [leg()])
    chained.execute("DELETE FROM recommendations")
    assert stored(chained) == 0


def test_a_contract_is_remembered_by_its_first_session_whatever_is_captured_later(chained: Database) -> None:
    chained.execute(query("contracts_from_chains"), {"session": SESSION, "symbols": ["AAPL"]})
    rows = chained.rows("SELECT contract, first_session FROM option_contracts ORDER BY contract")
    assert {row["contract"]: row["first_session"] for row in rows} == {
        GONE: YESTERDAY, C200: SESSION, C210: SESSION, P200: SESSION, OTHERS: SESSION,
    }  # fmt: skip


def test_a_chain_that_is_not_committed_yet_backs_no_leg(chained: Database) -> None:
    late = pl.DataFrame([contract("AAPL", GONE, 205.0, "call", 1.0, 1.1)])
    with chained.transaction() as other:
        chained.replace_session(other, "options_chains", SESSION, late, symbols=[])
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            advise(chained, [leg(GONE)])
    advise(chained, [leg(GONE)])
