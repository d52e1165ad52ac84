"""The S3 side of the vendor: day aggregates as gzip files behind list, head and ranged get.

Bodies and error documents follow the vendor's habits: a session that is not published is not listed and
answers 403, a day without trading answers 404. REST does not belong here.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.utils import format_datetime
from urllib.parse import quote
from xml.sax.saxutils import escape

import polars as pl
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from kapman_resources.calendar import is_session, session_time
from kapman_simulator.simulation import Simulation

BUCKET = "flatfiles"
DAY_PREFIX = "us_stocks_sip/day_aggs_v1/"
HEADER = ("ticker", "volume", "open", "close", "high", "low", "window_start", "transactions")

_KEY = re.compile(re.escape(DAY_PREFIX) + r"(\d{4})/(\d{2})/(\1-\2-\d{2})\.csv\.gz")
_CREDENTIAL = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/,\s]+)/")
_KEPT_BYTES = 24_000_000
_XMLNS = "http://s3.amazonaws.com/doc/2006-03-01/"


def day_key(session: date) -> str:
    return f"{DAY_PREFIX}{session:%Y/%m}/{session}.csv.gz"


def day_file(bars: pl.DataFrame, session: date) -> bytes:
    """One session's bars as the vendor's gzip file; the same bars give the same bytes."""
    start = int(session_time(session).timestamp()) * 1_000_000_000
    number = [
        pl.col(name).cast(pl.String).str.strip_suffix(".0")
        for name in ("volume", "open", "close", "high", "low")
    ]
    table = bars.with_columns(*number, ticker=pl.col("symbol"), window_start=pl.lit(start)).select(HEADER)
    return gzip.compress(table.write_csv().encode(), compresslevel=6, mtime=0)


@dataclass(frozen=True)
class _Object:
    """A stored file: its description stays in memory, its bytes may be made again."""

    size: int
    etag: str


class DayFiles:
    """Makes day files on demand and remembers them, the bytes of the latest ones only."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._known: dict[tuple[date, str], _Object] = {}
        self._bytes: OrderedDict[tuple[date, str], bytes] = OrderedDict()

    def body(self, session: date) -> bytes:
        key = self._key(session)
        if key in self._bytes:
            self._bytes.move_to_end(key)
            return self._bytes[key]
        body = day_file(self._simulation.bars_of(session), session)
        self._bytes[key] = body
        while sum(map(len, self._bytes.values())) > _KEPT_BYTES and len(self._bytes) > 1:
            self._bytes.popitem(last=False)
        return body

    def describe(self, session: date) -> _Object:
        key = self._key(session)
        cut = self._simulation.faults.plan.truncate.get(session)
        if cut is not None or key not in self._known:
            body = self.body(session)[:cut]
            found = _Object(len(body), f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"')
            if cut is not None:
                return found
            self._known[key] = found
        return self._known[key]

    def _key(self, session: date) -> tuple[date, str]:
        return session, ",".join(sorted(self._simulation.faults.plan.drop_symbols))


def routes(simulation: Simulation) -> list[Route]:
    files = DayFiles(simulation)

    async def bucket(request: Request) -> Response:
        refusal = _refused(request, simulation)
        return refusal or _listing(request, simulation, files)

    async def item(request: Request) -> Response:
        refusal = _refused(request, simulation)
        return refusal or _item(request, simulation, files, request.path_params["key"])

    return [
        Route(f"/{BUCKET}", bucket),
        Route(f"/{BUCKET}/", bucket),
        Route(f"/{BUCKET}/{{key:path}}", item),
    ]


def error(request: Request, status: int, code: str, message: str) -> Response:
    """An S3 error document; HEAD gets none."""
    if request.method == "HEAD":
        return Response(status_code=status, media_type="application/xml")
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{escape(message)}</Message>"
        f"<Resource>{escape(request.url.path)}</Resource><RequestId>simulated</RequestId></Error>"
    )
    return Response(body, status, media_type="application/xml")


def _refused(request: Request, simulation: Simulation) -> Response | None:
    header = request.headers.get("authorization", "")
    signed = _CREDENTIAL.match(header)
    presigned = request.query_params.get("X-Amz-Credential", "").split("/")[0]
    key_id = signed.group(1) if signed else presigned
    if not key_id:
        return error(request, 403, "AccessDenied", "Access Denied.")
    if key_id != simulation.s3_key_id:
        return error(
            request,
            403,
            "InvalidAccessKeyId",
            "The Access Key Id you provided does not exist in our records.",
        )
    return None


