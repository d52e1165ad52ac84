"""The flat-file client: real boto3 against the simulated vendor, and the parser against hand-made files."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Iterator
from datetime import date
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2 as httpx
import polars as pl
import pytest

from kapman_resources import calendar
from kapman_resources.market_data import (
    BadCredentials,
    NotEntitled,
    NotYetPublished,
    VendorAnswerError,
    VendorUnreachable,
)
from kapman_resources.market_data.flat_files import STOCK_DAYS, FlatFiles, decompress, key_of, parse_day_file
from kapman_resources.market_data.protocol import RAW_BAR_SCHEMA, BarFile, KnownFile, MissingFile
from kapman_simulator.server import Serving

HEADER = "ticker,volume,open,close,high,low,window_start,transactions"


@pytest.fixture(autouse=True)
def boto_does_not_wait(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Retries without their pauses, and nothing read from an AWS configuration of this machine."""
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda seconds: None))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@cache
def _client(**given: str) -> FlatFiles:
    return FlatFiles(**given)


def client(vendor: Serving, **changes: str) -> FlatFiles:
    """The same client for the same arguments: boto3 takes a while to make one."""
    given = {"endpoint": vendor.url, "bucket": "flatfiles"}
    return _client(**(given | {"access_key": vendor.s3_key_id, "secret_key": vendor.s3_secret} | changes))


def fault(vendor: Serving, **plan: Any) -> None:
    httpx.post(f"{vendor.url}/simulator/faults", json=plan, trust_env=False).raise_for_status()


def refuse(vendor: Serving, status: int, session: date, times: int = 20) -> None:
    fault(
        vendor,
        statuses=[{"prefix": f"/flatfiles/{key_of(STOCK_DAYS, session)}", "status": status, "times": times}],
    )


def only(files: Iterator[BarFile | MissingFile]) -> BarFile:
    """The one file asked for; raises what it is missing for."""
    (file,) = files
    if isinstance(file, MissingFile):
        raise file.error
    return file


def known(session: date, file: BarFile) -> dict[date, KnownFile]:
    return {session: KnownFile(file.etag, file.checksum)}


# --- the service --------------------------------------------------------------------------------------------


def test_a_published_session_arrives_whole_with_source_etag_and_label(
    small_vendor: Serving, vendor_session: date
) -> None:
    file = only(client(small_vendor).files(STOCK_DAYS, [vendor_session], {}))
    truth = small_vendor.simulation.bars_of(vendor_session)
    assert (file.session, file.source, file.label, file.unchanged) == (
        vendor_session,
        "flatfile",
        "SIMULATED",
        False,
    )
    assert dict(file.rows.schema) == RAW_BAR_SCHEMA and file.size_bytes > 1000 and len(file.etag) == 32
    columns = ["symbol", "open", "high", "low", "close", "volume"]
    assert file.rows.select(columns).sort("symbol").equals(truth.select(columns).sort("symbol"))
    assert file.rows["session"].unique().to_list() == [vendor_session]
    assert file.rows["vwap"].null_count() == file.rows.height  # the files have none


def test_several_sessions_come_in_the_order_asked_for_across_months_and_clock_changes(
    small_vendor: Serving,
) -> None:
    sessions = calendar.sessions_between(date(2026, 2, 25), date(2026, 3, 12))
    assert [f.session for f in client(small_vendor).files(STOCK_DAYS, sessions, {})] == sessions
    backwards = sessions[::-1]
    files = list(client(small_vendor).files(STOCK_DAYS, backwards, {}))
    assert [f.session for f in files] == backwards
    assert all(f.rows["session"].unique().to_list() == [f.session] for f in files)


def test_a_file_with_the_known_etag_is_not_downloaded_and_one_with_another_is(
    small_vendor: Serving, vendor_session: date
) -> None:
    earlier = calendar.session_offset(vendor_session, -1)
    first, second = client(small_vendor).files(STOCK_DAYS, [earlier, vendor_session], {})
    refuse(small_vendor, 403, earlier)  # a download would fail
    stored = known(earlier, first) | {vendor_session: KnownFile("another", None)}
    same, changed = client(small_vendor).files(STOCK_DAYS, [earlier, vendor_session], stored)
    assert same.unchanged and same.rows.height == 0 and same.etag == first.etag
    assert dict(same.rows.schema) == RAW_BAR_SCHEMA
    assert not changed.unchanged and changed.rows.equals(second.rows)


