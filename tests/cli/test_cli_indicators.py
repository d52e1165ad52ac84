"""`kapman indicators` as a user runs it: bars of a file in, all outputs in a file out, faults in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from kapman_cli import indicators as command
from kapman_metrics.indicators import AVERAGES, SURFACE, indicators

COLUMNS = ["symbol", "date", *SURFACE, *AVERAGES]


@pytest.fixture(scope="module")
def real_bars(shared_data: Path) -> pl.DataFrame:
    """A year of twelve real names, one of them listed in mid-window, one row without prices."""
    recorded = pl.read_parquet(shared_data / "ohlcv" / "us_561_2024-03_2025-03.parquet")
    lengths = recorded.group_by("symbol").len().sort("len", "symbol")
    wanted = [
        *lengths["symbol"][:2],
        "AAPL",
        "NVDA",
        "MSFT",
        "TSLA",
        "META",
        "AMZN",
        "MU",
        "ANET",
        "KO",
        "JPM",
    ]
    return recorded.filter(pl.col("symbol").is_in(wanted))


def run(repository: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(repository)}
    return subprocess.run(
        [sys.executable, "-m", "kapman_cli", "indicators", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )


def some_bars(sessions: int = 5, **given: object) -> pl.DataFrame:
    days = [date(2026, 1, 5) + timedelta(days=k) for k in range(sessions)]
    columns = {"date": days, "symbol": ["A"] * sessions} | {
        name: [10.0 + k for k in range(sessions)] for name in ("open", "high", "low", "close", "volume")
    }
    return pl.DataFrame(columns | given)


def test_a_process_writes_what_the_library_computes_for_real_bars(
    real_bars: pl.DataFrame, repository: Path, tmp_path: Path
) -> None:
    shuffled = real_bars.sample(fraction=1, shuffle=True, seed=3)
    shuffled.write_parquet(tmp_path / "bars.parquet")
    done = run(repository, "--bars", tmp_path / "bars.parquet", "--out", tmp_path / "all.parquet")
    assert done.returncode == 0, done.stderr
    written = pl.read_parquet(tmp_path / "all.parquet")
    assert written.columns == COLUMNS and len(SURFACE) == 84
    assert written.equals(indicators(real_bars))
    assert f"{written.height:,} rows of {written['symbol'].n_unique()} symbols, 91 columns" in done.stdout


def test_last_gives_the_latest_row_of_each_symbol(
    real_bars: pl.DataFrame, repository: Path, tmp_path: Path
) -> None:
    real_bars.write_parquet(tmp_path / "bars.parquet")
    done = run(repository, "--bars", tmp_path / "bars.parquet", "--out", tmp_path / "last.parquet", "--last")
    assert done.returncode == 0, done.stderr
    latest = pl.read_parquet(tmp_path / "last.parquet")
    assert latest.equals(indicators(real_bars, last=True))
    assert latest["symbol"].to_list() == sorted(real_bars["symbol"].unique())


def test_csv_in_gives_the_numbers_of_parquet_in_and_csv_can_come_out(
    real_bars: pl.DataFrame, kapman: Callable, tmp_path: Path
) -> None:
    real_bars.write_csv(tmp_path / "bars.csv")
    assert kapman("indicators", "--bars", "bars.csv", "--out", "out.csv", "--last").code == 0
    back = pl.read_csv(tmp_path / "out.csv", try_parse_dates=True, infer_schema_length=None)
    expected = indicators(real_bars, last=True)
    assert back.columns == expected.columns and back["date"].to_list() == expected["date"].to_list()
    for name in (*SURFACE, *AVERAGES):
        assert back[name].cast(pl.Float64).to_list() == expected[name].to_list(), name


def test_symbols_that_read_like_other_things_stay_symbols(kapman: Callable, tmp_path: Path) -> None:
    frames = [some_bars().with_columns(symbol=pl.lit(name)) for name in ("NA", "TRUE", "BRK.B", "1E5")]
    pl.concat(frames).write_csv(tmp_path / "bars.csv")
    assert kapman("indicators", "--bars", "bars.csv", "--out", "out.parquet", "--last").code == 0
    assert pl.read_parquet(tmp_path / "out.parquet")["symbol"].to_list() == ["1E5", "BRK.B", "NA", "TRUE"]


def test_dates_at_midnight_and_whole_numbers_are_taken(kapman: Callable, tmp_path: Path) -> None:
    bars = some_bars().with_columns(pl.col("date").cast(pl.Datetime("ns")), pl.col("volume").cast(pl.Int32))
    bars.write_parquet(tmp_path / "bars.parquet")
    assert kapman("indicators", "--bars", "bars.parquet", "--out", "out.parquet").code == 0
    assert pl.read_parquet(tmp_path / "out.parquet")["date"].to_list() == some_bars()["date"].to_list()


def test_bars_without_prices_are_left_out_and_counted(kapman: Callable, tmp_path: Path) -> None:
    bars = some_bars(high=[11.0, None, 12.0, float("nan"), 15.0])
    bars.write_parquet(tmp_path / "bars.parquet")
    shown = kapman("indicators", "--bars", "bars.parquet", "--out", "out.parquet")
    assert "2 bars without high, low, close, volume left out" in " ".join(shown.out.split())
    assert pl.read_parquet(tmp_path / "out.parquet").height == 3


@pytest.mark.parametrize(
    ("bars", "said"),
    [
        (some_bars().drop("low", "volume"), "lacks the columns low, volume; it has date, symbol, open"),
        (some_bars().rename({"close": "Close"}), "lacks the columns close"),
        (some_bars(volume=["1", "2", "many", "4", "5"]), "column volume has 'many', which is not a number (1 rows)"),
        (some_bars(close=[True] * 5), "column close is Boolean, numbers are needed"),
        (some_bars(symbol=[1, 2, 3, 4, 5]), "column symbol is Int64, text is needed"),
        (some_bars(date=[20260105 + k for k in range(5)]), "column date is Int64, dates are needed"),
        (some_bars(date=["2026-01-05"] * 4 + ["5/1/26"]), "column date has '5/1/26', which is not a date"),
        (some_bars(date=[datetime(2026, 1, 5, 9, 30 + k) for k in range(5)]), "times of day (2026-01-05 09:30"),
        (some_bars(symbol=["A", None, "A", "A", "A"]), "1 rows have no symbol"),
        (pl.concat([some_bars(), some_bars(2)]), "2 bars stand twice, the first is A of 2026-01-05"),
        (some_bars(0), "holds no bars"),
        (some_bars(high=[None] * 5).cast({"high": pl.Float64}), "no bar has all of high, low, close, volume"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_bars_is_said_in_one_line_and_nothing_is_written(
    kapman: Callable, tmp_path: Path, bars: pl.DataFrame, said: str
) -> None:
    bars.write_parquet(tmp_path / "bars.parquet")
    shown = kapman("indicators", "--bars", "bars.parquet", "--out", "out.parquet")
    assert shown.code == 1
    assert said in shown.err and shown.err.startswith("kapman: ") and shown.err.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["bars.parquet"]


def test_files_that_are_not_there_or_not_bars_are_named(kapman: Callable, tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("hello")
    (tmp_path / "empty.csv").write_text("")
    for arguments, said in (
        (("--bars", "none.parquet", "--out", "out.parquet"), "there is no file none.parquet"),
        (("--bars", "none.csv", "--out", "out.parquet"), "there is no file none.csv"),
        (("--bars", "text.parquet", "--out", "out.parquet"), "text.parquet cannot be read as Parquet"),
        (("--bars", "empty.csv", "--out", "out.parquet"), "empty.csv cannot be read as CSV"),
        (("--bars", "bars.xlsx", "--out", "out.parquet"), "--bars bars.xlsx: the name must end with .parquet or .csv"),
        (("--bars", "bars.csv", "--out", "out.txt"), "--out out.txt: the name must end with .parquet or .csv"),
        (("--bars", "bars.csv", "--out", "nowhere/out.csv"), "there is no folder nowhere"),
    ):  # fmt: skip
        shown = kapman("indicators", *arguments)
        assert shown.code == 1 and said in shown.err, shown.err
        assert shown.err.count("\n") == 1


def test_a_run_that_breaks_off_leaves_the_older_file_as_it_was(
    kapman: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some_bars().write_parquet(tmp_path / "bars.parquet")
    (tmp_path / "out.parquet").write_text("of yesterday")

    def no_space(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(command.os, "replace", no_space)
    shown = kapman("indicators", "--bars", "bars.parquet", "--out", "out.parquet")
    assert shown.code == 1 and "cannot be written" in shown.err and "No space left" in shown.err
    assert (tmp_path / "out.parquet").read_text() == "of yesterday"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bars.parquet", "out.parquet"]


@pytest.mark.parametrize("last", [False, True])
def test_symbols_are_computed_a_few_at_a_time_with_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: bool
) -> None:
    frames = [some_bars(30 + k).with_columns(symbol=pl.lit(f"S{k}")) for k in range(9)]
    bars = pl.concat(frames)
    bars.write_parquet(tmp_path / "bars.parquet")
    seen = []

    def counted(part: pl.DataFrame, last: bool) -> pl.DataFrame:
        seen.append(part.height)
        return indicators(part, last=last)

    monkeypatch.setattr(command, "_ROWS_AT_ONCE", {False: 70, True: 70})
    monkeypatch.setattr(command, "indicators", counted)
    command.run_indicators(tmp_path / "bars.parquet", tmp_path / "out.parquet", last)
    assert len(seen) > 3 and max(seen) <= 110 and sum(seen) == bars.height
    assert pl.read_parquet(tmp_path / "out.parquet").equals(indicators(bars, last=last))
