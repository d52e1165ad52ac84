"""The S3 side of the vendor: day files of stocks and options behind list, head and ranged get.

Bodies and error documents follow the vendor's habits: a session that is not published is not listed and
answers 403, a day without trading answers 404. What stands in a file belongs to day_files.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import date
from email.utils import format_datetime
from urllib.parse import quote
from xml.sax.saxutils import escape

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from kapman_resources.calendar import is_session
from kapman_simulator.data_sets import DATA_SETS, STOCKS, DataSet, parse_key
from kapman_simulator.day_files import DayFiles
from kapman_simulator.simulation import Simulation

BUCKET = "flatfiles"

_CREDENTIAL = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/,\s]+)/")
_XMLNS = "http://s3.amazonaws.com/doc/2006-03-01/"

_File = tuple[DataSet, date]


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
    entries = _keys(simulation, prefix, delimiter, after)
    shown, more = entries[:limit], len(entries) > limit
    token = ""
    if more:
        last = shown[-1][0] + ("" if shown[-1][1] else "\x7f")
        token = f"<NextContinuationToken>{last.encode().hex()}</NextContinuationToken>"
    contents = "".join(_entry(key, file, files) for key, file in shown)
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="{_XMLNS}"><Name>{BUCKET}</Name>'
        f"<Prefix>{escape(prefix)}</Prefix><KeyCount>{len(shown)}</KeyCount><MaxKeys>{limit}</MaxKeys>"
        f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{contents}</ListBucketResult>"
    )
    return Response(body, media_type="application/xml")


def _keys(simulation: Simulation, prefix: str, delimiter: str, after: str) -> list[tuple[str, _File | None]]:
    """What a listing shows behind `after`: keys with their files, or folders without one."""
    entries: list[tuple[str, _File | None]] = []
    for data_set in DATA_SETS:
        if not (data_set.prefix.startswith(prefix) or prefix.startswith(data_set.prefix)):
            continue
        for session in simulation.published_sessions(data_set):
            key = data_set.key(session)
            if not key.startswith(prefix) or key <= after:
                continue
            rest = key[len(prefix) :]
            folder = prefix + rest.split(delimiter)[0] + delimiter if delimiter and delimiter in rest else ""
            if folder and folder <= after:
                continue
            if not folder:
                entries.append((key, (data_set, session)))
            elif not entries or entries[-1][0] != folder:
                entries.append((folder, None))
    return entries


def _entry(key: str, file: _File | None, files: DayFiles) -> str:
    if file is None:
        return f"<CommonPrefixes><Prefix>{quote(key)}</Prefix></CommonPrefixes>"
    stored = files.describe(*file)
    return (
        f"<Contents><Key>{key}</Key><LastModified>{stored.modified:%Y-%m-%dT%H:%M:%S.000Z}</LastModified>"
        f"<ETag>{escape(stored.etag, {chr(34): '&quot;'})}</ETag><Size>{stored.size}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
    )


def _item(request: Request, simulation: Simulation, files: DayFiles, key: str) -> Response:
    """403 and 404 as in the wire document's table of keys that cannot be read."""
    file = parse_key(key)
    if file is None or not is_session(file[1]) or _never(simulation, *file):
        return error(request, 404, "NoSuchKey", "The specified key does not exist.")
    data_set, session = file
    forbidden = simulation.faults.plan.forbids(data_set.prefix, session)
    if forbidden or not simulation.is_published(session, data_set):
        return error(request, 403, "AccessDenied", "Access Denied.")
    return _object(request, simulation, files, data_set, session)


def _never(simulation: Simulation, data_set: DataSet, session: date) -> bool:
    """Whether there is no file of a past session and never will be."""
    known = simulation.known_sessions(data_set)
    if data_set is STOCKS:
        return bool(known) and session < known[0]
    return session <= simulation.session and session not in known


def _object(
    request: Request, simulation: Simulation, files: DayFiles, data_set: DataSet, session: date
) -> Response:
    stored = files.describe(data_set, session)
    headers = {
        "ETag": stored.etag,
        "Last-Modified": format_datetime(stored.modified, usegmt=True),
        "Accept-Ranges": "bytes",
        "Content-Type": "application/gzip",
        "Content-Length": str(stored.size),
    }
    if request.method == "HEAD":
        return Response(status_code=200, headers=headers)
    body, status = files.body(data_set, session), 200
    if "range" in request.headers:
        window = _range(request.headers["range"], stored.size)
        if window is None:
            return error(request, 416, "InvalidRange", "The requested range is not satisfiable")
        body, status = body[window[0] : window[1] + 1], 206
        headers["Content-Range"] = f"bytes {window[0]}-{window[1]}/{stored.size}"
        headers["Content-Length"] = str(len(body))
    plan = simulation.faults.plan
    broken = plan.cut.get(session) if plan.concerns(data_set.prefix) else None
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
