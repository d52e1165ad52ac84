"""The metrics of a ticker page: column, name, unit, formula, and why one is missing.

Names and reasons only; the numbers and the reasons' facts were stored by the pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kapman_dashboard import formats

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Metric:
    """One line of a metric table; `show` turns the stored value into text without its unit."""

    key: str
    label: str
    unit: str
    show: Callable[[Any], str]
    formula: str = ""


@dataclass(frozen=True)
class Group:
    name: str
    title: str
    document: str
    metrics: tuple[Metric, ...]


@dataclass(frozen=True)
class MetricLine:
    """A metric of one snapshot as printed; `reason` says why the value is missing, if that is stored."""

    metric: Metric
    text: str
    reason: str | None

    @property
    def is_missing(self) -> bool:
        return self.text == formats.MISSING


def _points(value: Any) -> str:
    return formats.fixed(value, 1)


def _ratio(value: Any) -> str:
    return formats.fixed(value, 2)


def _signed(value: Any) -> str:
    return formats.fixed(value, 1, signed=True)


def _share(value: Any) -> str:
    return formats.percent(value).removesuffix(" %")


def _signed_share(value: Any) -> str:
    return formats.percent(value, signed=True).removesuffix(" %")


def _money(value: Any) -> str:
    return formats.compact(value)


def _signed_money(value: Any) -> str:
    return formats.compact(value, signed=True)


def _word(value: Any) -> str:
    return formats.MISSING if value is None else str(value).replace("_", " ")


P, USD, PCT, GEX = formats.price, "USD", "%", "USD per 1 % move"
GROUPS: tuple[Group, ...] = (
    Group(
        "technical",
        "Technical",
        "technical_indicators_json",
        (
            Metric("rsi_14", "RSI (14)", "0-100", _points, "Wilder's relative strength over 14 sessions"),
            Metric("macd_line", "MACD line", USD, _ratio, "EMA(12) - EMA(26) of the close"),
            Metric("macd_signal", "MACD signal", USD, _ratio, "EMA(9) of the MACD line"),
            Metric("macd_histogram", "MACD histogram", USD, _ratio, "MACD line - signal"),
            Metric(
                "stoch_k", "Stochastic %K", "0-100", _points, "Place of the close in the 14-session range"
            ),
            Metric("stoch_d", "Stochastic %D", "0-100", _points, "3-session mean of %K"),
            Metric("mfi_14", "Money flow (14)", "0-100", _points, "RSI of price times volume"),
            Metric("adx_14", "ADX (14)", "0-100", _points, "Strength of the trend, without its direction"),
            Metric("atr_14", "ATR (14)", USD, P, "Wilder's mean true range"),
            Metric("sma_20", "SMA 20", USD, P, "Mean close of 20 sessions"),
            Metric("sma_50", "SMA 50", USD, P, "Mean close of 50 sessions"),
            Metric("sma_200", "SMA 200", USD, P, "Mean close of 200 sessions"),
            Metric("ema_12", "EMA 12", USD, P, "Exponential mean close, span 12"),
            Metric("ema_26", "EMA 26", USD, P, "Exponential mean close, span 26"),
            Metric("bbands_upper", "Bollinger upper", USD, P, "SMA 20 + 2 standard deviations"),
            Metric("bbands_middle", "Bollinger middle", USD, P, "SMA 20"),
            Metric("bbands_lower", "Bollinger lower", USD, P, "SMA 20 - 2 standard deviations"),
            Metric("bbands_width", "Bollinger width", PCT, _points, "(upper - lower) / middle x 100"),
            Metric(
                "obv", "On-balance volume", "shares", _money, "Volume signed by the day's direction, summed"
            ),
            Metric(
                "vwap", "VWAP", USD, P, "Volume-weighted mean price of the session, where the vendor has it"
            ),
        ),
    ),
    Group(
        "dealer",
        "Dealer positioning",
        "dealer_metrics_json",
        (
            Metric("dealer_position", "Position", "", _word, "neutral while |DGPI| < 10, else by its sign"),
            Metric("dgpi", "DGPI", "-100…+100", _signed, "Net share of dealer gamma near the price"),
            Metric(
                "gex_net",
                "Net gamma exposure",
                GEX,
                _signed_money,
                "Signed sum of gamma x OI x shares x spot² x 0.01",
            ),
            Metric(
                "gex_total", "Total gamma exposure", GEX, _money, "The same, all contracts counted positive"
            ),
            Metric(
                "gamma_flip_level", "Gamma flip", USD, P, "Price nearest spot at which net exposure is zero"
            ),
            Metric(
                "call_wall_primary",
                "Call wall",
                USD,
                P,
                "Strike at or above spot with the most call OI, within 20 %",
            ),
            Metric(
                "call_wall_primary_oi",
                "Call wall OI",
                "contracts",
                formats.whole,
                "Open interest at the call wall",
            ),
            Metric(
                "put_wall_primary",
                "Put wall",
                USD,
                P,
                "Strike at or below spot with the most put OI, within 20 %",
            ),
            Metric(
                "put_wall_primary_oi",
                "Put wall OI",
                "contracts",
                formats.whole,
                "Open interest at the put wall",
            ),
        ),
    ),
    Group(
        "volatility",
        "Volatility",
        "volatility_metrics_json",
        (
            Metric(
                "average_iv", "Average IV", PCT, _share, "OI-weighted, DTE ≥ 7, strikes within 20 % of spot"
            ),
            Metric("iv_rank", "IV rank", "0-100", _points, "Place between the low and high of 252 sessions"),
            Metric(
                "iv_percentile", "IV percentile", "0-100", _points, "Share of 252 sessions with a lower IV"
            ),
            Metric(
                "volatility_regime",
                "Regime",
                "",
                _word,
                "Percentile: <25 low, <75 normal, <95 high, else extreme",
            ),
            Metric(
                "iv_skew_25d",
                "25-delta skew",
                "vol points",
                _signed_share,
                "IV of the 25-delta put - the call, 30 days",
            ),
            Metric(
                "iv_term_structure",
                "Term structure",
                "vol points",
                _signed_share,
                "ATM IV at 90 days - at 30; + is contango",
            ),
            Metric("iv_hv_diff", "IV - HV 20", "vol points", _signed_share, "average IV - HV 20"),
            Metric("put_call_ratio_oi", "Put/call, OI", "ratio", _ratio, "Open interest of puts over calls"),
            Metric(
                "put_call_ratio_volume",
                "Put/call, volume",
                "ratio",
                _ratio,
                "The session's volume of puts over calls",
            ),
        ),
    ),
    Group(
        "price",
        "Price and volume",
        "price_metrics_json",
        (
            Metric(
                "rvol", "Relative volume", "x", _ratio, "Volume over its mean of the previous 20 sessions"
            ),
            Metric(
                "vsi",
                "Volume surge",
                "std dev",
                _signed,
                "z-score of volume against the previous 20 sessions",
            ),
            Metric("hv_20", "HV 20", PCT, _share, "Standard deviation of 20 log returns x √252"),
            Metric("hv_60", "HV 60", PCT, _share, "Standard deviation of 60 log returns x √252"),
            Metric("price_vs_sma20", "vs SMA 20", PCT, _signed_share, "close / SMA 20 - 1"),
            Metric("price_vs_sma50", "vs SMA 50", PCT, _signed_share, "close / SMA 50 - 1"),
            Metric("price_vs_sma200", "vs SMA 200", PCT, _signed_share, "close / SMA 200 - 1"),
        ),
    ),
)

_EXCLUSIONS = {
    "not_standard": "not standard",
    "not_live": "not live",
    "days_to_expiry": "beyond 90 days",
    "no_gamma": "without gamma",
    "no_open_interest": "without open interest",
    "no_spot": "without a spot price",
}
_FROM_CHAINS = ("dealer", "volatility")


def document(row: Row, name: str) -> Mapping[str, Any]:
    """A stored JSON document, empty when it is not stored or no object."""
    found = row.get(name)
    return found if isinstance(found, Mapping) else {}


def lines(snapshot: Row, group: Group) -> list[MetricLine]:
    found = []
    for metric in group.metrics:
        text = metric.show(snapshot.get(metric.key))
        reason = _reason(snapshot, group, metric.key) if text == formats.MISSING else None
        found.append(MetricLine(metric, text, reason))
    return found


def _reason(snapshot: Row, group: Group, key: str) -> str | None:
    stored = document(snapshot, group.document)
    if not stored:
        return f"no {'option chain' if group.name in _FROM_CHAINS else 'bar'} for this session"
    if group.name in _FROM_CHAINS and "spot" in stored and stored["spot"] is None:
        return "the symbol has no bar for this session, so there is no spot price"
    if key == "vwap":
        return "not in the vendor's flat file"
    if key in ("iv_rank", "iv_percentile"):
        sessions = stored.get("iv_history_sessions")
        return (
            f"{sessions} stored sessions of IV, 20 needed"
            if isinstance(sessions, int) and sessions < 20
            else None
        )
    if key == "gamma_flip_level" and snapshot.get("gex_net") is not None:
        return "net exposure keeps its sign within 25 % of spot"
    if group.name not in _FROM_CHAINS:
        return next((text for text in missing_inputs(snapshot) if "of history" in text), None)
    return None


def excluded_contracts(snapshot: Row) -> str | None:
    """'412 of 1,240 contracts count; left out: 700 beyond 90 days, ...' from the dealer document."""
    stored = document(snapshot, "dealer_metrics_json")
    if "contracts" not in stored:
        return None
    left_out = [
        f"{formats.whole(count)} {_EXCLUSIONS.get(name, name)}"
        for name, count in document(stored, "contracts_excluded").items()
        if count
    ]
    tail = f"; left out: {', '.join(left_out)}" if left_out else ""
    eligible = formats.whole(stored.get("contracts_eligible"))
    return f"{eligible} of {formats.whole(stored['contracts'])} contracts count{tail}"


def missing_inputs(snapshot: Row) -> list[str]:
    """Why a snapshot is partial or stale, as the pipeline wrote it into events_json."""
    found = document(snapshot, "events_json").get("missing_inputs")
    return [str(item) for item in found] if isinstance(found, list) else []
