"""`kapman indicators`: all 84 outputs and the averages for a user's own bars, from a file to a file.

The bars are read whole; what is computed is written a few symbols at a time, so memory does not grow with the 91
columns of the answer. Does not belong here: formulas (kapman_metrics.indicators).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import time
from pathlib import Path
from time import perf_counter

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from kapman_cli.console import CliError, say
from kapman_metrics.indicators import AVERAGES, SURFACE, indicators

NUMBERS = ("open", "high", "low", "close", "volume")
COLUMNS = ("date", "symbol", *NUMBERS)
_NEEDED = ("high", "low", "close", "volume")  # a bar without one of them counts as no bar
_OUT_SCHEMA = pl.Schema(
    {"symbol": pl.String(), "date": pl.Date(), **{name: pl.Float64() for name in (*SURFACE, *AVERAGES)}}
)
_ROWS_AT_ONCE = {False: 200_000, True: 1_000_000}  # bars in; with `last` only one row a symbol comes out


def run_indicators(bars_file: Path, out_file: Path, last: bool) -> None:
    """Writes one row a bar (or with `last` the latest a symbol); raises CliError for a file it cannot use.

    `out_file` is there complete or not at all; an older one is replaced at the end.
    """
    started = perf_counter()
    _require_suffix("--bars", bars_file, (".parquet", ".csv"))
    _require_suffix("--out", out_file, (".parquet", ".csv"))
    if not out_file.parent.is_dir():
        raise CliError(f"--out: there is no folder {out_file.parent}")
    bars = _checked(_read(bars_file), bars_file)
    usable = bars.select(
        pl.all_horizontal(pl.col(name).is_finite().fill_null(False) for name in _NEEDED)
    ).to_series()
    left_out = bars.height - int(usable.sum())
    if left_out == bars.height:
        raise CliError(f"{bars_file}: no bar has all of {', '.join(_NEEDED)}")
    _write(bars, out_file, last)
    symbols = bars["symbol"].filter(usable).n_unique()
    note = f"; {left_out:,} bars without {', '.join(_NEEDED)} left out" if left_out else ""
    say(
        f"{symbols if last else bars.height - left_out:,} rows of {symbols:,} symbols, {len(_OUT_SCHEMA)} columns, "
        f"to {out_file} in {perf_counter() - started:.1f} s{note}"
    )


def _require_suffix(option: str, path: Path, known: tuple[str, ...]) -> None:
    if path.suffix.lower() not in known:
        raise CliError(f"{option} {path}: the name must end with {' or '.join(known)}")


def _read(path: Path) -> pl.DataFrame:
    """The seven columns as they stand in the file; those of a CSV as text."""
    is_csv = path.suffix.lower() == ".csv"
    try:
        rows = pl.scan_csv(path, infer_schema=False) if is_csv else pl.scan_parquet(path)
        names = rows.collect_schema().names()
        missing = [name for name in COLUMNS if name not in names]
        if missing:
            raise CliError(
                f"{path} lacks the columns {', '.join(missing)}; it has {', '.join(names)} "
                f"(wanted, in lower case: {', '.join(COLUMNS)})"
            )
        return rows.select(COLUMNS).collect()
    except FileNotFoundError:
        raise CliError(f"there is no file {path}") from None
    except (OSError, pl.exceptions.PolarsError) as error:
        first_line = str(error).strip().split("\n", 1)[0]
        raise CliError(f"{path} cannot be read as {'CSV' if is_csv else 'Parquet'}: {first_line}") from error


def _checked(rows: pl.DataFrame, path: Path) -> pl.DataFrame:
    """The bars typed and sorted by symbol and date; raises CliError naming column and value of what is wrong."""
    if rows.is_empty():
        raise CliError(f"{path} holds no bars")
    bars = rows.select(
        _symbols(rows["symbol"], path),
        _dates(rows["date"], path),
        *(_numbers(rows[name], path) for name in NUMBERS),
    )
    del rows  # of a whole market each copy is half a gigabyte
    for name in ("symbol", "date"):
        if empty := bars[name].null_count():
            raise CliError(f"{path}: {empty:,} rows have no {name}")
    bars = bars.sort("symbol", "date")
    same = (pl.col("symbol") == pl.col("symbol").shift()) & (pl.col("date") == pl.col("date").shift())
    doubled = bars.filter(same.fill_null(False))
    if doubled.height:
        symbol, day = doubled.select("symbol", "date").row(0)
        raise CliError(
            f"{path}: {doubled.height:,} bars stand twice, the first is {symbol} of {day}: one bar a symbol and day"
        )
    return bars


def _symbols(values: pl.Series, path: Path) -> pl.Series:
    if values.dtype not in (pl.String, pl.Categorical, pl.Enum):
        raise CliError(f"{path}: column symbol is {values.dtype}, text is needed")
    return values.cast(pl.String)


def _dates(values: pl.Series, path: Path) -> pl.Series:
    if isinstance(values.dtype, pl.Datetime):
        within_a_day = values.filter(values.dt.time() != time(0))
        if len(within_a_day):
            raise CliError(f"{path}: column date has times of day ({within_a_day[0]}); daily bars are needed")
        return values.dt.date()
    if values.dtype == pl.String:
        days = values.str.strip_chars().str.to_date("%Y-%m-%d", strict=False)
        _require_all(values, days, path, "a date like 2026-05-05")
        return days
    if values.dtype != pl.Date:
        raise CliError(f"{path}: column date is {values.dtype}, dates are needed")
    return values


def _numbers(values: pl.Series, path: Path) -> pl.Series:
    if values.dtype == pl.String:
        stripped = values.str.strip_chars().replace("", None)
        numbers = stripped.cast(pl.Float64, strict=False)
        _require_all(stripped, numbers, path, "a number")
        return numbers
    if not values.dtype.is_numeric():
        raise CliError(f"{path}: column {values.name} is {values.dtype}, numbers are needed")
    return values.cast(pl.Float64)


def _require_all(given: pl.Series, understood: pl.Series, path: Path, what: str) -> None:
    odd = given.filter(given.is_not_null() & understood.is_null())
    if len(odd):
        raise CliError(f"{path}: column {given.name} has {odd[0]!r}, which is not {what} ({len(odd):,} rows)")


def _write(bars: pl.DataFrame, out_file: Path, last: bool) -> None:
    """Through a file beside it that takes its name at the end."""
    partial = out_file.with_name(f".{out_file.name}.{os.getpid()}.part")
    rows = register_io_source(_source(bars, last), schema=_OUT_SCHEMA)
    try:
        if out_file.suffix.lower() == ".csv":
            rows.sink_csv(partial)
        else:
            rows.sink_parquet(partial)
        os.replace(partial, out_file)
    except OSError as error:
        raise CliError(f"{out_file} cannot be written: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _source(bars: pl.DataFrame, last: bool):
    """What polars asks for rows: the next symbols' indicators at every call."""

    def parts(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        for start, stop in _spans(bars["symbol"], _ROWS_AT_ONCE[last]):
            part = indicators(bars[start:stop], last=last)
            part = part if predicate is None else part.filter(predicate)
            yield part if with_columns is None else part.select(with_columns)

    return parts


def _spans(symbols: pl.Series, most: int) -> Iterator[tuple[int, int]]:
    """Rows of whole symbols, about `most` at a time."""
    stops = np.cumsum(symbols.rle().struct.field("len").to_numpy().astype(np.int64))
    part = (stops - 1) // most
    ends = stops[np.flatnonzero(np.diff(part, append=part[-1] + 1))]
    yield from zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)
