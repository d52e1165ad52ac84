"""A small hand-made market for the dashboard's tests: rows written as the pipeline would write them."""

from __future__ import annotations

import uuid
from datetime import date, timedelta
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from kapman_resources import calendar
from kapman_resources.database import Database

SESSION = date(2026, 5, 5)
EARLIER = date(2026, 5, 4)
HOSTILE = "<script>alert('x')</script>\"' onload=\"evil()"
BC_ALERT = "EXIT: close all positions, buying climax score 25 of 28"
EXPIRY = date(2026, 6, 19)
CALL = "O:AAPL260619C00290000"

STEPS_PENDING = {
    code: {"status": "pending", "date": None, "confidence": None}
    for code in ("SC", "AR", "ST", "SPRING", "TEST", "SOS", "BC", "SOW")
}


def detected(day: str, confidence: float) -> dict[str, Any]:
    return {"status": "detected", "date": day, "confidence": confidence}


def event(
    code: str, day: str, detected_at: str, confidence: float, status: str = "confirmed"
) -> dict[str, Any]:
    return {
        "type": code,
        "event_date": day,
        "detected_at": detected_at,
        "confidence": confidence,
        "price_level": 270.0,
        "volume_ratio": 1.4,
        "description": f"{code} of the test",
        "is_active": status != "failed",
        "status": status,
        "status_at": detected_at,
    }


def events_json(signal: str, priority: str, rule: int, message: str, **more: Any) -> dict[str, Any]:
    return {
        "signal_type": signal,
        "alert_priority": priority,
        "signal_rule": rule,
        "signal_message": message,
        "signal_strength": "STRONG",
        "entry_signal": False,
        "exit_signal": False,
        "notes": [],
        "steps": STEPS_PENDING,
        "expected_next": [],
        "sequence_position": 0,
        "pattern_completion_pct": 0.0,
        "bc_available_max": 24,
        "events": [],
        "range": None,
    } | more


ENTRY_JSON = events_json(
    "ENTRY_SIGNAL",
    "HIGH",
    2,
    "SPRING confirmed by SOS: accumulation complete, strong entry",
    entry_signal=True,
    steps=STEPS_PENDING
    | {
        "SC": detected("2026-03-02", 0.8),
        "AR": detected("2026-03-09", 0.7),
        "ST": {"status": "failed", "date": "2026-03-20", "confidence": 0.4},
        "SPRING": detected("2026-04-20", 0.85),
        "TEST": {"status": "in_progress", "date": None, "confidence": None},
        "SOS": detected("2026-05-01", 0.77),
    },
    events=[
        event("SC", "2026-03-02", "2026-03-05", 0.8),
        event("SPRING", "2026-04-20", "2026-04-21", 0.85),
        event("SOS", "2026-05-01", "2026-05-01", 0.77),
    ],
    expected_next=["BU", "LPS"],
    sequence_position=6,
    pattern_completion_pct=0.8333,
    bc_signals={
        "parabolic_price": {"points": 2},
        "volume_explosion": {"points": 3},
        "wide_range_weak_close": {"points": 0},
        "overbought": {"points": 0},
        "volume_divergence": {"points": 0},
        "behaviour_at_highs": {"points": 0},
        "sentiment_extreme": {"points": None, "reason": "no options sentiment for this symbol and window"},
    },
    spring_signals={"support_break": 3, "quick_recovery": 3, "low_volume": 2, "bullish_close": 2},
    range={
        "support": 262.0,
        "resistance": 281.0,
        "born_at": "2026-03-09",
        "side": "accumulation",
        "bars": 40,
    },
)
DEALER_JSON = {
    "sign_convention": "calls +, puts -",
    "usability": "full",
    "spot": 284.0,
    "contracts": 4,
    "contracts_eligible": 3,
    "contracts_excluded": {"not_standard": 1, "not_live": 0},
}
VOLATILITY_JSON = {"spot": 284.0, "iv_history_sessions": 3}

