"""The indicator surface as data: 43 indicators, their parameters and their 84 outputs, in one fixed order.

Names and parameters follow the PyPI package `ta` 0.11.0. Does not belong here: formulas.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kapman_metrics.indicators import momentum, others, psar, trend, volatility, volume
from kapman_metrics.indicators.panel import Array


@dataclass(frozen=True)
class Indicator:
    """One indicator: `formula(panel, **params)` returns the arrays named by `outputs`.

    `memory`: bars that decide the latest value; None when every bar since the symbol's first (or the anchor)
    does.
    """

    name: str
    category: str
    formula: Callable[..., tuple[Array, ...]]
    outputs: tuple[str, ...]
    params: dict[str, float]
    memory: int | None


# The surface leaves the window of `sma` open and `ta` has no default for it: 20, the snapshot's shortest
# average.
INDICATORS: tuple[Indicator, ...] = (
    # momentum
    Indicator(
        "awesome_oscillator",
        "momentum",
        momentum.awesome_oscillator,
        ("awesome_oscillator",),
        {"window1": 5, "window2": 34},
        34,
    ),
    Indicator("kama", "momentum", momentum.kama, ("kama",), {"window": 10, "pow1": 2, "pow2": 30}, None),
    Indicator(
        "ppo",
        "momentum",
        momentum.ppo,
        ("ppo", "ppo_signal", "ppo_hist"),
        {"window_slow": 26, "window_fast": 12, "window_sign": 9},
        None,
    ),
    Indicator(
        "pvo",
        "momentum",
        momentum.pvo,
        ("pvo", "pvo_signal", "pvo_hist"),
        {"window_slow": 26, "window_fast": 12, "window_sign": 9},
        None,
    ),
    Indicator("roc", "momentum", momentum.roc, ("roc",), {"window": 12}, 13),
    Indicator("rsi", "momentum", momentum.rsi, ("rsi",), {"window": 14}, None),
    Indicator(
        "stochrsi",
        "momentum",
        momentum.stochrsi,
        ("stochrsi", "stochrsi_k", "stochrsi_d"),
        {"window": 14, "smooth1": 3, "smooth2": 3},
        None,
    ),
    Indicator(
        "stoch", "momentum", momentum.stoch, ("stoch", "stoch_signal"), {"window": 14, "smooth_window": 3}, 16
    ),
    Indicator("tsi", "momentum", momentum.tsi, ("tsi",), {"window_slow": 25, "window_fast": 13}, None),
    Indicator(
        "ultimate_oscillator",
        "momentum",
        momentum.ultimate_oscillator,
        ("ultimate_oscillator",),
        {"window1": 7, "window2": 14, "window3": 28, "weight1": 4.0, "weight2": 2.0, "weight3": 1.0},
        29,
    ),
    Indicator("williams_r", "momentum", momentum.williams_r, ("williams_r",), {"lbp": 14}, 14),
    # volatility
    Indicator("atr", "volatility", volatility.atr, ("average_true_range",), {"window": 14}, None),
    Indicator(
        "bbands",
        "volatility",
        volatility.bbands,
        (
            "bollinger_hband",
            "bollinger_lband",
            "bollinger_mavg",
            "bollinger_pband",
            "bollinger_wband",
            "bollinger_hband_indicator",
            "bollinger_lband_indicator",
        ),
        {"window": 20, "window_dev": 2},
        20,
    ),
    Indicator(
        "donchian",
        "volatility",
        volatility.donchian,
        (
            "donchian_channel_hband",
            "donchian_channel_lband",
            "donchian_channel_mband",
            "donchian_channel_pband",
            "donchian_channel_wband",
        ),
        {"window": 20},
        20,
    ),
    Indicator(
        "keltner",
        "volatility",
        volatility.keltner,
        (
            "keltner_channel_hband",
            "keltner_channel_lband",
            "keltner_channel_mband",
            "keltner_channel_pband",
            "keltner_channel_wband",
            "keltner_channel_hband_indicator",
            "keltner_channel_lband_indicator",
        ),
        {"window": 20, "window_atr": 10},
        20,
    ),
    Indicator("ulcer_index", "volatility", volatility.ulcer_index, ("ulcer_index",), {"window": 14}, 27),
    # trend
    Indicator("adx", "trend", trend.adx, ("adx", "adx_pos", "adx_neg"), {"window": 14}, None),
    Indicator(
        "aroon", "trend", trend.aroon, ("aroon_up", "aroon_down", "aroon_indicator"), {"window": 25}, 26
    ),
    Indicator("cci", "trend", trend.cci, ("cci",), {"window": 20, "constant": 0.015}, 20),
    Indicator("dpo", "trend", trend.dpo, ("dpo",), {"window": 20}, 20),
    Indicator("ema", "trend", trend.ema_indicator, ("ema_indicator",), {"window": 14}, None),
    Indicator(
        "ichimoku",
        "trend",
        trend.ichimoku,
        ("ichimoku_conversion_line", "ichimoku_base_line", "ichimoku_a", "ichimoku_b"),
        {"window1": 9, "window2": 26, "window3": 52},
        52,
    ),
    Indicator(
        "kst",
        "trend",
        trend.kst,
        ("kst", "kst_sig", "kst_diff"),
        {
            "roc1": 10,
            "roc2": 15,
            "roc3": 20,
            "roc4": 30,
            "window1": 10,
            "window2": 10,
            "window3": 10,
            "window4": 15,
            "nsig": 9,
        },
        53,
    ),
    Indicator(
        "macd",
        "trend",
        trend.macd,
        ("macd", "macd_signal", "macd_diff"),
        {"window_slow": 26, "window_fast": 12, "window_sign": 9},
        None,
    ),
    Indicator(
        "mass_index", "trend", trend.mass_index, ("mass_index",), {"window_fast": 9, "window_slow": 25}, None
    ),
    Indicator(
        "psar",
        "trend",
        psar.psar,
        ("psar", "psar_up", "psar_down", "psar_up_indicator", "psar_down_indicator"),
        {"step": 0.02, "max_step": 0.2},
        None,
    ),
    Indicator("sma", "trend", trend.sma, ("sma_indicator",), {"window": 20}, 20),
    Indicator(
        "stc",
        "trend",
        trend.stc,
        ("stc",),
        {"window_slow": 50, "window_fast": 23, "cycle": 10, "smooth1": 3, "smooth2": 3},
        None,
    ),
    Indicator("trix", "trend", trend.trix, ("trix",), {"window": 15}, None),
    Indicator(
        "vortex",
        "trend",
        trend.vortex,
        ("vortex_indicator_pos", "vortex_indicator_neg", "vortex_indicator_diff"),
        {"window": 14},
        15,
    ),
    Indicator("wma", "trend", trend.wma, ("wma",), {"window": 9}, 9),
    # volume
    Indicator("adi", "volume", volume.adi, ("acc_dist_index",), {}, None),
    Indicator("cmf", "volume", volume.cmf, ("chaikin_money_flow",), {"window": 20}, 20),
    Indicator("eom", "volume", volume.eom, ("ease_of_movement", "sma_ease_of_movement"), {"window": 14}, 15),
    Indicator("fi", "volume", volume.fi, ("force_index",), {"window": 13}, None),
    Indicator("mfi", "volume", volume.mfi, ("money_flow_index",), {"window": 14}, 15),
    Indicator("nvi", "volume", volume.nvi, ("negative_volume_index",), {}, None),
    Indicator("obv", "volume", volume.obv, ("on_balance_volume",), {}, None),
    Indicator("vpt", "volume", volume.vpt, ("volume_price_trend",), {}, None),
    Indicator("vwap", "volume", volume.vwap, ("volume_weighted_average_price",), {"window": 14}, 14),
    # others
    Indicator("cr", "others", others.cr, ("cumulative_return",), {}, None),
    Indicator("dlr", "others", others.dlr, ("daily_log_return",), {}, 2),
    Indicator("dr", "others", others.dr, ("daily_return",), {}, 2),
)

SURFACE: tuple[str, ...] = tuple(output for indicator in INDICATORS for output in indicator.outputs)

# the averages of the snapshot's own columns
AVERAGE_INDICATORS: tuple[Indicator, ...] = (
    Indicator("sma_20", "average", trend.sma, ("sma_20",), {"window": 20}, 20),
    Indicator("sma_50", "average", trend.sma, ("sma_50",), {"window": 50}, 50),
    Indicator("sma_200", "average", trend.sma, ("sma_200",), {"window": 200}, 200),
    Indicator("ema_12", "average", trend.ema_indicator, ("ema_12",), {"window": 12}, None),
    Indicator("ema_26", "average", trend.ema_indicator, ("ema_26",), {"window": 26}, None),
)
AVERAGES: tuple[str, ...] = tuple(indicator.name for indicator in AVERAGE_INDICATORS)
