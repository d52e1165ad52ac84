"""The vendor's day files on S3: found by listing, verified before they are believed.

A 403 alone means nothing here: not listed = not published yet, listed = not in the plan. Does not belong here: which
rows are good bars (kapman_metrics.bars).
"""

from __future__ import annotations

import gzip
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from kapman_resources import calendar
from kapman_resources.market_data.protocol import (
    RAW_BAR_SCHEMA,
    BadCredentials,
    BarFile,
    NotEntitled,
    NotYetPublished,
    VendorAnswerError,
    VendorError,
    VendorUnreachable,
)

DATA_SET = "us_stocks_sip/day_aggs_v1"
LABEL_HEADER = "x-kapman-data-label"  # how the bundled simulator says that its data is not the vendor's
COLUMNS = {
    "ticker": pl.String, "volume": pl.Float64, "open": pl.Float64, "close": pl.Float64, "high": pl.Float64,
    "low": pl.Float64, "window_start": pl.Int64,
}  # fmt: skip
_AHEAD = 3  # downloads in flight beside the parse: memory stays flat however long the range


@dataclass(frozen=True)
class _Listed:
    key: str
    etag: str
    size: int


def key_of(session: date) -> str:
    return f"{DATA_SET}/{session:%Y/%m/%Y-%m-%d}.csv.gz"


class FlatFiles:
    """Read-only client of the flat-file bucket; opens nothing until the first call. Safe to share between threads."""

    def __init__(self, *, endpoint: str, bucket: str, access_key: str, secret_key: str) -> None:
        self._endpoint, self._bucket = endpoint, bucket
        self._keys = access_key, secret_key
        self._s3: Any = None

    def files(self, sessions: Iterable[date], known_etags: Mapping[date, str]) -> Iterator[BarFile]:
        """The sessions' files in order, downloads running a little ahead of the caller.

        Raises NotYetPublished, NotEntitled, BadCredentials, VendorUnreachable or VendorAnswerError at the first
        session that fails; what was yielded before stays good.
        """
        listed: dict[str, _Listed] = {}
        months: set[str] = set()

        def fetch(session: date) -> BarFile:
            found = listed.get(key_of(session))
            if found is not None and found.etag == known_etags.get(session):
                return BarFile(session, "flatfile", found.etag, found.size, _no_rows(), unchanged=True)
            return self._download(session, found)

        with ThreadPoolExecutor(_AHEAD, thread_name_prefix="flatfile") as pool:
            waiting: deque[Future[BarFile]] = deque()
            try:
                for session in sessions:
                    month = f"{DATA_SET}/{session:%Y/%m/}"
                    if month not in months:
                        months.add(month)
                        listed |= self._list(month)
                    waiting.append(pool.submit(fetch, session))
                    if len(waiting) >= _AHEAD:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def check(self) -> str:
        """'ok', or what is wrong with endpoint or credentials."""
        try:
            self._list(f"{DATA_SET}/{calendar.FIRST_YEAR + 20}/01/")
        except VendorError as error:
            return str(error)
        return "ok"

    # -- S3 -----------------------------------------------------------------------------------------------------

    def _client(self) -> Any:
        if self._s3 is None:
            import boto3
            from botocore.config import Config

            self._s3 = boto3.session.Session().client(
                "s3",
                endpoint_url=self._endpoint,
                aws_access_key_id=self._keys[0],
                aws_secret_access_key=self._keys[1],
                region_name="us-east-1",
                config=Config(
                    signature_version="s3v4",
                    s3={"addressing_style": "path"},
                    connect_timeout=5,
                    read_timeout=60,
                    retries={"max_attempts": 4, "mode": "standard"},
                ),
            )
        return self._s3

    def _list(self, prefix: str) -> dict[str, _Listed]:
        from botocore.exceptions import BotoCoreError, ClientError

        found: dict[str, _Listed] = {}
        try:
            for page in (
                self._client().get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            ):
                for item in page.get("Contents", []):
                    found[item["Key"]] = _Listed(item["Key"], item["ETag"].strip('"'), item["Size"])
        except ClientError as error:
            raise self._refusal(error, f"bucket {self._bucket}") or self._bad_keys(error) from error
        except BotoCoreError as error:
            raise VendorUnreachable(
                f"no answer from the flat files at {self._endpoint} ({type(error).__name__}): check the network and "
                "POLYGON_S3_ENDPOINT, then run again"
            ) from error
        return found

    def _download(self, session: date, listed: _Listed | None) -> BarFile:
        from botocore.exceptions import BotoCoreError, ClientError

        if listed is None:
            raise NotYetPublished(
                f"the day file of session {session} is not published yet (expected by about 11:00 New York of the next "
                "day): run the session again later"
            )
        try:
            answer = self._client().get_object(Bucket=self._bucket, Key=listed.key)
            body = answer["Body"].read()
        except ClientError as error:
            raise self._refusal(error, listed.key) or NotEntitled(
                f"{listed.key} is listed but may not be read ({_code(error)}): the plan does not include this "
                "data set or reach back this far"
            ) from error
        except BotoCoreError as error:
            raise VendorUnreachable(
                f"{listed.key} broke off while reading ({type(error).__name__}): run the session again"
            ) from error
        if len(body) != answer["ContentLength"]:
            raise VendorAnswerError(
                f"{listed.key}: {len(body)} of {answer['ContentLength']} bytes arrived: run again"
            )
        label = answer["ResponseMetadata"]["HTTPHeaders"].get(LABEL_HEADER)
        etag = answer["ETag"].strip('"')
        return BarFile(session, "flatfile", etag, len(body), parse_day_file(body, listed.key), label)

    def _refusal(self, error: Any, asked: str) -> VendorError | None:
        """What an S3 error means whatever was asked; None when the answer depends on that."""
        status, code = _status(error), error.response.get("Error", {}).get("Code")
        if code in ("InvalidAccessKeyId", "SignatureDoesNotMatch"):
            return self._bad_keys(error)
        if status >= 500 or status == 429:
            return VendorUnreachable(
                f"the flat files at {self._endpoint} are in trouble ({_code(error)} for {asked}): run again later"
            )
        if status == 404:
            return VendorAnswerError(
                f"the flat files at {self._endpoint} do not hold {asked} ({_code(error)}): check S3_BUCKET, run again"
            )
        return None

    def _bad_keys(self, error: Any) -> BadCredentials:
        return BadCredentials(
            f"the flat files at {self._endpoint} refused the S3 keys ({_code(error)}): check AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY; they are the vendor's flat-file keys, not an AWS account's"
        )