SNAPSHOTS: dict[tuple[str, date], dict[str, Any]] = {
    ("NVDA", SESSION): {
        "wyckoff_phase": "D",
        "phase_confidence": 0.7,
        "primary_event": "BC",
        "primary_event_confidence": 0.9,
        "events_detected": ["BC"],
        "bc_score": 25,
        "spring_score": 0,
        "data_quality": "complete",
        "vsi": 3.1,
        "events_json": events_json(
            "EXIT_CRITICAL",
            "CRITICAL",
            1,
            BC_ALERT,
            exit_signal=True,
            bc_available_max=28,
            events=[event("BC", "2026-05-01", "2026-05-04", 0.9)],
        ),
    },
    ("NVDA", EARLIER): {
        "wyckoff_phase": "B",
        "phase_confidence": 0.6,
        "bc_score": 14,
        "spring_score": 0,
        "data_quality": "complete",
        "events_json": events_json("NEUTRAL", "INFO", 9, "No actionable signal"),
    },
    ("AAPL", EARLIER): {
        "wyckoff_phase": "A",
        "phase_confidence": 0.6,
        "bc_score": 3,
        "spring_score": 8,
        "data_quality": "complete",
        "events_json": events_json(
            "ACCUMULATION", "LOW", 8, "SC, AR active: accumulation building, no entry yet"
        ),
    },
    ("AAPL", SESSION): {
        "wyckoff_phase": "A",
        "phase_confidence": 0.65,
        "phase_sub_stage": "strength",
        "primary_event": "SOS",
        "primary_event_confidence": 0.77,
        "events_detected": ["SC", "AR", "SPRING", "SOS"],
        "bc_score": 5,
        "spring_score": 10,
        "data_quality": "complete",
        "events_json": ENTRY_JSON,
        "rsi_14": 61.2,
        "sma_50": 271.4,
        "gex_net": 1.234e9,
        "gex_total": 2.5e9,
        "dgpi": 42.0,
        "dealer_position": "long_gamma",
        "gamma_flip_level": 276.5,
        "call_wall_primary": 290,
        "call_wall_primary_oi": 15000,
        "put_wall_primary": 270,
        "put_wall_primary_oi": 9000,
        "average_iv": 0.284,
        "rvol": 1.7,
        "vsi": 1.1,
        "hv_20": 0.221,
        "iv_hv_diff": 0.063,
        "dealer_metrics_json": DEALER_JSON,
        "volatility_metrics_json": VOLATILITY_JSON,
        "price_metrics_json": {"missing": {}},
        "technical_indicators_json": {"rsi": 61.2, "kama": None},
    },
    ("AMD", SESSION): {
        "bc_score": None,
        "spring_score": None,
        "data_quality": "partial",
        "events_json": events_json(
            "NEUTRAL",
            "INFO",
            9,
            "No actionable signal",
            notes=["bc_score missing"],
            missing_inputs=["no bars"],
        ),
        "dealer_metrics_json": {"sign_convention": "calls +, puts -", "usability": "invalid", "spot": None},
        "volatility_metrics_json": {"spot": None, "iv_history_sessions": 0},
    },
    ("EVIL", SESSION): {
        "wyckoff_phase": "C",
        "phase_confidence": 0.4,
        "primary_event": "<img src=x>",
        "data_quality": "stale",
        "bc_score": 21,
        "spring_score": 1,
        "events_json": events_json(
            "EXIT_WARNING",
            "MEDIUM",
            4,
            HOSTILE,
            notes=[HOSTILE],
            expected_next=[HOSTILE],
            missing_inputs=[HOSTILE],
        ),
    },
}


def insert(connection: psycopg.Connection[Any], table: str, **values: Any) -> None:
    wrapped = {key: Jsonb(value) if isinstance(value, dict) else value for key, value in values.items()}
    names, marks = ", ".join(wrapped), ", ".join(f"%({key})s" for key in wrapped)
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", wrapped)


def _tickers(connection: psycopg.Connection[Any]) -> None:
    connection.execute("DELETE FROM portfolio_tickers")
    connection.execute("DELETE FROM portfolios")
    insert(connection, "tickers", symbol="EVIL", name=HOSTILE, sector=HOSTILE)
    for name, symbols in (
        ("Core", {"AAPL": "P1", "NVDA": "P1"}),
        (HOSTILE, {"EVIL": "P1", "AMD": "P2", "MU": "P2"}),
    ):
        insert(connection, "portfolios", name=name, description=HOSTILE)
        for symbol, priority in symbols.items():
            connection.execute(
                "INSERT INTO portfolio_tickers (portfolio_id, ticker_id, priority) "
                "SELECT p.id, t.id, %s FROM portfolios p, tickers t WHERE p.name = %s AND t.symbol = %s",
                (priority, name, symbol),
            )


