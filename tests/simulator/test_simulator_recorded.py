"""Recorded folders: which file is chosen, which capture counts, every contract served as recorded."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import httpx2 as httpx
import polars as pl
import pytest

from kapman_resources.calendar import NEW_YORK
from kapman_simulator.data_sets import OPTIONS
from kapman_simulator.recorded import Recording, load_recording, session_of_capture
from kapman_simulator.server import Serving, serving

RECORDED = date(2026, 5, 5)
COUNTS = {
    "AAPL": 3182, "AMD": 4178, "AMZN": 2796, "AVGO": 3480, "GOOGL": 4902,
    "MSFT": 3808, "MSTR": 4354, "PLTR": 2528, "TSLA": 5710,
}  # fmt: skip


@pytest.fixture(scope="module")
def recording(shared_data: Path) -> Recording:
    return load_recording(shared_data)


@pytest.fixture(scope="module")
def recorded_vendor(recording: Recording) -> Iterator[Serving]:
    with serving(recording) as running:
        yield running


def fetch(vendor: Serving, symbol: str) -> list[dict]:
    found: list[dict] = []
    path, params = f"/v3/snapshot/options/{symbol}", {"limit": "250"}
    headers = {"Authorization": f"Bearer {vendor.api_key}"}
    with httpx.Client(base_url=vendor.url, headers=headers, trust_env=False) as client:
        while True:
            answer = client.get(path, params=params)
            assert answer.headers["x-kapman-data-label"] == "RECORDED"
            body = answer.json()
            found += body["results"]
            if "next_url" not in body:
                return found
            params = dict(httpx.URL(body["next_url"]).params)


# --- a folder of one's own --------------------------------------------------------------------------------


def bars(symbol: str, days: list[date]) -> pl.DataFrame:
    prices = {name: [10.0] * len(days) for name in ("open", "high", "low", "close")}
    return pl.DataFrame({"date": days, "symbol": symbol, **prices, "volume": 100.5})


def plain_chain(symbol: str, captured: str, contracts: int) -> pl.DataFrame:
    return pl.DataFrame({
        "symbol": symbol,
        "contract": [f"O:{symbol}260116C{strike * 1000:08d}" for strike in range(1, contracts + 1)],
        "expiration": date(2026, 1, 16),
        "strike": [float(strike) for strike in range(1, contracts + 1)],
        "option_type": "call", "close": 1.25, "volume": 7.0, "last_session": date(2025, 11, 28),
        "open_interest": 11.0, "delta": 0.5, "gamma": 0.1, "theta": -0.1, "vega": 0.2,
        "implied_volatility": 0.4, "captured_at": captured,
    })  # fmt: skip


def test_a_plain_folder_of_csv_files_is_served(tmp_path: Path) -> None:
    days = [date(2025, 11, 26), date(2025, 11, 28)]
    pl.concat([bars("NA", days), bars("TRUE", days)]).write_csv(tmp_path / "bars.csv")
    plain_chain("NA", "2025-11-29 02:00:00", 3).write_parquet(tmp_path / "chains.parquet")
    (tmp_path / "splits.csv").write_text("symbol,execution_date,split_from,split_to\nNA,2025-11-28,1,4\n")
    recording = load_recording(tmp_path)
    assert recording.recorded_session == date(2025, 11, 28)
    assert recording.default_now == datetime(2025, 11, 29, 4, tzinfo=NEW_YORK)
    assert recording.sessions == days
    assert recording.bars_of(days[0])["symbol"].to_list() == ["NA", "TRUE"]
    assert recording.splits.rows() == [("NA", date(2025, 11, 28), 1.0, 4.0)]
    with serving(recording) as vendor:
        rows = fetch(vendor, "NA")
    assert [row["details"]["strike_price"] for row in rows] == [1, 2, 3]
    assert (
        rows[0]["day"]["volume"] == 7 and rows[0]["greeks"]["delta"] == 0.5 and rows[0]["open_interest"] == 11
    )


def test_the_session_with_most_underlyings_and_the_longest_history_are_chosen(tmp_path: Path) -> None:
    (tmp_path / "ohlcv").mkdir()
    (tmp_path / "options").mkdir()
    long, short = [date(2025, 11, d) for d in (24, 25, 26)], [date(2025, 11, 26), date(2025, 11, 28)]
    bars("AA", long).write_parquet(tmp_path / "ohlcv" / "z_long.parquet")
    bars("AA", short).write_parquet(tmp_path / "ohlcv" / "a_short.parquet")
    pl.concat([
        plain_chain("AA", "2025-11-26 23:00:00", 2),
        plain_chain("AA", "2025-11-27 15:00:00", 4),  # Thanksgiving: still the 26th, and the later capture
        plain_chain("BB", "2025-11-26 22:00:00", 1),
        plain_chain("AA", "2025-11-28 19:00:00", 9),  # 14:00 New York of a half day: closed since 13:00
        plain_chain("BB", "2025-11-26 19:00:00", 9),  # while the market was open
    ]).write_parquet(tmp_path / "options" / "my_chains.parquet")  # fmt: skip
    pl.DataFrame({"something": [1]}).write_parquet(tmp_path / "options" / "other_chains.parquet")
    recording = load_recording(tmp_path)
    assert recording.recorded_session == date(2025, 11, 26)
    assert recording.sessions == long
    assert {symbol: chain.height for symbol, chain in recording.chains.items()} == {"AA": 4, "BB": 1}
    assert sum("left out" in note for note in recording.notes) == 2


def test_bars_without_chains_end_at_their_own_last_session(tmp_path: Path) -> None:
    bars("AA", [date(2025, 11, 26), date(2025, 11, 27), date(2025, 11, 28)]).write_parquet(
        tmp_path / "b.parquet"
    )
    recording = load_recording(tmp_path)
    assert (
        recording.recorded_session == date(2025, 11, 28) and recording.chain_symbols(date(2025, 11, 28)) == []
    )
    assert recording.sessions == [date(2025, 11, 26), date(2025, 11, 28)]  # Thanksgiving is not a session
    assert recording.splits.height == 0


def test_a_folder_may_bring_its_own_list_of_tickers(tmp_path: Path) -> None:
    days = [date(2025, 11, 26), date(2025, 11, 28)]
    pl.concat([bars("NA", days), bars("OTHER", days)]).write_csv(tmp_path / "bars.csv")
    (tmp_path / "tickers.csv").write_text(
        "symbol,name,active,list_date,delisted,composite_figi\n"
        "NA,Old Company,false,,2024-02-01,BBG000B9XRY4\nNA,New Company,true,2025-01-02,,\n"
        "GONE,Never dated,false,,,\n"
    )
    with serving(load_recording(tmp_path)) as vendor:
        headers = {"Authorization": f"Bearer {vendor.api_key}"}
        with httpx.Client(base_url=vendor.url, headers=headers, trust_env=False) as client:
            active, gone = (
                client.get("/v3/reference/tickers", params={"active": flag}).json()["results"]
                for flag in ("true", "false")
            )
            bare = client.get("/v3/reference/tickers/OTHER").json()["results"]
    assert [(row["ticker"], row.get("name")) for row in active] == [("NA", "New Company"), ("OTHER", None)]
    assert {row["name"]: row.get("composite_figi") for row in gone} == {
        "Old Company": "BBG000B9XRY4", "Never dated": None,
    }  # fmt: skip
    assert gone[1]["delisted_utc"] == "2024-02-01T00:00:00Z" and "delisted_utc" not in gone[0]
    assert bare["ticker_root"] == "OTHER" and "market_cap" not in bare


def test_folders_that_cannot_be_served_say_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder"):
        load_recording(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="ohlcv"):
        load_recording(tmp_path)
    bars("AA", [date(2025, 11, 26)]).write_parquet(tmp_path / "bars.parquet")
    plain_chain("AA", "2026-01-07 02:00:00", 1).write_parquet(tmp_path / "chains.parquet")
    with pytest.raises(ValueError, match="2026-01-06"):
        load_recording(tmp_path)


@pytest.mark.parametrize(
    ("captured", "session"),
    [
        ("2026-05-06T02:54:30+00:00", RECORDED),  # evening of the 5th in New York
        ("2026-05-06T12:00:00+00:00", RECORDED),  # before the opening bell
        ("2026-05-06T17:00:00+00:00", None),  # while it trades
        ("2026-05-09T15:00:00+00:00", date(2026, 5, 8)),  # a Saturday
    ],
)
def test_a_capture_belongs_to_the_last_completed_session(captured: str, session: date | None) -> None:
    assert session_of_capture(datetime.fromisoformat(captured)) == session


# --- the shared recording ---------------------------------------------------------------------------------


def test_the_shared_folder_yields_the_evening_of_2026_05_05(recording: Recording) -> None:
    assert recording.recorded_session == RECORDED and recording.label == "RECORDED"
    assert {symbol: chain.height for symbol, chain in recording.chains.items()} == COUNTS
    assert recording.bars_of(RECORDED).height == 81
    assert "bars from ndx103_2018-03_2026-05.parquet" in recording.notes
    assert recording.default_now == datetime(2026, 5, 6, 4, tzinfo=NEW_YORK)
    assert any("QQQ" in note and "open" in note for note in recording.notes)


def test_every_recorded_contract_is_served_once_with_its_numbers(
    recorded_vendor: Serving, shared_data: Path
) -> None:
    raw = pl.read_parquet(shared_data / "options" / "cboe_chains_2026.parquet").filter(
        pl.col("underlying") == "TSLA", pl.col("snapshot_ts_utc").str.starts_with("2026-05-06")
    )
    rows = fetch(recorded_vendor, "TSLA")
    served = {row["details"]["ticker"]: row for row in rows}
    assert len(rows) == len(served) == COUNTS["TSLA"]
    midnight = int(datetime(2026, 5, 5, tzinfo=NEW_YORK).timestamp()) * 10**9
    for truth in raw.iter_rows(named=True):
        row = served["O:" + truth["option"]]
        assert row["open_interest"] == truth["open_interest"]
        assert row["last_quote"]["bid"] == truth["bid"] and row["last_quote"]["ask"] == truth["ask"]
        assert row.get("implied_volatility", 0) == truth["iv"]
        assert ("greeks" in row) <= (truth["iv"] > 0)
        assert row["underlying_asset"]["price"] == truth["underlying_current_price"]
        if truth["last_trade_time"] is None:
            assert row["day"] == {} and "last_trade" not in row
        else:
            today = truth["last_trade_time"].startswith("2026-05-05")
            assert (row["day"]["last_updated"] == midnight) == today
            assert row["day"].get("volume", 0) == truth["volume"]
            assert row["day"]["close"] == truth["last_trade_price"]


def test_the_recorded_option_file_holds_what_the_chains_say_traded_that_session(
    recorded_vendor: Serving, shared_data: Path
) -> None:
    raw = pl.read_parquet(shared_data / "options" / "cboe_chains_2026.parquet").filter(
        pl.col("underlying").is_in(list(COUNTS)), pl.col("snapshot_ts_utc").str.starts_with("2026-05-06"),
        pl.col("last_trade_time").str.starts_with("2026-05-05"), pl.col("volume") > 0,
        pl.col("last_trade_price") > 0,
    )  # fmt: skip
    headers = {"Authorization": f"AWS4-HMAC-SHA256 Credential={recorded_vendor.s3_key_id}/x"}
    with httpx.Client(base_url=recorded_vendor.url, headers=headers, trust_env=False) as client:
        head = client.head("/flatfiles/" + OPTIONS.key(RECORDED))
        body = client.get("/flatfiles/" + OPTIONS.key(RECORDED)).raise_for_status().content
        earlier = client.get("/flatfiles/" + OPTIONS.key(date(2026, 5, 4)))
        listed = client.get("/flatfiles", params={"list-type": 2, "prefix": OPTIONS.prefix}).text
    assert head.headers["etag"] == f'"{hashlib.md5(body).hexdigest()}"' and listed.count("<Key>") == 1
    assert earlier.status_code == 404
    table = pl.read_csv(gzip.decompress(body), schema_overrides={"volume": pl.Float64, "close": pl.Float64})
    expected = raw.select(ticker="O:" + pl.col("option"), volume="volume", close="last_trade_price")
    expected = expected.cast({"volume": pl.Float64}).unique("ticker").sort("ticker")
    assert table.select("ticker", "volume", "close").equals(expected) and table.height > 5_000
    assert table["transactions"].null_count() == table.height


def test_recorded_chains_give_the_open_interest_of_the_session_before_and_their_own_analytics(
    recorded_vendor: Serving, shared_data: Path
) -> None:
    headers = {"Authorization": f"Bearer {recorded_vendor.api_key}"}
    with httpx.Client(base_url=recorded_vendor.url, headers=headers, trust_env=False) as client:
        ask = {"underlying_ticker": "PLTR", "limit": 5000}
        interest = client.get("/options/v1/open-interest", params=ask).json()["results"]
        analytics = client.get("/options/v1/analytics", params=ask).json()["results"]
    assert {row["date"] for row in interest} == {"2026-05-04"}
    snapshot = {row["details"]["ticker"]: row["open_interest"] for row in fetch(recorded_vendor, "PLTR")}
    assert {row["ticker"]: row["open_interest"] for row in interest} == snapshot
    assert {row["date"] for row in analytics} == {"2026-05-05"} and len(analytics) == COUNTS["PLTR"]
    assert any(row["rho"] for row in analytics) and analytics[0]["risk_free_rate"] is None


def test_the_recorded_spot_is_the_after_hours_print_as_it_was_recorded(recorded_vendor: Serving) -> None:
    # AMD closed at 355.26 and stood near 414 after its earnings; the product has to notice, not the recording
    assert fetch(recorded_vendor, "AMD")[0]["underlying_asset"]["price"] == pytest.approx(414.0, abs=0.1)


def test_recorded_bars_come_through_the_flat_files_unchanged(
    recorded_vendor: Serving, shared_data: Path
) -> None:
    raw = pl.read_parquet(shared_data / "ohlcv" / "ndx103_2018-03_2026-05.parquet").filter(
        pl.col("date") == RECORDED
    )
    served = recorded_vendor.simulation.bars_of(RECORDED)
    assert served["close"].equals(raw.sort("symbol")["close"])
    assert not recorded_vendor.simulation.is_published(date(2026, 5, 6))
    assert recorded_vendor.simulation.chain_of("QQQ") is None
