"""Where the oracle `ta` 0.11.0 prints a number and Kapman says null: fillers, look-ahead and half-filled
windows.

Data for tests and documentation; nothing is computed from it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Deviation:
    """`outputs` are null on a symbol's first `bars` bars although `ta` prints something there."""

    outputs: tuple[str, ...]
    bars: int
    reason: str


# A close that does not move for a whole window has no band width, no place in its band, no CCI and no range of
# its RSI, and twenty bars without a range have no Keltner channel: Kapman says width 0 and null. `ta` divides the
# rounding residue that pandas' running sums keep from earlier bars and prints numbers (and here and there null,
# where the residue happens to be 0).
RESIDUE_ON_FLAT_WINDOWS: tuple[str, ...] = (
    "cci",
    "bollinger_hband",
    "bollinger_lband",
    "bollinger_pband",
    "bollinger_wband",
    "bollinger_hband_indicator",
    "bollinger_lband_indicator",
    "keltner_channel_pband",
    "stc",
    "stochrsi",
    "stochrsi_k",
    "stochrsi_d",
)

# pandas keeps running sums of squares: their rounding error has the size of the largest price so far, squared.
# After a fall to a fraction, or in a calm window, `ta`'s band is off by more than 1e-9; Kapman's is that of the
# window's own 20 closes. The two are comparable while the deviation exceeds this part of the highest close so far.
DRIFTING_BANDS: tuple[str, ...] = (
    "bollinger_hband",
    "bollinger_lband",
    "bollinger_pband",
    "bollinger_wband",
)
COMPARABLE_DEVIATION = 1e-3

# The second stochastic of `stc` looks for the range of a smoothed first one. After weeks of one direction that
# range (of 100 points) shrinks towards rounding, which is magnified in what either prints for it and afterwards:
# the two are comparable until it has been below this. Where it is 0 the series has a gap, and pandas 3.0 and 3.1
# weigh the value after a gap wrongly at span 3 (a known regression; Kapman does as documented and as pandas 2 did).
STC_RESOLUTION = 1e-3

# Marks of a close outside its band. Where the close equals the band (prices in cents do that), rounding decides,
# and pandas' running sums round otherwise: within 1e-9 of the band the marks may differ.
ROUNDING_AT_THE_BAND: dict[str, str] = {
    "bollinger_hband_indicator": "bollinger_hband",
    "bollinger_lband_indicator": "bollinger_lband",
    "keltner_channel_hband_indicator": "keltner_channel_hband",
    "keltner_channel_lband_indicator": "keltner_channel_lband",
}

# Places in a band, 0 at the lower and 1 at the upper: near 0 their own size says nothing about their precision,
# so they agree to 1e-9 of the band's width.
IN_BAND_WIDTHS: tuple[str, ...] = ("bollinger_pband", "keltner_channel_pband", "donchian_channel_pband")

DEVIATIONS: tuple[Deviation, ...] = (
    Deviation(("average_true_range",), 13, "zeros until the first average exists"),
    Deviation(("adx",), 27, "zeros until 14 directional indices exist"),
    Deviation(("adx_pos", "adx_neg"), 15, "zeros until the smoothed movements run"),
    Deviation(
        ("kst",), 44, "closes before the first bar are replaced by the mean of the whole series (look-ahead)"
    ),
    Deviation(("kst_sig", "kst_diff"), 52, "means of the values above, and of fewer than 9 of them"),
    Deviation(("ichimoku_b",), 51, "middle of fewer than 52 bars"),
    Deviation(
        ("keltner_channel_hband", "keltner_channel_lband"), 19, "means of fewer than 20 bars around no middle"
    ),
    Deviation(
        ("keltner_channel_hband_indicator", "keltner_channel_lband_indicator", "keltner_channel_pband"),
        19,
        "comparison with a band of fewer than 20 bars",
    ),
    Deviation(
        ("bollinger_hband_indicator", "bollinger_lband_indicator"),
        19,
        "0 (inside) before there is a band",
    ),
    Deviation(("psar",), 2, "the close instead of a stop"),
    Deviation(
        ("psar_up_indicator", "psar_down_indicator"), 3, "a mark of reversal without a trend before it"
    ),
)
