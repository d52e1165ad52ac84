"""The 84 indicators for a whole market, against `ta` and TA-Lib called symbol by symbol, and their first use.

15,000 symbols x 504 sessions of random walks. CPU time of this process and its children, cases in turn, medians.
`ta` runs on a sample and is scaled up: all symbols would take half an hour. Both peers are handed ready arrays of
one symbol; ours is handed the frame and pays for packing it. Does not belong here: agreement on every bar, which
the tests check.
"""

from __future__ import annotations

import importlib.util
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import polars as pl

from benchmarks.measure import ROOT, Measure
from kapman_metrics.indicators import INDICATORS, SURFACE, indicators
from kapman_metrics.indicators.compute import evaluate
from kapman_metrics.indicators.panel import BLOCK_SYMBOLS, blocks, usable_bars
from kapman_resources import calendar

# two whole calendar years, so that running totals start where the peers start: at the first bar
SESSIONS = calendar.sessions_between(date(2020, 1, 2), date(2021, 12, 31))[:504]
SYMBOLS, ROUNDS, SAMPLE = 15_000, 3, 24
TALIB_SYMBOLS, TALIB_ROUNDS = BLOCK_SYMBOLS, 7
FIRST_USE_SYMBOLS = 100
MUST_TA, MUST_TALIB, MUST_FIRST_USE = 300.0, 1.0, 15.0
RELATIVE, OF_OWN_SIZE = 1e-9, 1e-12

Series = dict[str, np.ndarray]
Call = Callable[[Any, Series], tuple[np.ndarray, ...]]


def run() -> Iterator[Measure]:
    """The rows of the issue's table; raises RuntimeError when the ways do not give the same numbers."""
    market = universe(SYMBOLS)
    yield _against_ta(market)
    yield _against_talib(market.head(TALIB_SYMBOLS * len(SESSIONS)))
    yield _first_use(market.head(FIRST_USE_SYMBOLS * len(SESSIONS)))


def universe(symbols: int) -> pl.DataFrame:
    """Random-walk bars sorted by symbol and date, as the stored bars come."""
    rng = np.random.default_rng(4)
    shape = symbols, len(SESSIONS)
    close = 50 * np.exp(np.cumsum(0.02 * rng.standard_normal(shape), axis=1))
    opening = close * np.exp(0.01 * rng.standard_normal(shape))
    return pl.DataFrame(
        {
            "symbol": pl.Series(np.repeat(np.arange(symbols), len(SESSIONS))).cast(pl.String).str.zfill(5),
            "date": pl.Series(SESSIONS * symbols),
            "open": opening.ravel(),
            "high": (np.maximum(opening, close) * (1 + rng.exponential(0.006, shape))).ravel(),
            "low": (np.minimum(opening, close) * (1 - rng.exponential(0.006, shape).clip(max=0.5))).ravel(),
            "close": close.ravel(),
            "volume": rng.integers(100_000, 9_000_000, shape).astype(float).ravel(),
        }
    )


def _series(market: pl.DataFrame, symbol: int) -> Series:
    bars = market.slice(symbol * len(SESSIONS), len(SESSIONS))
    return {name: bars[name].to_numpy() for name in ("high", "low", "close", "volume")}


