"""The vendor's day files on S3: found by listing, verified before they are believed.

A 403 alone means nothing here: not listed = not published yet, listed = not in the plan. Does not belong here: which
rows are good bars (kapman_metrics.bars).
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import polars as pl

from kapman_resources import calendar
from kapman_resources.market_data.protocol import (
    RAW_BAR_SCHEMA,
    BadCredentials,
    BarFile,
    KnownFile,
    MissingFile,
    NotEntitled,
    NotYetPublished,
    VendorAnswerError,
    VendorError,
    VendorUnreachable,
)

STOCK_DAYS = "us_stocks_sip/day_aggs_v1"
OPTION_DAYS = "us_options_opra/day_aggs_v1"
LABEL_HEADER = "x-kapman-data-label"  # how the bundled simulator says that its data is not the vendor's
COLUMNS = {
    "ticker": pl.String, "volume": pl.Float64, "open": pl.Float64, "close": pl.Float64, "high": pl.Float64,
    "low": pl.Float64, "window_start": pl.Int64,
}  # fmt: skip
_AHEAD = 3  # downloads in flight beside the parse: memory stays flat however long the range
_READS = 3  # of a file whose connection breaks, or that is replaced while it is read


@dataclass(frozen=True)
class _Described:
    """A file as the listing or HEAD describes it."""

    etag: str
    size: int
    last_modified: datetime | None


class _BrokenOff(VendorAnswerError):
    """The body ended early, or was replaced meanwhile: worth another read."""


def key_of(data_set: str, session: date) -> str:
    return f"{data_set}/{session:%Y/%m/%Y-%m-%d}.csv.gz"


class FlatFiles:
    """Read-only client of the flat-file bucket; opens nothing until the first call. Safe to share between threads."""

    def __init__(self, *, endpoint: str, bucket: str, access_key: str, secret_key: str) -> None:
        self._endpoint, self._bucket = endpoint, bucket
        self._keys = access_key, secret_key
        self._s3: Any = None

    def files(
        self, data_set: str, sessions: Sequence[date], known: Mapping[date, KnownFile]
    ) -> Iterator[BarFile | MissingFile]:
        """The sessions' files in order, downloads running a little ahead of the caller.

        A file that is not there, not in the plan or not readable is yielded as MissingFile. Raises BadCredentials or
        VendorUnreachable, which concern every file alike; what was yielded before stays good.
        """
        listed: dict[str, _Described] = {}
        months: set[str] = set()

        def fetch(session: date) -> BarFile | MissingFile:
            try:
                key = key_of(data_set, session)
                return self._fetch(key, session, listed.get(key), known.get(session))
            except (NotYetPublished, NotEntitled, VendorAnswerError) as error:
                return MissingFile(session, error)

        with ThreadPoolExecutor(_AHEAD, thread_name_prefix="flatfile") as pool:
            waiting: deque[Future[BarFile | MissingFile]] = deque()
            try:
                for session in sessions:
                    month = f"{data_set}/{session:%Y/%m/}"
                    if month not in months:
                        months.add(month)
                        listed |= self._list(month)
                    waiting.append(pool.submit(fetch, session))
                    if len(waiting) > _AHEAD:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def check(self) -> str:
        """'ok', or what is wrong with endpoint or credentials."""
        try:
            self._list(f"{STOCK_DAYS}/{calendar.FIRST_YEAR + 20}/01/")
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

    def _list(self, prefix: str) -> dict[str, _Described]:
        """The files below a prefix, by key."""
        from botocore.exceptions import BotoCoreError, ClientError

        found: dict[str, _Described] = {}
        try:
            for page in (
                self._client().get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            ):
                for item in page.get("Contents", []):
                    found[item["Key"]] = _Described(
                        item["ETag"].strip('"'), item["Size"], item.get("LastModified")
                    )
        except ClientError as error:
            raise self._refusal(error, f"bucket {self._bucket}") or self._bad_keys(error) from error
        except BotoCoreError as error:
            raise self._unreachable(error) from error
        return found

    def _fetch(self, key: str, session: date, listed: _Described | None, known: KnownFile | None) -> BarFile:
        """The session's file, or the fact that it is the known one."""
        if listed is None:
            raise NotYetPublished(
                f"{key} is not published yet (the vendor promises it for about 11:00 New York of the next day): "
                "run the session again later"
            )
        if known is not None and listed.etag == known.etag:
            return _unchanged(session, listed, known.checksum)
        for attempt in range(1, _READS + 1):
            described = self._head(key)
            try:
                body, label = self._read(key, described)
                break
            except _BrokenOff:
                if attempt == _READS:
                    raise
        text = decompress(body, key)
        checksum = hashlib.sha256(text).hexdigest()
        if known is not None and known.checksum == checksum:
            return _unchanged(session, described, checksum)
        rows = parse_day_file(text, key)
        return BarFile(
            session, "flatfile", described.etag, described.size, rows, label,
            checksum=checksum, last_modified=described.last_modified,
        )  # fmt: skip

    def _head(self, key: str) -> _Described:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self._client().head_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            raise self._refusal(error, key) or self._not_entitled(error, key) from error
        except BotoCoreError as error:
            raise self._unreachable(error) from error
        return _Described(answer["ETag"].strip('"'), answer["ContentLength"], answer.get("LastModified"))

    def _read(self, key: str, described: _Described) -> tuple[bytes, str | None]:
        """The whole body and the data label; raises _BrokenOff unless it is the file that was described."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self._client().get_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            raise self._refusal(error, key) or self._not_entitled(error, key) from error
        except BotoCoreError as error:
            raise self._unreachable(error) from error
        try:
            body = answer["Body"].read()
        except (BotoCoreError, OSError) as error:
            raise _BrokenOff(
                f"{key} broke off while reading, {_READS} times ({type(error).__name__}): run the session again"
            ) from error
        if answer["ETag"].strip('"') != described.etag:
            raise _BrokenOff(f"{key} was replaced while it was read, {_READS} times: run the session again")
        if len(body) != described.size:
            raise _BrokenOff(
                f"{key}: {len(body)} of {described.size} bytes arrived, {_READS} times: run the session again"
            )
        return body, answer["ResponseMetadata"]["HTTPHeaders"].get(LABEL_HEADER)

    def _unreachable(self, error: Exception) -> VendorUnreachable:
        return VendorUnreachable(
            f"no answer from the flat files at {self._endpoint} ({type(error).__name__}): check the network and "
            "POLYGON_S3_ENDPOINT, then run again"
        )

    def _not_entitled(self, error: Any, key: str) -> NotEntitled:
        return NotEntitled(
            f"{key} is listed but may not be read ({_code(error)}): the plan does not include this "
            "data set or does not reach back this far"
        )

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


def decompress(body: bytes, name: str) -> bytes:
    """The file's text; raises VendorAnswerError for a truncated or damaged gzip file."""
    try:
        return gzip.decompress(body)
    except (OSError, EOFError, zlib.error) as error:
        raise VendorAnswerError(f"{name} is not a whole gzip file ({error}): run again later") from error