def test_a_replaced_file_has_another_etag(small_vendor: Serving, vendor_session: date) -> None:
    before = only(client(small_vendor).files(STOCK_DAYS, [vendor_session], {}))
    fault(small_vendor, drop_symbols=["AAPL"])
    after = only(client(small_vendor).files(STOCK_DAYS, [vendor_session], known(vendor_session, before)))
    assert not after.unchanged and after.etag != before.etag
    assert after.rows.height == before.rows.height - 1


def test_a_session_that_is_not_listed_is_not_yet_published(
    small_vendor: Serving, vendor_session: date
) -> None:
    tomorrow = calendar.session_offset(vendor_session, 1)
    fault(small_vendor, unpublished=[str(vendor_session)])
    for session in (tomorrow, vendor_session):
        with pytest.raises(NotYetPublished, match=rf"{session}\.csv\.gz is not published yet .* again later"):
            only(client(small_vendor).files(STOCK_DAYS, [session], {}))


def test_a_listed_file_that_may_not_be_read_is_not_in_the_plan(
    small_vendor: Serving, vendor_session: date
) -> None:
    refuse(small_vendor, 403, vendor_session)
    with pytest.raises(NotEntitled, match=rf"{vendor_session}\.csv\.gz is listed but .*403.* the plan"):
        only(client(small_vendor).files(STOCK_DAYS, [vendor_session], {}))


def test_a_wrong_key_is_told_apart_and_not_printed(small_vendor: Serving, vendor_session: date) -> None:
    wrong = client(small_vendor, access_key="AKIDWRONG", secret_key="hidden-secret")
    with pytest.raises(BadCredentials) as refused:
        only(wrong.files(STOCK_DAYS, [vendor_session], {}))
    said = str(refused.value)
    assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in said and "InvalidAccessKeyId" in said
    assert "hidden-secret" not in said
    assert wrong.check() == said
    assert client(small_vendor).check() == "ok"


def test_a_server_in_trouble_is_not_taken_for_a_lost_plan_or_a_wrong_key(
    small_vendor: Serving, vendor_session: date
) -> None:
    refuse(small_vendor, 503, vendor_session)
    with pytest.raises(VendorUnreachable, match=r"in trouble .*HTTP 503.*run again later"):
        only(client(small_vendor).files(STOCK_DAYS, [vendor_session], {}))
    fault(small_vendor, statuses=[{"prefix": "/flatfiles", "status": 500, "times": 20}])
    with pytest.raises(VendorUnreachable, match="HTTP 500"):
        only(client(small_vendor).files(STOCK_DAYS, [vendor_session], {}))


def test_a_server_error_that_passes_is_retried(small_vendor: Serving, vendor_session: date) -> None:
    refuse(small_vendor, 503, vendor_session, times=2)
    assert only(client(small_vendor).files(STOCK_DAYS, [vendor_session], {})).rows.height > 30


def test_a_bucket_that_does_not_exist_names_its_variable(small_vendor: Serving, vendor_session: date) -> None:
    with pytest.raises(VendorAnswerError, match=r"do not hold bucket wrong .*check S3_BUCKET"):
        only(client(small_vendor, bucket="wrong").files(STOCK_DAYS, [vendor_session], {}))


def test_a_connection_that_breaks_in_the_middle_of_a_file_gives_no_rows(
    small_vendor: Serving, vendor_session: date
) -> None:
    fault(small_vendor, cut={str(vendor_session): 700})
    with pytest.raises(VendorAnswerError, match=r"broke off while reading, 3 times .*run the session again"):
        only(client(small_vendor).files(STOCK_DAYS, [vendor_session], {}))


def test_a_file_stored_half_is_recognised_by_its_missing_end(
    small_vendor: Serving, vendor_session: date
) -> None:
    fault(small_vendor, truncate={str(vendor_session): 700})
    with pytest.raises(VendorAnswerError, match=rf"{vendor_session}\.csv\.gz is not a whole gzip file"):
        only(client(small_vendor).files(STOCK_DAYS, [vendor_session], {}))