def _cpu(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _require_equal(name: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    if not _equal(ours, theirs).all():
        raise RuntimeError(f"{name}: {ours[:5]} here, {theirs[:5]} by the peer")


def _equal(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    size = np.abs(theirs[np.isfinite(theirs)]).max(initial=0.0)
    near = np.abs(ours - theirs) <= np.maximum(RELATIVE * np.abs(theirs), OF_OWN_SIZE * size)
    return near | (~np.isfinite(ours) & ~np.isfinite(theirs))


# -- ta -------------------------------------------------------------------------------------------------------------


def _against_ta(market: pl.DataFrame) -> Measure:
    import pandas as pd

    ta_outputs = _oracle()
    places = np.linspace(0, SYMBOLS - 1, SAMPLE).astype(int).tolist()
    inputs = [{n: pd.Series(x) for n, x in _series(market, place).items()} for place in places]
    latest = indicators(market, last=True)  # both warm
    expected = [ta_outputs(**given) for given in inputs]
    for output in SURFACE:
        theirs = np.array([values[output][-1] for values in expected])
        _require_equal(
            output, latest[output].gather(places).cast(pl.Float64).fill_null(np.nan).to_numpy(), theirs
        )

    ours, peers = [], []
    for part in np.array_split(np.arange(SAMPLE), ROUNDS):
        ours.append(_cpu(lambda: indicators(market, last=True)) / SYMBOLS)
        peers.append(_cpu(lambda part=part: [ta_outputs(**inputs[i]) for i in part]) / len(part))
    ratio = round(median(peers) / median(ours))
    peer = (
        f"ta 0.11.0: {1e3 * median(peers):.0f} ms CPU a symbol (from {SAMPLE} of them) against "
        f"{1e6 * median(ours):.0f} us; all {SYMBOLS:,}: {median(ours) * SYMBOLS:.2f} s"
    )
    return Measure("84 outputs, latest bar", ratio, "x faster", peer, f">= {MUST_TA:.0f}", ratio >= MUST_TA)


def _oracle() -> Callable[..., dict[str, np.ndarray]]:
    """`ta` as the tests call it."""
    place = ROOT / "tests" / "metrics" / "ta_oracle.py"
    spec = importlib.util.spec_from_file_location("ta_oracle", place)
    if spec is None or spec.loader is None:
        raise RuntimeError(f"{place}: not there; the benchmark runs from the repository")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ta_outputs


# -- TA-Lib ---------------------------------------------------------------------------------------------------------

# indicator -> its outputs that TA-Lib has, and the calls that give them (in the same order)
_TALIB: dict[str, tuple[tuple[str, ...], Call]] = {
    "awesome_oscillator": (
        ("awesome_oscillator",),
        lambda t, s: (t.APO(t.MEDPRICE(s["high"], s["low"]), 5, 34, 0),),
    ),
    "kama": (("kama",), lambda t, s: (t.KAMA(s["close"], 10),)),
    "ppo": (("ppo",), lambda t, s: (t.PPO(s["close"], 12, 26, 1),)),
    "pvo": (("pvo",), lambda t, s: (t.PPO(s["volume"], 12, 26, 1),)),
    "roc": (("roc",), lambda t, s: (t.ROC(s["close"], 12),)),
    "rsi": (("rsi",), lambda t, s: (t.RSI(s["close"], 14),)),
    "stochrsi": (
        ("stochrsi", "stochrsi_k"),
        lambda t, s: tuple(x / 100 for x in t.STOCHRSI(s["close"], 14, 14, 3, 0)),
    ),
    "stoch": (
        ("stoch", "stoch_signal"),
        lambda t, s: t.STOCHF(s["high"], s["low"], s["close"], 14, 3, 0),
    ),
    "ultimate_oscillator": (
        ("ultimate_oscillator",),
        lambda t, s: (t.ULTOSC(s["high"], s["low"], s["close"], 7, 14, 28),),
    ),
    "williams_r": (("williams_r",), lambda t, s: (t.WILLR(s["high"], s["low"], s["close"], 14),)),
    "atr": (("average_true_range",), lambda t, s: (t.ATR(s["high"], s["low"], s["close"], 14),)),
    "bbands": (
        ("bollinger_hband", "bollinger_mavg", "bollinger_lband"),
        lambda t, s: t.BBANDS(s["close"], 20, 2.0, 2.0),
    ),
    "donchian": (
        ("donchian_channel_hband", "donchian_channel_lband", "donchian_channel_mband"),
        lambda t, s: (t.MAX(s["high"], 20), t.MIN(s["low"], 20), t.MIDPRICE(s["high"], s["low"], 20)),
    ),
    "adx": (
        ("adx", "adx_pos", "adx_neg"),
        lambda t, s: tuple(f(s["high"], s["low"], s["close"], 14) for f in (t.ADX, t.PLUS_DI, t.MINUS_DI)),
    ),
    "aroon": (
        ("aroon_down", "aroon_up", "aroon_indicator"),
        lambda t, s: (*t.AROON(s["high"], s["low"], 25), t.AROONOSC(s["high"], s["low"], 25)),
    ),
    "cci": (("cci",), lambda t, s: (t.CCI(s["high"], s["low"], s["close"], 20),)),
    "ema": (("ema_indicator",), lambda t, s: (t.EMA(s["close"], 14),)),
    "ichimoku": (
        ("ichimoku_conversion_line", "ichimoku_base_line", "ichimoku_b"),
        lambda t, s: tuple(t.MIDPRICE(s["high"], s["low"], n) for n in (9, 26, 52)),
    ),
    "macd": (("macd", "macd_signal", "macd_diff"), lambda t, s: t.MACD(s["close"], 12, 26, 9)),
    "psar": (("psar",), lambda t, s: (t.SAR(s["high"], s["low"], 0.02, 0.2),)),
    "sma": (("sma_indicator",), lambda t, s: (t.SMA(s["close"], 20),)),
    "trix": (("trix",), lambda t, s: (t.TRIX(s["close"], 15),)),
    "wma": (("wma",), lambda t, s: (t.WMA(s["close"], 9),)),
    "adi": (("acc_dist_index",), lambda t, s: (t.AD(s["high"], s["low"], s["close"], s["volume"]),)),
    "mfi": (
        ("money_flow_index",),
        lambda t, s: (t.MFI(s["high"], s["low"], s["close"], s["volume"], 14),),
    ),
    "obv": (("on_balance_volume",), lambda t, s: (t.OBV(s["close"], s["volume"]),)),
    "dr": (("daily_return",), lambda t, s: (100 * t.ROCP(s["close"], 1),)),
}


@dataclass(frozen=True)
class TalibRow:
    """CPU microseconds a symbol, ours with an equal share of packing; `agreeing`: share of symbols on whose
    latest bar all `outputs` are equal.
    """

    outputs: tuple[str, ...]
    ours: float
    talib: float
    agreeing: float

    @property
    def ratio(self) -> float:
        return self.talib / self.ours


def talib_table(market: pl.DataFrame) -> list[TalibRow]:
    """One row an indicator TA-Lib has too, slowest ratio first; both compute every output of the row alone."""
    import talib

    symbols = market.height // len(SESSIONS)
    inputs = [_series(market, place) for place in range(symbols)]
    bars = usable_bars(market)
    (block,) = blocks(bars, symbols, latest=True)
    packing = median(_cpu(lambda: list(blocks(bars, symbols, latest=True))) for _ in range(ROUNDS))
    rows = []
    for indicator in INDICATORS:
        if indicator.name not in _TALIB:
            continue
        outputs, call = _TALIB[indicator.name]

        def ours(indicator: Any = indicator) -> tuple[np.ndarray, ...]:
            block.panel.forget()
            with np.errstate(all="ignore"):
                return evaluate(block.panel, indicator)

        def theirs(call: Call = call) -> list[list[float]]:
            return [[x[-1] for x in call(talib, series)] for series in inputs]

        named = dict(zip(indicator.outputs, ours(), strict=True))
        latest = np.array([named[output][-1] for output in outputs])
        agreeing = _equal(latest, np.array(theirs()).T).all(axis=0).mean()
        pairs = [(_cpu(ours), _cpu(theirs)) for _ in range(TALIB_ROUNDS)]
        mine = median(pair[0] for pair in pairs) + packing / len(_TALIB)
        peer = median(pair[1] for pair in pairs)
        rows.append(TalibRow(outputs, 1e6 * mine / symbols, 1e6 * peer / symbols, float(agreeing)))
    return sorted(rows, key=lambda row: row.ratio)


def _against_talib(market: pl.DataFrame) -> Measure:
    rows = talib_table(market)
    same = [row for row in rows if row.agreeing == 1.0]
    other = [row for row in rows if row.agreeing < 1.0]
    if [row.outputs for row in other] != [("psar",)]:
        raise RuntimeError(f"not TA-Lib's numbers: {[(row.outputs, row.agreeing) for row in other]}")
    worst = round(same[0].ratio, 2)
    slowest = ", ".join(f"{row.outputs[0]} {row.ratio:.1f}" for row in same[:5])
    peer = (
        f"TA-Lib a symbol, {sum(len(row.outputs) for row in same)} outputs, each indicator alone: worst "
        f"{slowest}; median {median(row.ratio for row in same):.1f}. psar is another rule there (equal on "
        f"{other[0].agreeing:.0%} of symbols), {other[0].ratio:.1f}"
    )
    return Measure(
        "per output against TA-Lib", worst, "x faster", peer, f">= {MUST_TALIB:.0f}", worst >= MUST_TALIB
    )


# -- first use ------------------------------------------------------------------------------------------------------

_FIRST_USE = """
import sys
import polars as pl
from kapman_metrics.indicators import technical_snapshot
bars = pl.read_parquet(sys.argv[1])
assert technical_snapshot(bars, bars["date"].max()).height == int(sys.argv[2])
"""


def _first_use(market: pl.DataFrame) -> Measure:
    """A new interpreter that finds no bytecode of anything, as after an installation."""
    with tempfile.TemporaryDirectory(prefix="kapman-bench-") as place:
        bars = Path(place) / "bars.parquet"
        market.write_parquet(bars)
        environment = os.environ | {
            "PYTHONPYCACHEPREFIX": str(Path(place) / "bytecode"),
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, "-c", _FIRST_USE, str(bars), str(FIRST_USE_SYMBOLS)]
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, env=environment, check=True)
        wall = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2)
    peer = f"start, imports without bytecode, {FIRST_USE_SYMBOLS} symbols; {wall:.1f} s by the clock"
    return Measure(
        "first use after installation",
        seconds,
        "s CPU",
        peer,
        f"<= {MUST_FIRST_USE:.0f}",
        seconds <= MUST_FIRST_USE,
    )