def parse_day_file(text: bytes, name: str) -> pl.DataFrame:
    """RAW_BAR_SCHEMA rows of one day file, one for each of its lines; vwap is null.

    Columns are found by name; symbols are never read as null, boolean or quoted. A cell that is no number becomes null,
    so that its row is rejected by name later; a line with too many or too few fields becomes its own `symbol`, which is
    no ticker. Raises VendorAnswerError for a missing column.
    """
    header = text[: text.find(b"\n")].decode(errors="replace").strip().split(",")
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise VendorAnswerError(
            f"{name}: column {', '.join(missing)} is missing in header {','.join(header)[:200]}"
        )
    try:
        raw = pl.read_csv(
            text,
            schema={column: COLUMNS.get(column, pl.String) for column in header},
            columns=list(COLUMNS),
            quote_char=None,  # a lone quote would swallow the lines after it
            truncate_ragged_lines=True,
            ignore_errors=True,
            encoding="utf8-lossy",
        )
    except pl.exceptions.PolarsError as error:
        raise VendorAnswerError(f"{name} cannot be read as CSV ({error})") from error
    if text.count(b",") != (len(header) - 1) * (raw.height + 1):
        raw = _mark_ragged(raw, text, len(header) - 1)
    symbol = pl.col("ticker").alias("symbol")
    if b"\0" in text:  # it cannot be stored, not even among the rejected rows
        symbol = symbol.str.replace_all("\0", "\ufffd", literal=True)
    return _with_sessions(raw).select(
        symbol, "open", "high", "low", "close", "volume", pl.lit(None, pl.Float64).alias("vwap"), "session"
    )


def _with_sessions(raw: pl.DataFrame) -> pl.DataFrame:
    """The rows with the `session` of their window_start: each distinct stamp is converted once, a whole file has one.

    A stamp that is not exactly midnight of a New York day belongs to no session.
    """
    local = (
        pl.from_epoch("window_start", "ns")
        .dt.replace_time_zone("UTC")
        .dt.convert_time_zone("America/New_York")
    )
    sessions = pl.DataFrame({"window_start": raw["window_start"].unique()}).with_columns(
        session=pl.when(local.dt.time() == pl.time(0)).then(local.dt.date())
    )
    if sessions.height == 1:
        return raw.with_columns(session=pl.lit(sessions["session"].item(), pl.Date))
    return raw.join(sessions, on="window_start", how="left", maintain_order="left")


def _mark_ragged(raw: pl.DataFrame, text: bytes, commas: int) -> pl.DataFrame:
    """The rows with those of another number of fields made unmistakable: their values belong to no column."""
    lines = pl.Series(
        "line", [line.decode(errors="replace") for line in text.split(b"\n")[1 : raw.height + 1]]
    )
    ragged = lines.str.count_matches(",", literal=True) != commas
    return raw.with_columns(
        pl.when(ragged).then(lines.str.slice(0, 200)).otherwise(pl.col("ticker")).alias("ticker"),
        *(pl.when(~ragged).then(pl.col(name)).alias(name) for name in COLUMNS if name != "ticker"),
    )


def _unchanged(session: date, described: _Described, checksum: str | None) -> BarFile:
    return BarFile(
        session, "flatfile", described.etag, described.size, pl.DataFrame(schema=RAW_BAR_SCHEMA),
        unchanged=True, checksum=checksum, last_modified=described.last_modified,
    )  # fmt: skip


def _status(error: Any) -> int:
    return error.response["ResponseMetadata"]["HTTPStatusCode"]


def _code(error: Any) -> str:
    return f"{error.response.get('Error', {}).get('Code', '?')}, HTTP {_status(error)}"
