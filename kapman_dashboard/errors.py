"""Refusals and failures: a page that says what to do, or a problem document under /api. No stack trace.

Does not belong here: what is refused (boundary, queries).
"""

from __future__ import annotations

import logging
from http import HTTPStatus

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from psycopg_pool import PoolTimeout
from starlette.exceptions import HTTPException

from kapman_dashboard import page
from kapman_dashboard.queries import NothingStored
from kapman_dashboard.security import HEADERS
from kapman_resources.database import DatabaseError

log = logging.getLogger(__name__)
_UNREACHABLE = "the database does not answer: run `./kapman doctor`, then reload this page"
_UNMIGRATED = "the database lacks a table or function: run `./kapman migrate`, then reload this page"


def _respond(request: Request, status: int, message: str) -> Response:
    title = HTTPStatus(status).phrase
    if request.url.path.startswith("/api/") or request.url.path == "/api":
        document = {"type": "about:blank", "title": title, "status": status, "detail": message}
        return JSONResponse(document, status_code=status, media_type="application/problem+json")
    return page.render(
        request,
        "error.html",
        session=None,
        labels=_labels(request),
        status=status,
        title=title,
        message=message,
    )


def _labels(request: Request) -> list[str]:
    """The data label also stands on error pages, unless the error is that nothing can be read."""
    try:
        return page.reader(request).data_labels()
    except (psycopg.Error, PoolTimeout, DatabaseError):
        return []


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    response = _respond(request, error.status_code, _sentence(request, error))
    response.headers.update(error.headers or {})
    return response


def _sentence(request: Request, error: HTTPException) -> str:
    if error.status_code == 404 and error.detail == "Not Found":
        return f"there is no page {request.url.path[:200]}"
    if error.status_code == 405:
        return f"{request.method} is not possible on {request.url.path[:200]}"
    return str(error.detail)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [f"{'.'.join(str(part) for part in item['loc'][1:])}: {item['msg']}" for item in error.errors()]
    return _respond(request, 422, "; ".join(faults))


def _nothing_stored(request: Request, error: Exception) -> Response:
    # an empty database is a state of the product, not a broken link
    if request.url.path.startswith("/api"):
        return _respond(request, 404, str(error))
    return page.render(request, "empty.html", session=None, labels=_labels(request), message=str(error))


def _database(request: Request, error: Exception) -> Response:
    log.error("%s %s: %s: %s", request.method, request.url.path, type(error).__name__, error)
    if isinstance(error, DatabaseError):
        return _respond(request, 503, str(error))
    missing = isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedFunction)
    if missing:
        return _respond(request, 503, _UNMIGRATED)
    if isinstance(error, psycopg.OperationalError | PoolTimeout):
        return _respond(request, 503, _UNREACHABLE)
    return _unexpected(request, error)


def _unexpected(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    response = _respond(request, 500, "this page could not be made; the server's log says why")
    # the outermost error handler stands outside the middleware that sets these
    response.headers.update(HEADERS)
    return response


def install(app: FastAPI) -> None:
    """Registers the handlers of all refusals and failures."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(NothingStored, _nothing_stored)
    app.add_exception_handler(psycopg.Error, _database)
    app.add_exception_handler(PoolTimeout, _database)
    app.add_exception_handler(DatabaseError, _database)
    app.add_exception_handler(Exception, _unexpected)