def test_one_bad_file_does_not_lose_the_others(small_vendor: Serving, vendor_session: date) -> None:
    sessions = [calendar.session_offset(vendor_session, -3 + i) for i in range(4)]
    fault(
        small_vendor,
        truncate={str(sessions[1]): 700},
        statuses=[{"prefix": f"/flatfiles/{key_of(STOCK_DAYS, sessions[2])}", "status": 403, "times": 20}],
    )
    first, cut, forbidden, last = client(small_vendor).files(STOCK_DAYS, sessions, {})
    assert first.rows.height > 30 and last.rows.height > 30
    assert isinstance(cut, MissingFile) and isinstance(cut.error, VendorAnswerError)
    assert isinstance(forbidden, MissingFile) and isinstance(forbidden.error, NotEntitled)


def test_a_file_published_again_with_equal_content_counts_as_unchanged(
    small_vendor: Serving, vendor_session: date
) -> None:
    before = only(client(small_vendor).files(STOCK_DAYS, [vendor_session], {}))
    stored = {vendor_session: KnownFile("an older tag", before.checksum)}
    again = only(client(small_vendor).files(STOCK_DAYS, [vendor_session], stored))
    assert again.unchanged and again.etag == before.etag and again.checksum == before.checksum


def test_when_the_file_was_written_is_known(small_vendor: Serving, vendor_session: date) -> None:
    file = only(client(small_vendor).files(STOCK_DAYS, [vendor_session], {}))
    assert file.last_modified is not None
    assert file.last_modified == small_vendor.simulation.published_at(vendor_session)


def test_an_address_where_nobody_listens_says_what_to_check(vendor_session: date) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: refused at once
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        away = FlatFiles(endpoint=endpoint, bucket="flatfiles", access_key="a", secret_key="b")
        with pytest.raises(VendorUnreachable) as refused:
            only(away.files(STOCK_DAYS, [vendor_session], {}))
    assert endpoint in str(refused.value)
    assert "check the network and POLYGON_S3_ENDPOINT" in str(refused.value)


# --- the file -----------------------------------------------------------------------------------------------


def stamp(session: date) -> int:
    return int(calendar.session_time(session).timestamp()) * 1_000_000_000


def text_of(*lines: str, header: str = HEADER) -> bytes:
    return "\n".join([header, *lines, ""]).encode()


def parse(*lines: str, header: str = HEADER) -> pl.DataFrame:
    return parse_day_file(text_of(*lines, header=header), "2026-05-05.csv.gz")


SESSION = date(2026, 5, 5)
T = stamp(SESSION)


def test_symbols_that_look_like_nulls_booleans_or_numbers_are_symbols() -> None:
    names = ["NA", "TRUE", "NULL", "nan", "INF", "BRK.B", "BACpL", "BACPL", "E"]
    rows = parse(*(f"{name},100,1,2,3,0.5,{T},7" for name in names))
    assert rows["symbol"].to_list() == names
    assert rows.row(0) == ("NA", 1.0, 3.0, 0.5, 2.0, 100.0, None, SESSION)


def test_volume_may_be_fractional_and_prices_whole() -> None:
    rows = parse(f"AAPL,9099.618093,190,191.5,192,189,{T},7")
    assert rows.row(0) == ("AAPL", 190.0, 192.0, 189.0, 191.5, 9099.618093, None, SESSION)


def test_columns_are_found_by_name_and_extra_ones_are_ignored() -> None:
    header = "decimal_size,window_start,low,high,close,open,ticker,volume"
    rows = parse(f"whatever,{T},0.5,3,2,1,AAPL,100", header=header)
    assert rows.row(0) == ("AAPL", 1.0, 3.0, 0.5, 2.0, 100.0, None, SESSION)


@pytest.mark.parametrize("column", ["ticker", "volume", "open", "close", "high", "low", "window_start"])
def test_a_missing_column_is_named(column: str) -> None:
    header = ",".join(name for name in HEADER.split(",") if name != column)
    with pytest.raises(VendorAnswerError, match=f"2026-05-05.csv.gz: column {column} is missing in header"):
        parse("1,2,3,4,5,6,7", header=header)


