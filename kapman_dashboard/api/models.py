"""Response models of the API. Units: prices USD, probabilities and IVs decimals, sessions ISO dates."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """Rows hold more columns than a model shows; those are left out."""

    model_config = ConfigDict(extra="ignore", from_attributes=False)


class Problem(Model):
    """RFC 9457 problem document."""

    type: str
    title: str
    status: int
    detail: str


class Ticker(Model):
    symbol: str
    name: str | None
    sector: str | None
    universe_tier: str
    is_active: bool
    options_enabled: bool
    first_ohlcv_date: date | None
    last_ohlcv_date: date | None
    last_analysis_date: date | None
    watch_priority: str | None
    portfolio_names: list[str]


class TickerWithSnapshot(Ticker):
    """`snapshot` holds every stored column of the newest snapshot as of the session, null without one."""

    snapshot: dict[str, Any] | None


class Snapshot(Model):
    session: date
    symbol: str
    wyckoff_phase: str | None
    phase_confidence: float | None
    events_detected: list[str]
    primary_event: str | None
    primary_event_confidence: float | None
    bc_score: int | None
    bc_available_max: int | None
    spring_score: int | None
    signal_type: str | None
    alert_priority: str | None
    signal_message: str | None
    rsi_14: float | None
    rvol: float | None
    vsi: float | None
    hv_20: float | None
    average_iv: float | None
    iv_rank: float | None
    gex_net: float | None
    dgpi: float | None
    gamma_flip_level: float | None
    call_wall_primary: float | None
    put_wall_primary: float | None
    data_quality: str
    model_version: str


class Contract(Model):
    contract: str
    expiration: date
    strike: float
    option_type: str
    bid: float | None
    ask: float | None
    last: float | None
    close: float | None
    volume: float | None
    open_interest: float | None
    implied_volatility: float | None
    delta: float | None
    gamma: float | None
    theta: float | None
    vega: float | None
    shares_per_contract: float
    last_session: date | None
    is_standard: bool
    is_live: bool
    greeks_source: str | None


class Expiration(Model):
    expiration: date
    days: int
    contracts: int


class Chain(Model):
    """The newest chain as of the session; `session` null and no contracts when none is stored."""

    symbol: str
    session: date | None
    expirations: list[Expiration]
    contracts: list[Contract]


class Leg(Model):
    leg: int
    contract: str
    expiration: date
    strike: float
    option_type: str
    side: str
    quantity: int
    price: float
    price_source: str
    price_session: date


class Recommendation(Model):
    """`confidence` ranks within the session, `p_direction` is the probability; levels: the underlying's."""

    id: UUID
    symbol: str
    recommendation_date: date
    action: str
    direction: str
    option_strategy: str | None
    candidate_id: str | None
    legs: list[Leg]
    confidence: float
    p_direction: float | None
    p_direction_basis: str | None
    justification: str
    entry_price_target: float | None
    stop_loss: float | None
    profit_target: float | None
    breakeven: float | None
    max_loss: float | None
    max_gain: float | None
    status: str
    provider: str
    model_version: str


class Outcome(Model):
    horizon: str
    evaluation_date: date
    entry_price_actual: float | None
    exit_price_actual: float | None
    exit_reason: str | None
    direction_correct: bool | None
    directional_brier: float | None
    underlying_return: float | None
    option_pnl: float | None
    option_price_source: str | None
    mfe: float | None
    mae: float | None
    success_score_v1: float | None
    outcome_status: str | None
    missing_data: list[Any]


class RecommendationDetail(Recommendation):
    rule_trace: list[dict[str, Any]]
    alternatives: list[dict[str, Any]]
    missing_data: list[Any]
    what_would_change: str | None
    evidence: dict[str, Any]
    outcomes: list[Outcome]


class PortfolioTicker(Model):
    symbol: str
    priority: str


class Portfolio(Model):
    id: int
    name: str
    description: str | None
    tickers: list[PortfolioTicker]


class Alert(Model):
    symbol: str
    session: date
    signal_type: str | None
    alert_type: str
    alert_value: float | None
    alert_message: str | None
    alert_priority: str | None
    is_current: bool


class Event(Model):
    symbol: str
    event: str | None
    event_date: date | None
    detected_at: date | None
    confidence: float | None
    price_level: float | None
    volume_ratio: float | None
    status: str | None
    description: str | None


class Run(Model):
    run_id: str
    job_name: str
    state: str
    started_at: datetime
    finished_at: datetime | None
    first_session: date | None
    last_session: date | None
    stages: list[dict[str, Any]]


class Summary(Model):
    """Counts of what Today shows for the session."""

    session: date
    newest_session: date
    expected_session: date
    age_in_sessions: int | None
    data_labels: list[str]
    symbols: int
    by_signal: dict[str, int]
    by_quality: dict[str, int]
    advice: dict[str, int]
    critical: list[str]