def _listing(request: Request, simulation: Simulation, files: DayFiles) -> Response:
    query = request.query_params
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    try:
        limit = min(int(query.get("max-keys", "1000")), 1000)
    except ValueError:
        return error(request, 400, "InvalidArgument", "max-keys must be a number")
    after = bytes.fromhex(query["continuation-token"]).decode() if "continuation-token" in query else ""
    after = max(after, query.get("start-after", ""))
    entries: list[tuple[str, date | None]] = []
    for session in simulation.published_sessions():
        key = day_key(session)
        if not key.startswith(prefix) or key <= after:
            continue
        rest = key[len(prefix) :]
        folder = prefix + rest.split(delimiter)[0] + delimiter if delimiter and delimiter in rest else ""
        if folder and folder <= after:
            continue
        if not folder:
            entries.append((key, session))
        elif not entries or entries[-1][0] != folder:
            entries.append((folder, None))
    shown, more = entries[:limit], len(entries) > limit
    token = ""
    if more:
        last = shown[-1][0] + ("" if shown[-1][1] else "\x7f")
        token = f"<NextContinuationToken>{last.encode().hex()}</NextContinuationToken>"
    contents = "".join(_entry(key, session, simulation, files) for key, session in shown)
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="{_XMLNS}"><Name>{BUCKET}</Name>'
        f"<Prefix>{escape(prefix)}</Prefix><KeyCount>{len(shown)}</KeyCount><MaxKeys>{limit}</MaxKeys>"
        f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{contents}</ListBucketResult>"
    )
    return Response(body, media_type="application/xml")


def _entry(key: str, session: date | None, simulation: Simulation, files: DayFiles) -> str:
    if session is None:
        return f"<CommonPrefixes><Prefix>{quote(key)}</Prefix></CommonPrefixes>"
    stored = files.describe(session)
    modified = simulation.published_at(session).astimezone(UTC)
    return (
        f"<Contents><Key>{key}</Key><LastModified>{modified:%Y-%m-%dT%H:%M:%S.000Z}</LastModified>"
        f"<ETag>{escape(stored.etag, {chr(34): '&quot;'})}</ETag><Size>{stored.size}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
    )


def _item(request: Request, simulation: Simulation, files: DayFiles, key: str) -> Response:
    match = _KEY.fullmatch(key)
    try:
        session = date.fromisoformat(match.group(3)) if match else None
    except ValueError:
        session = None
    if session is None or not is_session(session):
        return error(request, 404, "NoSuchKey", "The specified key does not exist.")
    if not simulation.is_published(session):
        before = bool(simulation.source.sessions) and session < simulation.source.sessions[0]
        if before:
            return error(request, 404, "NoSuchKey", "The specified key does not exist.")
        return error(request, 403, "AccessDenied", "Access Denied.")
    return _object(request, simulation, files, session)


def _object(request: Request, simulation: Simulation, files: DayFiles, session: date) -> Response:
    stored = files.describe(session)
    modified: datetime = simulation.published_at(session).astimezone(UTC)
    headers = {
        "ETag": stored.etag,
        "Last-Modified": format_datetime(modified, usegmt=True),
        "Accept-Ranges": "bytes",
        "Content-Type": "application/gzip",
        "Content-Length": str(stored.size),
    }
    if request.method == "HEAD":
        return Response(status_code=200, headers=headers)
    body, status = files.body(session)[: stored.size], 200
    if "range" in request.headers:
        window = _range(request.headers["range"], stored.size)
        if window is None:
            return error(request, 416, "InvalidRange", "The requested range is not satisfiable")
        body, status = body[window[0] : window[1] + 1], 206
        headers["Content-Range"] = f"bytes {window[0]}-{window[1]}/{stored.size}"
        headers["Content-Length"] = str(len(body))
    broken = simulation.faults.plan.cut.get(session)
    if broken is not None and broken < len(body):
        return StreamingResponse(_broken(body[:broken]), status, headers)
    return Response(body, status, headers)


async def _broken(start: bytes) -> AsyncIterator[bytes]:
    yield start
    raise ConnectionAbortedError("the simulated connection broke, as the fault plan asked")


def _range(header: str, size: int) -> tuple[int, int] | None:
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header.strip())
    if not match or match.group(0) == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        window = (max(size - int(last), 0), size - 1)
    else:
        window = (int(first), min(int(last), size - 1) if last else size - 1)
    return window if window[0] <= window[1] else None
