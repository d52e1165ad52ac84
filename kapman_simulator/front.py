"""In front of every answer: the data label, compression, and the faults that may befall any request.

Faults of a single endpoint's content belong to that endpoint.
"""

from __future__ import annotations

import asyncio
import zlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kapman_simulator import flatfiles
from kapman_simulator.faults import ResetFault, StatusFault
from kapman_simulator.paging import RATE_EXCEEDED, failure, not_authorized
from kapman_simulator.simulation import Simulation

LABEL_HEADER = "x-kapman-data-label"

_S3_ERRORS = {
    403: "AccessDenied", 404: "NoSuchKey", 500: "InternalError", 503: "SlowDown",
}  # fmt: skip
_SMALL = 500  # bytes below which compressing is not worth it


class Front:
    """The application behind the label header, gzip and the fault plan."""

    def __init__(self, app: ASGIApp, simulation: Simulation) -> None:
        self._app, self._simulation = app, simulation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def labelled(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[LABEL_HEADER] = self._simulation.source.label
            await send(message)

        path: str = scope["path"]
        if path.startswith("/simulator"):
            return await self._app(scope, receive, labelled)
        faults = self._simulation.faults
        if delay := faults.delay_for(path):
            await asyncio.sleep(delay)
        answer: Send = labelled
        if reset := faults.reset_for(path):
            answer = _broken(answer, reset)
        if not path.startswith(f"/{flatfiles.BUCKET}") and "gzip" in Headers(scope=scope).get(
            "accept-encoding", ""
        ):
            answer = _zipped(answer)
        fault = faults.status_for(path)
        app = _fault_answer(fault, Request(scope)) if fault else self._app
        return await app(scope, receive, answer)


def _zipped(send: Send) -> Send:
    """Compresses answers that are sent in one piece, as all REST answers are; fast rather than small."""
    start: list[Message] = []

    async def compress(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.append(message)
            return
        body: bytes = message.get("body", b"")
        if start:
            opening = start.pop()
            if len(body) >= _SMALL and not message.get("more_body"):
                packer = zlib.compressobj(1, zlib.DEFLATED, 31)
                body = packer.compress(body) + packer.flush()
                headers = MutableHeaders(scope=opening)
                headers["content-encoding"], headers["content-length"] = "gzip", str(len(body))
                headers["vary"] = "Accept-Encoding"
            await send(opening)
        await send({**message, "body": body})

    return compress


def _broken(send: Send, fault: ResetFault) -> Send:
    """Ends the connection once so many bytes of the body are out, before the promised length."""
    left = fault.after_bytes

    async def breaking(message: Message) -> None:
        nonlocal left
        if message["type"] == "http.response.start":
            await send(message)
            return
        body: bytes = message.get("body", b"")
        if len(body) <= left and message.get("more_body"):
            left -= len(body)
            await send(message)
            return
        # an answer that is shorter loses its last byte, so that it never arrives whole
        await send(
            {"type": "http.response.body", "body": body[: min(left, len(body) - 1)], "more_body": True}
        )
        raise ConnectionAbortedError("the simulated connection broke, as the fault plan asked")

    return breaking


def _fault_answer(fault: StatusFault, request: Request) -> Response:
    if fault.body is not None:
        kind = "text/html" if fault.body.startswith("<") else "application/json"
        return Response(fault.body, fault.status, {"content-type": kind} | fault.headers)
    if request.url.path.startswith(f"/{flatfiles.BUCKET}"):
        code = fault.code or _S3_ERRORS.get(fault.status, "Error")
        answer = flatfiles.error(request, fault.status, code, "as the fault plan asked")
    elif fault.status == 403:
        answer = not_authorized(request)
    elif fault.status in _MESSAGES:
        answer = failure(request, fault.status, _MESSAGES[fault.status])
    else:
        answer = Response("<html>upstream error</html>", fault.status, media_type="text/html")
    answer.headers.update(fault.headers)
    return answer


_MESSAGES = {
    400: "The request was not understood.",
    401: "Unknown API Key",
    404: "The requested resource was not found.",
    429: RATE_EXCEEDED,
}
