"""All 84 outputs of one symbol as the `ta` package computes them; shared by the indicator tests."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import ta


def ta_outputs(
    high: pd.Series, low: pd.Series, close: pd.Series, volume: pd.Series, only: tuple[str, ...] | None = None
) -> dict[str, np.ndarray]:
    """Output name -> values (of `only`, all when None); an output that `ta` refuses for so short a series
    is NaN.
    """
    h, lo, c, v = high, low, close, volume
    m, t, b, vol = ta.momentum, ta.trend, ta.volatility, ta.volume
    makers = {
        ("awesome_oscillator",): lambda: m.AwesomeOscillatorIndicator(h, lo, 5, 34),
        ("kama",): lambda: m.KAMAIndicator(c, 10, 2, 30),
        ("ppo", "ppo_signal", "ppo_hist"): lambda: m.PercentagePriceOscillator(c, 26, 12, 9),
        ("pvo", "pvo_signal", "pvo_hist"): lambda: m.PercentageVolumeOscillator(v, 26, 12, 9),
        ("roc",): lambda: m.ROCIndicator(c, 12),
        ("rsi",): lambda: m.RSIIndicator(c, 14),
        ("stochrsi", "stochrsi_k", "stochrsi_d"): lambda: m.StochRSIIndicator(c, 14, 3, 3),
        ("stoch", "stoch_signal"): lambda: m.StochasticOscillator(h, lo, c, 14, 3),
        ("tsi",): lambda: m.TSIIndicator(c, 25, 13),
        ("ultimate_oscillator",): lambda: m.UltimateOscillator(h, lo, c, 7, 14, 28, 4.0, 2.0, 1.0),
        ("williams_r",): lambda: m.WilliamsRIndicator(h, lo, c, 14),
        ("average_true_range",): lambda: b.AverageTrueRange(h, lo, c, 14),
        tuple(
            f"bollinger_{x}"
            for x in ("hband", "lband", "mavg", "pband", "wband", "hband_indicator", "lband_indicator")
        ): lambda: b.BollingerBands(c, 20, 2),
        tuple(f"donchian_channel_{x}" for x in ("hband", "lband", "mband", "pband", "wband")): lambda: (
            b.DonchianChannel(h, lo, c, 20)
        ),
        tuple(
            f"keltner_channel_{x}"
            for x in ("hband", "lband", "mband", "pband", "wband", "hband_indicator", "lband_indicator")
        ): lambda: b.KeltnerChannel(h, lo, c, 20, 10),
        ("ulcer_index",): lambda: b.UlcerIndex(c, 14),
        ("adx", "adx_pos", "adx_neg"): lambda: t.ADXIndicator(h, lo, c, 14),
        ("aroon_up", "aroon_down", "aroon_indicator"): lambda: t.AroonIndicator(h, lo, 25),
        ("cci",): lambda: t.CCIIndicator(h, lo, c, 20, 0.015),
        ("dpo",): lambda: t.DPOIndicator(c, 20),
        ("ema_indicator",): lambda: t.EMAIndicator(c, 14),
        ("ichimoku_conversion_line", "ichimoku_base_line", "ichimoku_a", "ichimoku_b"): lambda: (
            t.IchimokuIndicator(h, lo, 9, 26, 52)
        ),
        ("kst", "kst_sig", "kst_diff"): lambda: t.KSTIndicator(c, 10, 15, 20, 30, 10, 10, 10, 15, 9),
        ("macd", "macd_signal", "macd_diff"): lambda: t.MACD(c, 26, 12, 9),
        ("mass_index",): lambda: t.MassIndex(h, lo, 9, 25),
        ("psar", "psar_up", "psar_down", "psar_up_indicator", "psar_down_indicator"): lambda: t.PSARIndicator(
            h, lo, c, 0.02, 0.2
        ),
        ("sma_indicator",): lambda: t.SMAIndicator(c, 20),
        ("stc",): lambda: t.STCIndicator(c, 50, 23, 10, 3, 3),
        ("trix",): lambda: t.TRIXIndicator(c, 15),
        ("vortex_indicator_pos", "vortex_indicator_neg", "vortex_indicator_diff"): lambda: t.VortexIndicator(
            h, lo, c, 14
        ),
        ("wma",): lambda: t.WMAIndicator(c, 9),
        ("acc_dist_index",): lambda: vol.AccDistIndexIndicator(h, lo, c, v),
        ("chaikin_money_flow",): lambda: vol.ChaikinMoneyFlowIndicator(h, lo, c, v, 20),
        ("ease_of_movement", "sma_ease_of_movement"): lambda: vol.EaseOfMovementIndicator(h, lo, v, 14),
        ("force_index",): lambda: vol.ForceIndexIndicator(c, v, 13),
        ("money_flow_index",): lambda: vol.MFIIndicator(h, lo, c, v, 14),
        ("negative_volume_index",): lambda: vol.NegativeVolumeIndexIndicator(c, v),
        ("on_balance_volume",): lambda: vol.OnBalanceVolumeIndicator(c, v),
        ("volume_price_trend",): lambda: vol.VolumePriceTrendIndicator(c, v),
        ("volume_weighted_average_price",): lambda: vol.VolumeWeightedAveragePrice(h, lo, c, v, 14),
        ("cumulative_return",): lambda: ta.others.CumulativeReturnIndicator(c),
        ("daily_log_return",): lambda: ta.others.DailyLogReturnIndicator(c),
        ("daily_return",): lambda: ta.others.DailyReturnIndicator(c),
    }
    out: dict[str, np.ndarray] = {}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for names, make in makers.items():
            asked = [name for name in names if only is None or name in only]
            try:
                indicator = make() if asked else None
            except (IndexError, ValueError):
                out |= {name: np.full(len(c), np.nan) for name in asked}
                continue
            for name in asked:
                try:
                    out[name] = np.array(getattr(indicator, name)(), dtype=float)
                except (IndexError, ValueError):
                    out[name] = np.full(len(c), np.nan)
    return out
