"""Recorded data from a folder, behind the generated market's protocol: nothing added, nothing repaired.

Choosing the files and reading the two chain layouts belongs here; what the market looked like, to the data.

Layout of a folder:
  ohlcv/*.parquet, or *.parquet / *.csv directly: bars, at least date, symbol, open, high, low, close, volume
  options/*chains*.parquet, or *chains*.parquet / *chains*.csv directly: chains, either Cboe's delayed quotes
      (underlying, snapshot_ts_utc, option, ...) or plain (symbol, contract, expiration, strike, option_type,
      captured_at in UTC, and wire_chain's columns); any other layout is left out and named in `notes`
  splits*.csv / splits*.parquet: symbol, execution_date, split_from, split_to
  tickers*.csv / tickers*.parquet: symbol and any further columns of market.TICKER_SCHEMA; a symbol may appear
      more than once, as one that was re-used does; symbols that appear in bars or chains only are listed too
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import cached_property
from pathlib import Path

import polars as pl

from kapman_resources.calendar import NEW_YORK, capture_session, is_session, session_on_or_before
from kapman_simulator.chains import day_bars_of
from kapman_simulator.market import BAR_SCHEMA, SPLIT_SCHEMA, TICKER_SCHEMA
from kapman_simulator.source import BarStore
from kapman_simulator.wire_chain import CHAIN_SCHEMA, GREEKS

_BAR_COLUMNS = {"date", "symbol", "open", "high", "low", "close", "volume"}
_CBOE_COLUMNS = {"underlying", "snapshot_ts_utc", "option", "expiration", "type", "strike", "open_interest"}
_PLAIN_COLUMNS = {"symbol", "contract", "expiration", "strike", "option_type", "captured_at"}


@dataclass
class Recording:
    """A recorded market: bars of many sessions, chains of one."""

    store: BarStore
    chains: dict[str, pl.DataFrame]
    recorded_session: date
    splits: pl.DataFrame
    tickers: pl.DataFrame
    notes: list[str] = field(default_factory=list)
    label: str = "RECORDED"
    seed: int | None = None
    risk_free_rate: float | None = None
    dividend_yield: float | None = None

    def __post_init__(self) -> None:
        following = self.recorded_session + timedelta(days=1)
        self.default_now = datetime.combine(following, time(4), NEW_YORK)
        self.fingerprint = f"recorded {self.recorded_session}"

    @property
    def sessions(self) -> list[date]:
        return self.store.sessions

    @cached_property
    def option_sessions(self) -> list[date]:
        bars = self.option_bars_of(sorted(self.chains), self.recorded_session)
        return [self.recorded_session] if bars.height else []

    def reach(self, session: date) -> None:
        """A recording cannot grow; later sessions simply have no data."""

    def bars_of(self, session: date) -> pl.DataFrame:
        return self.store.of_session(session)

    def history_of(self, symbol: str) -> pl.DataFrame:
        return self.store.bars.filter(pl.col("symbol") == symbol)

    def chain_symbols(self, session: date) -> list[str]:
        return sorted(self.chains) if session == self.recorded_session else []

    def chain_of(self, symbol: str, session: date) -> pl.DataFrame | None:
        return self.chains.get(symbol) if session == self.recorded_session else None

    def option_bars_of(self, symbols: list[str], session: date) -> pl.DataFrame:
        kept = [self.chains[symbol] for symbol in symbols if session == self.recorded_session]
        bars = [day_bars_of(chain, session) for chain in kept]
        return pl.concat([pl.DataFrame(schema=BAR_SCHEMA), *bars]).sort("symbol")

    def option_file_size(self, session: date) -> int | None:
        """None: the file is small and there is one of it."""


def load_recording(folder: Path, bars: Path | None = None, chains: Path | None = None) -> Recording:
    """Read a folder of recorded data (layout: see the module); `bars` and `chains` name single files instead.

    The recorded session is the one with most underlyings among the captures taken while the market was
    closed, or the last one of the longest bar file when there are no chains. Bars come from the file with the
    longest history that holds that session. Raises FileNotFoundError when the folder holds no bars,
    ValueError when none cover the session.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}: pass --data a folder with ohlcv/*.parquet or bar files")
    notes: list[str] = []
    captures = _captures([chains] if chains else _chain_files(folder), notes)
    session = _busiest_session(captures)
    path, session = _bar_file([bars] if bars else _bar_files(folder), session, folder)
    store = BarStore(_bars(path, notes))
    notes.append(f"bars from {path.name}")
    latest = {capture.symbol: capture for capture in captures if capture.session == session}
    chosen = {symbol: latest[symbol].read() for symbol in sorted(latest)}
    return Recording(store, chosen, session, _splits(folder), _tickers(folder, store, chosen), notes)


def session_of_capture(at: datetime) -> date | None:
    """The session a capture belongs to; None when the market was open (an unfinished day)."""
    try:
        return capture_session(at)
    except ValueError:
        return None


# --- chains -------------------------------------------------------------------------------------------------


def _chain_files(folder: Path) -> list[Path]:
    inside = sorted((folder / "options").glob("*chains*.parquet"))
    return inside + sorted(p for kind in ("parquet", "csv") for p in folder.glob(f"*chains*.{kind}"))


@dataclass(frozen=True)
class _Capture:
    """One underlying's chain as it stood at one moment, not read yet."""

    symbol: str
    at: datetime
    session: date
    rows: pl.LazyFrame
    translate: Callable[[pl.DataFrame, datetime], pl.DataFrame]

    def read(self) -> pl.DataFrame:
        mine = (pl.col("symbol") == self.symbol) & (pl.col("captured_at") == self.at)
        return self.translate(self.rows.filter(mine).collect(), self.at)


def _captures(paths: list[Path], notes: list[str]) -> list[_Capture]:
    """Captures taken while the market was closed, oldest first."""
    found = []
    for path in paths:
        columns = set(_scan(path).collect_schema().names())
        if columns >= _CBOE_COLUMNS:
            rows = _scan(path).rename({"underlying": "symbol", "snapshot_ts_utc": "captured_at"})
            translate = _from_cboe
        elif columns >= _PLAIN_COLUMNS:
            rows, translate = _scan(path), _from_plain
        else:
            notes.append(f"{path.name} left out: not a chain layout this loader knows")
            continue
        rows = rows.with_columns(captured_at=_utc(rows.collect_schema()["captured_at"]))
        for symbol, at in rows.select("symbol", "captured_at").unique().collect().iter_rows():
            session = session_of_capture(at)
            if session is None:
                notes.append(f"{symbol} {at:%Y-%m-%dT%H:%MZ} left out: captured while the market was open")
            else:
                found.append(_Capture(symbol, at, session, rows, translate))
    notes.sort()
    return sorted(found, key=lambda capture: (capture.at, capture.symbol))


def _busiest_session(captures: list[_Capture]) -> date | None:
    """The session with most underlyings, the newest of equals."""
    covered: dict[date, set[str]] = {}
    for capture in captures:
        covered.setdefault(capture.session, set()).add(capture.symbol)
    return max(covered, key=lambda session: (len(covered[session]), session)) if covered else None


def _utc(kind: pl.DataType) -> pl.Expr:
    stamp = pl.col("captured_at")
    if kind == pl.String:
        stamp = stamp.str.replace("T", " ").str.slice(0, 19).str.to_datetime("%Y-%m-%d %H:%M:%S")
    naive = getattr(kind, "time_zone", None) is None
    return stamp.dt.replace_time_zone("UTC") if naive else stamp.dt.convert_time_zone("UTC")


def _from_cboe(rows: pl.DataFrame, at: datetime) -> pl.DataFrame:
    """Cboe's delayed quotes: zero means "none" in iv, quotes are real, trade times are New York's."""
    stamp = pl.col("last_trade_time").str.to_datetime("%Y-%m-%dT%H:%M:%S").dt.replace_time_zone(str(NEW_YORK))
    rows = rows.with_columns(
        traded_on=stamp.dt.date(),
        last_at=stamp.dt.convert_time_zone("UTC").dt.epoch("ns"),
        priced=(pl.col("iv") > 0) & pl.any_horizontal(pl.col(name) != 0 for name in GREEKS),
    )
    sessions = {day: session_on_or_before(day) for day in rows["traded_on"].drop_nulls().unique().to_list()}
    traded = pl.col("traded_on").is_not_null()
    sign = pl.when(pl.col("type") == "call").then(1.0).otherwise(-1.0)
    columns = {
        "contract": "O:" + pl.col("option"),
        "expiration": pl.col("expiration").str.to_date("%Y-%m-%d"),
        "option_type": pl.col("type"),
        "shares_per_contract": pl.lit(100.0),
        "day_close": pl.when(traded).then("last_trade_price"),
        "day_volume": pl.when(traded & (pl.col("volume") > 0)).then("volume"),
        "day_session": pl.col("traded_on").replace_strict(sessions, default=None, return_dtype=pl.Date),
        "implied_volatility": pl.when(pl.col("iv") > 0).then("iv"),
        "break_even": pl.when(pl.col("bid") > 0).then(
            pl.col("strike") + sign * (pl.col("bid") + pl.col("ask")) / 2
        ),
        "quoted_at": pl.lit(_nanoseconds(at)),
        "last": pl.when(traded).then("last_trade_price"),
        "underlying_price": pl.col("underlying_current_price"),
    }
    columns |= {name: pl.when("priced").then(name) for name in (*GREEKS, "rho") if name in rows.columns}
    return _shaped(rows.with_columns(**columns))


def _from_plain(rows: pl.DataFrame, at: datetime) -> pl.DataFrame:
    """The product's own chain columns, with the capture's time beside them."""
    renamed = {"close": "day_close", "volume": "day_volume", "last_session": "day_session"}
    rows = rows.rename(
        {old: new for old, new in renamed.items() if old in rows.columns and new not in rows.columns}
    )
    return _shaped(rows.with_columns(quoted_at=pl.lit(_nanoseconds(at))))


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000_000


def _shaped(rows: pl.DataFrame) -> pl.DataFrame:
    absent = [
        pl.lit(None, kind).alias(name) for name, kind in CHAIN_SCHEMA.items() if name not in rows.columns
    ]
    dates = [
        pl.col(name).str.to_date("%Y-%m-%d")
        for name in ("expiration", "day_session")
        if name in rows.columns and rows.schema[name] == pl.String
    ]
    chain = rows.with_columns(absent).with_columns(dates).select(list(CHAIN_SCHEMA))
    return chain.cast(pl.Schema(CHAIN_SCHEMA)).fill_nan(None).sort("contract")


# --- bars, splits, tickers ----------------------------------------------------------------------------------


def _scan(path: Path) -> pl.LazyFrame:
    if path.suffix == ".parquet":
        return pl.scan_parquet(path)
    # symbols such as NA and TRUE are words to every inference: dates and numbers are parsed, symbols are not
    return pl.scan_csv(
        path, try_parse_dates=True, infer_schema_length=1000, schema_overrides={"symbol": pl.String}
    )


def _bar_files(folder: Path) -> list[Path]:
    if inside := sorted((folder / "ohlcv").glob("*.parquet")):
        return inside
    return sorted(p for kind in ("parquet", "csv") for p in folder.glob(f"*.{kind}"))


def _bar_file(paths: list[Path], session: date | None, folder: Path) -> tuple[Path, date]:
    """The longest history that holds `session` (its own last one when None), the first by name of equals."""
    best: tuple[int, Path, date] | None = None
    seen = []
    for path in paths:
        scan = _scan(path)
        if not set(scan.collect_schema().names()) >= _BAR_COLUMNS:
            continue
        days = scan.select(pl.col("date").unique().sort()).collect()["date"]
        last = session or max(day for day in days.to_list() if is_session(day))
        seen.append(path.name)
        if last in days.to_list():
            length = int((days <= last).sum())
            if best is None or length > best[0]:
                best = (length, path, last)
    if not seen:
        raise FileNotFoundError(
            f"no bars in {folder}: expected ohlcv/*.parquet or files with {sorted(_BAR_COLUMNS)}"
        )
    if best is None:
        raise ValueError(
            f"no bar file holds session {session}, which the chains belong to (looked at {seen})"
        )
    return best[1], best[2]


def _bars(path: Path, notes: list[str]) -> pl.DataFrame:
    frame = _scan(path)
    present = frame.collect_schema().names()
    extra = [
        pl.lit(None, BAR_SCHEMA[name]).alias(name) for name in ("vwap", "transactions") if name not in present
    ]
    raw = frame.with_columns(extra).select(list(BAR_SCHEMA)).cast(pl.Schema(BAR_SCHEMA)).collect()
    bars = raw.drop_nulls(["open", "high", "low", "close", "volume"])
    days = bars["date"].unique()
    closed = [day for day in days.to_list() if not is_session(day)]
    bars = bars.filter(~pl.col("date").is_in(closed)) if closed else bars
    bars = bars.unique(["symbol", "date"], keep="last", maintain_order=True).sort("symbol", "date")
    if bars.height != raw.height:
        notes.append(
            f"{raw.height - bars.height} bars left out: incomplete, repeated, or on a day without trading"
        )
    return bars


def _splits(folder: Path) -> pl.DataFrame:
    paths = sorted(p for kind in ("csv", "parquet") for p in folder.glob(f"splits*.{kind}"))
    empty = pl.DataFrame(schema=SPLIT_SCHEMA)
    return pl.concat(
        [empty, *(_scan(p).select(list(SPLIT_SCHEMA)).cast(pl.Schema(SPLIT_SCHEMA)).collect() for p in paths)]
    )


def _tickers(folder: Path, store: BarStore, chains: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """The folder's own list, and the bare symbols of what it does not name: bars know no names or types."""
    paths = sorted(p for kind in ("csv", "parquet") for p in folder.glob(f"tickers*.{kind}"))
    empty = pl.DataFrame(schema=TICKER_SCHEMA)
    parts = []
    for path in paths:
        rows = _scan(path).collect()
        known = {name: kind for name, kind in TICKER_SCHEMA.items() if name in rows.columns}
        parts.append(rows.select(pl.col(name).cast(kind) for name, kind in known.items()))
    listed = pl.concat([empty, *parts], how="diagonal_relaxed").with_columns(pl.col("active").fill_null(True))
    symbols = {*store.bars["symbol"].unique().to_list(), *chains} - set(listed["symbol"])
    unnamed = pl.DataFrame({"symbol": sorted(symbols)}, {"symbol": pl.String}).with_columns(active=True)
    return pl.concat([listed, unnamed], how="diagonal_relaxed").sort("symbol", maintain_order=True)