def parse_day_file(body: bytes, name: str) -> pl.DataFrame:
    """RAW_BAR_SCHEMA rows of one gzip day file; columns are found by name, symbols are never read as null or boolean.

    Raises VendorAnswerError for a truncated or damaged file and for a missing column.
    """
    try:
        text = gzip.decompress(body)
    except (OSError, EOFError, zlib.error) as error:
        raise VendorAnswerError(f"{name} is not a whole gzip file ({error}): run again") from error
    header = text[: text.find(b"\n")].decode(errors="replace").strip().split(",")
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise VendorAnswerError(
            f"{name}: column {', '.join(missing)} is missing in header {','.join(header)}"
        )
    try:
        raw = pl.read_csv(
            text,
            schema={column: COLUMNS.get(column, pl.String) for column in header},
            columns=list(COLUMNS),
            ignore_errors=True,  # a cell that is no number becomes null, and its row is rejected by name later
        )
    except pl.exceptions.PolarsError as error:
        raise VendorAnswerError(f"{name} cannot be read as CSV ({error})") from error
    session = (
        pl.from_epoch("window_start", "ns")
        .dt.replace_time_zone("UTC")
        .dt.convert_time_zone("America/New_York")
    )
    return raw.select(
        # NUL cannot be stored, not even among the rejected rows
        pl.col("ticker").str.replace_all("\0", "\ufffd", literal=True).alias("symbol"),
        "open",
        "high",
        "low",
        "close",
        "volume",
        pl.lit(None, pl.Float64).alias("vwap"),
        # a stamp that is not exactly midnight of a New York day belongs to no session
        pl.when(session.dt.time() == pl.time(0)).then(session.dt.date()).alias("session"),
    )


def _no_rows() -> pl.DataFrame:
    return pl.DataFrame(schema=RAW_BAR_SCHEMA)


def _status(error: Any) -> int:
    return error.response["ResponseMetadata"]["HTTPStatusCode"]


def _code(error: Any) -> str:
    return f"{error.response.get('Error', {}).get('Code', '?')}, HTTP {_status(error)}"
