"""The recorded market of 2026-05-05 through the one command, against the recording itself."""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import polars as pl
import pytest

pytestmark = pytest.mark.slow

SESSION = date(2026, 5, 5)
WITH_BARS = ["AAPL", "AMZN", "GOOGL", "MSFT", "TSLA"]
WITHOUT_BARS = ["AMD", "AVGO", "PLTR"]


@pytest.fixture(scope="module")
def ask(repository: Path, shared_data: Path) -> Iterator[Callable[[str], list[dict[str, str]]]]:
    """`kapman sql` on the database of one headless demo over the recording."""
    home = tempfile.mkdtemp(prefix="kapman-")
    environment = {k: v for k, v in os.environ.items() if k != "KAPMAN_NOW"}
    environment |= {"KAPMAN_HOME": home, "PYTHONPATH": str(repository)}

    def kapman(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "kapman_cli", *arguments],
            cwd=repository,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
        return done.stdout

    summary = kapman("demo", "--headless", "--data", str(shared_data))
    assert "RECORDED: 1 sessions to 2026-05-05" in summary
    yield lambda statement: list(csv.DictReader(io.StringIO(kapman("sql", statement, "--csv"))))
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def chains(shared_data: Path) -> pl.DataFrame:
    recorded = pl.read_parquet(shared_data / "options" / "cboe_chains_2026.parquet")
    return recorded.filter(pl.col("snapshot_ts_utc").str.starts_with("2026-05-06 02:5"))


@pytest.fixture(scope="module")
def bars(shared_data: Path) -> pl.DataFrame:
    return pl.read_parquet(shared_data / "ohlcv" / "ndx103_2018-03_2026-05.parquet")


def test_bar_counts_and_prices_equal_the_files(ask: Callable, bars: pl.DataFrame) -> None:
    (stored,) = ask(
        "SELECT count(*) AS n, count(DISTINCT symbol) AS s, min(session_of(time)) AS first FROM ohlcv_daily"
    )
    span = bars.filter((pl.col("date") >= date.fromisoformat(stored["first"])) & (pl.col("date") <= SESSION))
    assert (int(stored["n"]), int(stored["s"])) == (span.height, 81)
    today = {r["symbol"]: r for r in ask("SELECT * FROM ohlcv_daily WHERE time = session_time('2026-05-05')")}
    assert len(today) == 81
    for row in bars.filter(pl.col("date") == SESSION).iter_rows(named=True):
        kept = today[row["symbol"]]
        assert [float(kept[c]) for c in ("open", "high", "low", "close", "volume")] == [
            row["open"], row["high"], row["low"], row["close"], row["volume"],
        ]  # fmt: skip


def test_contract_counts_and_open_interest_equal_the_chains(ask: Callable, chains: pl.DataFrame) -> None:
    recorded = chains.group_by("underlying").agg(
        pl.len().alias("n"), pl.col("open_interest").sum().alias("oi")
    )
    expected = {u: (n, oi) for u, n, oi in recorded.iter_rows() if u in (*WITH_BARS, *WITHOUT_BARS)}
    stored = ask("SELECT symbol, count(*) AS n, sum(open_interest) AS oi FROM options_chains GROUP BY 1")
    assert {r["symbol"]: (int(r["n"]), float(r["oi"])) for r in stored} == expected
    summary = ask("SELECT symbol, contract_count, total_call_oi, total_put_oi FROM options_daily_summary")
    for row in summary:
        n, oi = expected[row["symbol"]]
        assert int(row["contract_count"]) == n
        assert int(row["total_call_oi"]) + int(row["total_put_oi"]) == oi


def test_walls_stand_at_the_strikes_where_the_chain_has_most_open_interest(
    ask: Callable, chains: pl.DataFrame, bars: pl.DataFrame
) -> None:
    """Within 20 % of the regular close, over contracts of 0 to 90 days that have a gamma.

    The exchange prints no gamma for contracts it could not price; those that Kapman can solve count as well, so the
    stored open interest lies between that of the priced contracts and that of all.
    """
    closes = dict(bars.filter(pl.col("date") == SESSION).select("symbol", "close").iter_rows())
    found = {
        r["symbol"]: r for r in ask("SELECT * FROM daily_snapshots WHERE time = session_time('2026-05-05')")
    }
    days = (pl.col("expiration").str.to_date() - pl.lit(SESSION)).dt.total_days()
    near = chains.filter(days.is_between(0, 90))
    for symbol in WITH_BARS:
        spot = closes[symbol]
        for side, low, high in (("call", spot, spot * 1.2), ("put", spot * 0.8, spot)):
            strikes = (
                near.filter((pl.col("underlying") == symbol) & (pl.col("type") == side))
                .filter(pl.col("strike").is_between(low, high))
                .group_by("strike")
                .agg(
                    pl.col("open_interest").filter(pl.col("gamma") > 0).sum().alias("priced"),
                    pl.col("open_interest").sum().alias("all"),
                )
                .sort("priced", descending=True)
            )
            wall, priced, every = strikes.row(0)
            assert float(found[symbol][f"{side}_wall_primary"]) == wall, (symbol, side)
            assert priced <= float(found[symbol][f"{side}_wall_primary_oi"]) <= every


def test_dealer_numbers_are_those_of_the_recorded_market(ask: Callable) -> None:
    found = ask("SELECT symbol, dgpi, data_quality FROM daily_snapshots WHERE dgpi IS NOT NULL")
    dgpi = {r["symbol"]: float(r["dgpi"]) for r in found}
    assert dgpi["AAPL"] == pytest.approx(70, abs=1)
    assert dgpi["MSFT"] == pytest.approx(17, abs=1)
    assert dgpi["TSLA"] == pytest.approx(21, abs=1)
    assert sorted(dgpi) == WITH_BARS
    assert {r["data_quality"] for r in found} == {"complete"}


def test_a_chain_without_bars_is_partial_and_nothing_is_guessed(ask: Callable) -> None:
    rows = {r["symbol"]: r for r in ask("SELECT * FROM daily_snapshots")}
    for symbol in WITHOUT_BARS:
        row = rows[symbol]
        assert row["data_quality"] == "partial"
        assert "no bars" in row["events_json"]
        assert float(row["put_call_ratio_oi"]) > 0  # needs no price of the underlying
        for column in (
            "gex_total",
            "gex_net",
            "dgpi",
            "call_wall_primary",
            "rsi_14",
            "bc_score",
            "wyckoff_phase",
            "hv_20",
        ):
            assert row[column] == "", (symbol, column)


def test_all_six_tables_hold_the_session_and_every_leg_exists_in_the_recorded_chain(
    ask: Callable, chains: pl.DataFrame
) -> None:
    recorded = {(o, s, e) for o, s, e in chains.select("option", "strike", "expiration").iter_rows()}
    legs = ask("SELECT * FROM recommendation_legs")
    for leg in legs:
        assert (leg["contract"].removeprefix("O:"), float(leg["strike"]), leg["expiration"]) in recorded
    advice = ask("SELECT symbol, action FROM recommendations WHERE recommendation_date = '2026-05-05'")
    assert advice, "the recorded session has a signal to decide on"
    assert not {r["symbol"] for r in advice} & set(WITHOUT_BARS)
    evaluated = ask("SELECT * FROM job_runs WHERE stage = 'outcomes' AND last_session = '2026-05-05'")
    assert [r["state"] for r in evaluated] == ["succeeded"]  # no older advice is there to be judged