@pytest.mark.parametrize(
    ("session", "nanoseconds"),
    [
        (date(2025, 1, 15), 1736917200000000000),
        (date(2025, 3, 7), 1741323600000000000),
        (date(2025, 3, 10), 1741579200000000000),
        (date(2025, 7, 15), 1752552000000000000),
        (date(2025, 11, 3), 1762146000000000000),
    ],
)
def test_the_vendor_s_own_stamps_give_their_session_on_both_sides_of_the_clock_changes(
    session: date, nanoseconds: int
) -> None:
    assert parse(f"A,1,1,1,1,1,{nanoseconds},1")["session"].to_list() == [session]


@pytest.mark.parametrize("off", [1, -1, 3_600_000_000_000, -3_600_000_000_000])
@pytest.mark.parametrize("session", [date(2025, 3, 10), date(2025, 11, 3)])
def test_a_stamp_that_is_not_exactly_midnight_belongs_to_no_session(session: date, off: int) -> None:
    assert parse(f"A,1,1,1,1,1,{stamp(session) + off},1")["session"].to_list() == [None]


def test_a_cell_that_is_no_number_becomes_missing_and_does_not_lose_the_file() -> None:
    rows = parse(f"A,abc,1,1,1,1,{T},1", f"B,1,,1,1,1,{T},1", f"C,1,1,1,1,1,{T}.5,1", f"D,1,1,1,1,1,{T},")
    assert rows["volume"].to_list() == [None, 1.0, 1.0, 1.0]
    assert rows["open"].to_list() == [1.0, None, 1.0, 1.0]
    assert rows["session"].to_list() == [SESSION, SESSION, None, SESSION]


def test_a_nul_in_a_symbol_cannot_stop_the_load_of_the_day() -> None:
    assert parse(f"A\0B,1,1,1,1,1,{T},1")["symbol"].to_list() == ["A\ufffdB"]


def test_a_file_without_rows_is_an_empty_frame() -> None:
    rows = parse()
    assert rows.height == 0 and dict(rows.schema) == RAW_BAR_SCHEMA


def test_a_line_with_another_number_of_fields_is_kept_apart_and_takes_no_other_with_it() -> None:
    lines = [
        f"A,1,1,1,1,1,{T},1",
        "B,2,3",
        f"C,1,1,1,1,1,{T},1,9,9",
        "",
        f'"D,1,1,1,1,1,{T},1',
        f"E,1,1,1,1,1,{T},1",
    ]
    rows = parse(*lines)
    assert rows["symbol"].to_list() == ["A", "B,2,3", f"C,1,1,1,1,1,{T},1,9,9", "", '"D', "E"]
    assert rows["close"].to_list() == [1.0, None, None, None, 1.0, 1.0]


def test_bytes_that_are_no_text_do_not_lose_the_file() -> None:
    text = text_of(f"A,1,1,1,1,1,{T},1") + b"\xff\xfe,1,1,1,1,1,2,1\n"
    assert parse_day_file(text, "odd.csv.gz")["symbol"].to_list() == ["A", "\ufffd\ufffd"]


@pytest.mark.parametrize("length", [0, 5, 20, -1])
def test_a_file_cut_anywhere_is_refused(length: int) -> None:
    body = gzip.compress(text_of(*(f"S{i},1,1,1,1,1,{T},1" for i in range(200))))
    with pytest.raises(VendorAnswerError):
        parse_day_file(decompress(body[:length], "cut.csv.gz"), "cut.csv.gz")


def test_a_damaged_byte_is_noticed_by_the_checksum() -> None:
    body = bytearray(gzip.compress(text_of(*(f"S{i},1,1,1,1,1,{T},1" for i in range(200)))))
    body[-8] ^= 1
    with pytest.raises(VendorAnswerError, match="not a whole gzip file"):
        decompress(bytes(body), "damaged.csv.gz")


def test_something_that_is_no_csv_is_refused() -> None:
    with pytest.raises(VendorAnswerError):
        parse_day_file(b"<html>maintenance</html>", "html.csv.gz")


def test_a_key_names_year_month_and_session() -> None:
    assert key_of(STOCK_DAYS, SESSION) == "us_stocks_sip/day_aggs_v1/2026/05/2026-05-05.csv.gz"
