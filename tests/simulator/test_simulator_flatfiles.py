"""The S3 dialect as boto3 sees it: listing, head, ranged get, and what absence and refusal look like."""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import boto3
import polars as pl
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from kapman_resources.calendar import NEW_YORK, session_offset, sessions_between
from kapman_simulator.day_files import HEADER, day_file, day_key
from kapman_simulator.server import Serving
from kapman_simulator.source import GeneratedSource

BUCKET = "flatfiles"
LAST = date(2026, 6, 12)


def s3(vendor: Serving, key_id: str | None = None) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=vendor.url,
        region_name="us-east-1",
        aws_access_key_id=key_id or vendor.s3_key_id,
        aws_secret_access_key=vendor.s3_secret,
        config=Config(
            signature_version="s3v4", s3={"addressing_style": "path"}, retries={"max_attempts": 1}, proxies={}
        ),
    )


@pytest.fixture
def bucket(vendor: Serving) -> Iterator[Any]:
    opened = s3(vendor)
    yield opened
    opened.close()


def code(error: pytest.ExceptionInfo[ClientError]) -> tuple[int, str]:
    response = error.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def test_listing_names_every_published_session_once_over_all_pages(bucket: Any) -> None:
    pages = bucket.get_paginator("list_objects_v2").paginate(
        Bucket=BUCKET, Prefix="us_stocks_sip/day_aggs_v1/2026/", PaginationConfig={"PageSize": 30}
    )
    entries = [entry for page in pages for entry in page.get("Contents", [])]
    assert [entry["Key"] for entry in entries] == [
        day_key(d) for d in sessions_between(date(2026, 1, 1), LAST)
    ]
    assert all(entry["Size"] > 1000 for entry in entries)
    month = bucket.list_objects_v2(Bucket=BUCKET, Prefix="us_stocks_sip/day_aggs_v1/2026/05/")
    assert month["KeyCount"] == 20 and not month["IsTruncated"]
    folders = bucket.list_objects_v2(
        Bucket=BUCKET, Prefix="us_stocks_sip/day_aggs_v1/", Delimiter="/", MaxKeys=2
    )
    assert [entry["Prefix"][-5:] for entry in folders["CommonPrefixes"]] == ["2023/", "2024/"]
    following = bucket.list_objects_v2(
        Bucket=BUCKET, Prefix="us_stocks_sip/day_aggs_v1/", Delimiter="/",
        ContinuationToken=folders["NextContinuationToken"],
    )  # fmt: skip
    assert [entry["Prefix"][-5:] for entry in following["CommonPrefixes"]] == ["2025/", "2026/"]


def test_head_list_and_get_describe_the_same_object(bucket: Any, vendor: Serving) -> None:
    key = day_key(LAST)
    head = bucket.head_object(Bucket=BUCKET, Key=key)
    listed = bucket.list_objects_v2(Bucket=BUCKET, Prefix=key)["Contents"][0]
    got = bucket.get_object(Bucket=BUCKET, Key=key)
    body = got["Body"].read()
    assert head["ContentLength"] == listed["Size"] == got["ContentLength"] == len(body)
    assert head["ETag"] == listed["ETag"] == got["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    published = datetime(2026, 6, 12, 22, tzinfo=NEW_YORK).astimezone(UTC)
    assert head["LastModified"] == listed["LastModified"] == published
    assert "ContentEncoding" not in head
    again = GeneratedSource(7, LAST, symbols=90)
    assert day_file(again.bars_of(LAST), LAST) == body


def test_the_file_holds_the_session_s_bars_under_the_vendor_s_header(bucket: Any, vendor: Serving) -> None:
    for session, utc_hour in ((LAST, 4), (date(2026, 1, 15), 5)):
        body = bucket.get_object(Bucket=BUCKET, Key=day_key(session))["Body"].read()
        text = gzip.decompress(body)
        assert text.decode().splitlines()[0] == ",".join(HEADER)
        table = pl.read_csv(io.BytesIO(text), schema_overrides={"ticker": pl.String, "volume": pl.Float64})
        bars = vendor.simulation.bars_of(session)
        assert table["ticker"].to_list() == bars["symbol"].to_list()
        for name in ("open", "close", "high", "low", "volume"):
            assert table[name].cast(pl.Float64).equals(bars[name]), name
        start = int(datetime(session.year, session.month, session.day, utc_hour, tzinfo=UTC).timestamp())
        assert set(table["window_start"]) == {start * 10**9}
    whole = [line.split(",") for line in text.decode().splitlines()[1:]]
    assert not any(field.endswith(".0") for row in whole for field in row)


def test_a_range_is_answered_in_part(bucket: Any) -> None:
    key = day_key(LAST)
    body = bucket.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    part = bucket.get_object(Bucket=BUCKET, Key=key, Range="bytes=10-99")
    assert part["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert part["ContentRange"] == f"bytes 10-99/{len(body)}" and part["Body"].read() == body[10:100]
    assert bucket.get_object(Bucket=BUCKET, Key=key, Range="bytes=-5")["Body"].read() == body[-5:]
    with pytest.raises(ClientError) as refused:
        bucket.get_object(Bucket=BUCKET, Key=key, Range=f"bytes={len(body)}-")
    assert code(refused) == (416, "InvalidRange")


def test_a_session_not_published_yet_is_not_listed_and_forbidden(bucket: Any, vendor: Serving) -> None:
    before = vendor.simulation.now
    vendor.simulation.move_to(datetime(2026, 6, 12, 21, 59, tzinfo=NEW_YORK))
    key = day_key(LAST)
    assert "Contents" not in bucket.list_objects_v2(Bucket=BUCKET, Prefix=key)
    for call in (bucket.get_object, bucket.head_object):
        with pytest.raises(ClientError) as refused:
            call(Bucket=BUCKET, Key=key)
        assert code(refused)[0] == 403
    vendor.simulation.move_to(datetime(2026, 6, 12, 22, 0, tzinfo=NEW_YORK))
    assert bucket.list_objects_v2(Bucket=BUCKET, Prefix=key)["KeyCount"] == 1
    assert bucket.head_object(Bucket=BUCKET, Key=key)["ContentLength"] > 0
    vendor.simulation.move_to(before)
    with pytest.raises(ClientError) as refused:
        bucket.get_object(Bucket=BUCKET, Key=day_key(session_offset(LAST, 1)))
    assert code(refused) == (403, "AccessDenied")


@pytest.mark.parametrize(
    "key",
    [
        day_key(date(2026, 5, 25)),  # Memorial Day
        day_key(date(2026, 6, 13)),  # a Saturday
        "us_stocks_sip/day_aggs_v1/2026-06-12.csv.gz",  # a form that never existed
        "us_stocks_sip/day_aggs_v1/2026/02/2026-02-31.csv.gz",
    ],
)
def test_a_day_without_trading_does_not_exist(bucket: Any, key: str) -> None:
    with pytest.raises(ClientError) as refused:
        bucket.get_object(Bucket=BUCKET, Key=key)
    assert code(refused) == (404, "NoSuchKey")


def test_a_wrong_access_key_is_named_and_head_errors_have_no_body(vendor: Serving) -> None:
    stranger = s3(vendor, "AKIAWRONG")
    with pytest.raises(ClientError) as refused:
        stranger.list_objects_v2(Bucket=BUCKET)
    assert code(refused) == (403, "InvalidAccessKeyId")
    with pytest.raises(ClientError) as refused:
        stranger.head_object(Bucket=BUCKET, Key=day_key(LAST))
    assert code(refused) == (403, "403")