def _bars(connection: psycopg.Connection[Any]) -> None:
    sessions = calendar.sessions_between(SESSION - timedelta(days=240), SESSION)
    for month in {day.replace(day=1) for day in sessions}:
        connection.execute("SELECT ensure_partition('ohlcv_daily', %s)", (month,))
    for i, day in enumerate(sessions):
        # a 2-for-1 split before 2026-03-16: what traded before it stands at twice the price
        factor = 2.0 if day < date(2026, 3, 16) else 1.0
        close = factor * (284.0 - 0.25 * (len(sessions) - 1 - i) + (3.0 if i % 7 == 0 else 0.0))
        if day == SESSION:
            close = 284.0
        insert(
            connection,
            "ohlcv_daily",
            time=calendar.session_time(day),
            symbol="AAPL",
            open=close - 1,
            high=close + 2,
            low=close - 2,
            close=close,
            volume=1e6 + 1000 * i,
            source="flatfile",
        )
    insert(
        connection,
        "splits",
        symbol="AAPL",
        execution_date=date(2026, 3, 16),
        split_from=1,
        split_to=2,
        source="vendor",
    )


def _chain(connection: psycopg.Connection[Any]) -> None:
    connection.execute("SELECT ensure_partition('options_chains', %s)", (SESSION,))
    for strike in (270.0, 280.0, 290.0, 300.0):
        for kind, letter, delta in (("call", "C", 0.5), ("put", "P", -0.5)):
            contract = f"O:AAPL260619{letter}{int(strike * 1000):08d}"
            insert(
                connection,
                "options_chains",
                time=calendar.session_time(SESSION),
                symbol="AAPL",
                contract=contract,
                expiration=EXPIRY,
                strike=strike,
                option_type=kind,
                bid=8.2,
                ask=8.5,
                close=8.1,
                volume=120,
                open_interest=15000,
                implied_volatility=0.284,
                delta=delta,
                gamma=0.02,
                theta=-0.1,
                vega=0.3,
                shares_per_contract=100,
                last_session=SESSION,
                is_standard=True,
                is_live=True,
                greeks_source="vendor",
            )
            insert(
                connection,
                "option_contracts",
                contract=contract,
                symbol="AAPL",
                expiration=EXPIRY,
                strike=strike,
                option_type=kind,
                shares_per_contract=100,
                is_standard=True,
                first_session=SESSION,
            )


def recommendation_id(symbol: str) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_URL, f"kapman-test/{symbol}")


def _recommend(connection: psycopg.Connection[Any], symbol: str, **values: Any) -> None:
    base: dict[str, Any] = {
        "id": recommendation_id(symbol),
        "snapshot_time": calendar.session_time(SESSION),
        "snapshot_symbol": symbol,
        "symbol": symbol,
        "recommendation_date": SESSION,
        "direction": "NEUTRAL",
        "action": "NO_TRADE",
        "confidence": 0.0,
        "justification": f"NO_TRADE in {symbol}",
        "provider": "rules",
        "model_version": "rules-1",
        "rule_trace": Jsonb([]),
        "alternatives": Jsonb([]),
        "missing_data": Jsonb([]),
        "evidence": {},
    }
    insert(connection, "recommendations", **base | values)


