"""What an AI client is told about each tool: units, sign conventions, what null means.

Does not belong here: what a tool does (tools).
"""

from __future__ import annotations

from kapman_metrics.indicators import SURFACE
from kapman_resources.metrics.wire import SYMBOLS_PER_CALL
from kapman_resources.screener import COLUMNS

_OTHER_COLUMNS = [name for name in COLUMNS if name not in SURFACE]

INSTRUCTIONS = """Kapman: decision support for a swing trader of US equity options. Read only.
Every number belongs to a session (a New York trading day, YYYY-MM-DD) and was computed from data stored up to that
session's close; without `session` the newest analysed session is meant. null means not known, never zero. Prices are
USD; volatilities, spreads and ratios are decimals (0.35 = 35 %). Gamma exposure is in dollars of delta per 1 % move,
calls counted +, puts -. An answer that carries `data` (SIMULATED, RECORDED) does not come from the real market.
Kapman advises, it never trades; its advice is not investment advice."""

_METRICS = f"""
Give `symbol` or up to {SYMBOLS_PER_CALL} `symbols`, and the exact `session`. The answer holds for each symbol `metrics`
(the snapshot's columns), `document` (the details) and `computed_from` (what the numbers rest on); metrics and document
are null, with a note, for a symbol without data."""

TOOLS = {
    "get_all_ta_indicators": """All 84 technical indicators at the session's close, on split-adjusted bars.
document: the 84 outputs by their names in the Python package ta 0.11 (rsi, macd, bollinger_hband, ...); metrics: those
of the snapshot besides sma_20/50/200, ema_12/26, vwap. Oscillators (rsi, stoch, mfi, adx) are 0-100; averages, bands,
ATR and MACD are USD; bbands_width is percent of the middle band; on_balance_volume is shares since the first session of
the previous calendar year. null while the history is too short; one of psar_up and psar_down is always null."""
    + _METRICS,
    "get_dealer_metrics": """Dealer positioning from the session's option chain (expiries of 0 to 90 days).
gex_total, gex_net: gamma x open interest x shares x spot^2 x 0.01, dollars of delta per 1 % move; sign convention:
calls +, puts - (dealers long the calls, short the puts). gamma_flip_level: price nearest to spot at which net exposure
crosses zero, null when it does not within 25 %. call_wall_primary / put_wall_primary: strike with the most open
interest at or above / below spot within 20 % (USD), *_oi in contracts. dgpi: -100 to +100, net share of gamma near the
price; dealer_position: neutral while |dgpi| < 10, else long_gamma or short_gamma. document: convention, eligible and
excluded contracts with reasons, sums by strike, usability grade."""
    + _METRICS,
    "get_volatility_metrics": """Implied volatility of the session's option chain.
average_iv: open-interest-weighted, decimal. iv_skew_25d: IV of the 25-delta put minus that of the 25-delta call
(positive: puts dearer). iv_term_structure: at-the-money IV at 90 days minus at 30 days (positive: contango). Put/call
ratios: put divided by call, null when the call side is 0. iv_rank, iv_percentile: 0-100 over the previous 252 sessions,
null below 20. volatility_regime: low, normal, high or extreme."""
    + _METRICS,
    "get_price_metrics": """Volume, realised volatility and distance from averages at the session's close.
rvol: volume divided by the mean of the 20 volumes before. vsi: standard deviations of the volume from that mean. hv_20,
hv_60: annualised standard deviation of log returns, decimal. price_vs_sma20/50/200: close / average - 1, decimal."""
    + _METRICS,
    "get_snapshot": """The stored snapshot of one symbol, the newest at or before `session`: Wyckoff phase and events,
indicators, dealer, volatility and price metrics, signal, data_quality (complete, partial, stale; what is missing stands
in events_json.missing_inputs). Confidences and scores phase_score, composite_score are 0 to 1, bc_score 0-28,
spring_score 0-12. The JSON documents with the details come only with `documents` = true.""",
    "get_alerts": """Alert conditions of the watchlist as of `session` (last 7 to 14 days), most urgent first.
is_current marks those of a symbol's newest snapshot.""",
    "get_recommendations": """Stored advice up to `session`, newest first, each with its option legs.
Prices per share in USD; max_loss and max_gain per unit of the strategy in USD; confidence and p_direction 0 to 1. Legs
name contracts that exist in the stored chain, with the price they were advised at.""",
    "screen": f"""Symbols of the whole market for which an expression is true, such as
"rsi < 30 and close > sma_200 and rvol > 2".
Columns: the 84 indicators by their names, {", ".join(_OTHER_COLUMNS)}; Wyckoff,
dealer and volatility columns are known of watchlist symbols only, and a comparison with a missing value is not true. A
fault is answered with its place in the expression. rows: symbol, close and the columns spoken of.""",
}
