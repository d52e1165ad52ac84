"""What all REST answers share: limits, filters, opaque cursors, request ids, error documents and their words.

Which rows an endpoint has is not known here.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

# the vendor's own idea of its host, never the address a client is configured with
VENDOR_HOST = "https://api.simulated-vendor.invalid"

_PRICING = "https://massive.com/pricing"
NOT_IN_PLAN = f"You are not entitled to this data. Please upgrade your plan at {_PRICING}"
TOO_FAR_BACK = f"Your plan doesn't include this data timeframe. Please upgrade your plan at {_PRICING}"
DAY_NOT_OVER = "Attempted to request today's data before end of day. Please upgrade your plan at " + _PRICING
RATE_EXCEEDED = (
    "You've exceeded the maximum requests per minute, please wait or upgrade your subscription to continue. "
    + _PRICING
)

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "": lambda a, b: a == b,
    ".gt": lambda a, b: a > b,
    ".gte": lambda a, b: a >= b,
    ".lt": lambda a, b: a < b,
    ".lte": lambda a, b: a <= b,
}


class BadRequest(Exception):
    """A parameter the vendor would answer with 400."""


class NotFound(Exception):
    """Something the vendor does not know: 404."""


class NotInPlan(Exception):
    """Data the plan does not include: 403 with these words."""


def reply(body: Any, status: int = 200) -> Response:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Response(raw, status, media_type="application/json")


def request_id(request: Request) -> str:
    return hashlib.blake2b(str(request.url).encode(), digest_size=16).hexdigest()


def failure(request: Request, status: int, message: str) -> Response:
    """The vendor's error document of that status: a missing thing has a `message`, other errors an `error`."""
    word, field = ("NOT_FOUND", "message") if status == 404 else ("ERROR", "error")
    return reply({"status": word, "request_id": request_id(request), field: message}, status)


def not_authorized(request: Request, message: str = NOT_IN_PLAN) -> Response:
    """403: the key is good and the plan does not include what was asked for."""
    return reply({"status": "NOT_AUTHORIZED", "request_id": request_id(request), "message": message}, 403)


def go_number(value: float | None) -> float | int | None:
    """Whole numbers without a decimal point, as the vendor's encoder writes them."""
    return int(value) if value is not None and value.is_integer() else value


class Query:
    """The parameters in force: the request's own, or those inside its cursor (a cursor stands alone)."""

    def __init__(self, request: Request, default: int, maximum: int) -> None:
        self.path = request.url.path
        params: Mapping[str, str] = request.query_params
        self.offset = 0
        if "cursor" in params:
            params, self.offset = _open_cursor(params["cursor"], self.path)
        self.params = {name: value for name, value in params.items() if name not in ("apiKey", "cursor")}
        try:
            self.limit = int(self.params.get("limit", default))
        except ValueError as error:
            raise BadRequest(f"limit {self.params['limit']!r} is not a number") from error
        if not 1 <= self.limit <= maximum:
            raise BadRequest(f"limit {self.limit} is not within 1 and {maximum}")

    def wants(self, field: str, convert: Callable[[str], Any]) -> Callable[[Any], bool]:
        """A predicate for one field from its plain, .gt, .gte, .lt, .lte and .any_of parameters."""
        tests: list[tuple[Callable[[Any, Any], bool], Any]] = []
        try:
            for suffix, compare in _COMPARE.items():
                if field + suffix in self.params:
                    tests.append((compare, convert(self.params[field + suffix])))
            if field + ".any_of" in self.params:
                chosen = {convert(text) for text in self.params[field + ".any_of"].split(",")}
                tests.append((lambda value, options: value in options, chosen))
        except ValueError as error:
            raise BadRequest(f"{field}: {error}") from error
        return lambda value: all(compare(value, bound) for compare, bound in tests)

    def page(self, rows: Sequence[Any]) -> tuple[Sequence[Any], str | None]:
        """This page's rows and the next page's address, None on the last."""
        end = self.offset + self.limit
        return rows[self.offset : end], self.address(end) if end < len(rows) else None

    def address(self, offset: int) -> str:
        """The address of the same question's page that begins with row `offset`."""
        return f"{VENDOR_HOST}{self.path}?cursor={_cursor(self.params, offset, self.path)}"


def _seal(raw: bytes, path: str) -> bytes:
    return hashlib.blake2b(raw + path.encode(), digest_size=6, key=b"simulated cursor").digest()


def _scramble(raw: bytes, seal: bytes) -> bytes:
    mask = hashlib.shake_128(seal).digest(len(raw))
    return bytes(a ^ b for a, b in zip(raw, mask, strict=True))


def _cursor(params: Mapping[str, str], offset: int, path: str) -> str:
    raw = msgspec.json.encode([dict(params), offset])
    seal = _seal(raw, path)
    return base64.urlsafe_b64encode(seal + _scramble(raw, seal)).decode().rstrip("=")


def _open_cursor(token: str, path: str) -> tuple[dict[str, str], int]:
    try:
        data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        raw = _scramble(data[6:], data[:6])
        if _seal(raw, path) != data[:6]:
            raise ValueError("not one of ours")
        return msgspec.json.decode(raw, type=tuple[dict[str, str], int])
    except (ValueError, msgspec.MsgspecError) as error:
        raise BadRequest("cursor is not valid") from error