def _recommendations(connection: psycopg.Connection[Any]) -> None:
    _recommend(
        connection,
        "AAPL",
        direction="LONG",
        action="ENTER",
        confidence=0.74,
        p_direction=0.56,
        justification="ENTER LONG AAPL (session 2026-05-05).",
        entry_price_target=284.0,
        stop_loss=274.5,
        profit_target=310.0,
        option_strategy="LONG_CALL",
        option_strike=290,
        option_expiration=EXPIRY,
        option_type="call",
        candidate_id="C01",
        breakeven=298.35,
        max_loss=835,
        rule_trace=Jsonb(
            [
                {
                    "rule_id": "WYC-SIGNAL",
                    "outcome": "fired",
                    "numbers": {"bc_score": 5},
                    "sentence": "SPRING and SOS.",
                },
                {
                    "rule_id": "VOL-IV-RANK",
                    "outcome": "missing",
                    "numbers": {"iv_rank": None},
                    "sentence": "IV rank unknown.",
                },
                {
                    "rule_id": "DLR-WALL",
                    "outcome": "vetoed",
                    "numbers": {"call_wall": 290.0},
                    "sentence": "The wall is near.",
                    "remedy": "the price closes above the call wall",
                },
            ]
        ),
        alternatives=Jsonb(
            [{"candidate_id": "C02", "strategy": "VERTICAL_SPREAD", "reason": "ranked below the choice"}]
        ),
        missing_data=Jsonb(["iv_rank"]),
        what_would_change="a close beyond the stop at $274.50 proves the entry wrong",
        evidence={"spot": 284.0, "p_direction_basis": "base rate of SOS in phase A, n = 212", "bc_score": 5},
    )
    insert(
        connection,
        "recommendation_legs",
        recommendation_id=recommendation_id("AAPL"),
        leg=1,
        symbol="AAPL",
        recommendation_date=SESSION,
        contract=CALL,
        expiration=EXPIRY,
        strike=290.0,
        option_type="call",
        side="buy",
        quantity=1,
        price=(8.2 + 8.5) / 2,
        price_source="mid",
        price_session=SESSION,
    )
    insert(
        connection,
        "recommendation_outcomes",
        id=uuid.uuid4(),
        recommendation_id=recommendation_id("AAPL"),
        horizon="5",
        evaluation_date=date(2026, 5, 12),
        underlying_return=0.031,
        direction_correct=True,
        directional_brier=0.1936,
        predicted_confidence=0.56,
        outcome_status="WIN",
        missing_data=Jsonb([HOSTILE]),
    )
    _recommend(
        connection, "NVDA", action="EXIT", confidence=1.0, justification="EXIT NVDA: close all positions."
    )
    _recommend(connection, "AMD", missing_data=Jsonb(["spot"]), what_would_change="bars for AMD are stored")
    _recommend(
        connection,
        "EVIL",
        action="WAIT",
        justification=HOSTILE,
        what_would_change=HOSTILE,
        rule_trace=Jsonb(
            [{"rule_id": HOSTILE, "outcome": "vetoed", "numbers": {HOSTILE: HOSTILE}, "sentence": HOSTILE}]
        ),
        alternatives=Jsonb([{"candidate_id": HOSTILE, "strategy": HOSTILE, "reason": HOSTILE}]),
        missing_data=Jsonb([HOSTILE]),
        evidence={HOSTILE: HOSTILE, "p_direction_basis": HOSTILE},
    )


def fill(database: Database) -> None:
    """The whole market, in one transaction."""
    with database.transaction() as connection:
        _tickers(connection)
        _bars(connection)
        _chain(connection)
        connection.execute("SELECT ensure_partition('daily_snapshots', %s)", (SESSION,))
        for (symbol, session), values in SNAPSHOTS.items():
            insert(
                connection,
                "daily_snapshots",
                time=calendar.session_time(session),
                symbol=symbol,
                model_version="test-1",
                **values,
            )
        connection.execute(
            "UPDATE tickers SET last_analysis_date = %s WHERE symbol = ANY (%s)",
            (SESSION, sorted({symbol for symbol, _ in SNAPSHOTS})),
        )
        _recommendations(connection)
        insert(
            connection,
            "load_manifest",
            dataset="ohlcv_daily",
            session_date=SESSION,
            source="flatfile",
            row_count=1,
            data_label="SIMULATED",
        )
        for stage, state, error in (("ohlcv_daily", "succeeded", None), ("outcomes", "failed", HOSTILE)):
            insert(
                connection,
                "job_runs",
                run_id="run-1",
                job_name="daily",
                stage=stage,
                first_session=SESSION,
                last_session=SESSION,
                state=state,
                error=error,
                row_count=1,
            )
