"""One shape for every error of the API, and the one map from refusals to HTTP.

Errors look as drf-standardized-errors has them: {"type", "errors": [{"code", "detail", "attr"}]}.
"""

from __future__ import annotations

from typing import Any

from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from drf_standardized_errors.handler import ExceptionHandler
from drf_standardized_errors.types import ExceptionHandlerContext
from rest_framework.response import Response
from rest_framework.views import set_rollback

from models_app.learning.schema import InvalidInstances, Problem
from models_app.refusals import (
    Conflict,
    GateSaidNo,
    GenerationMoved,
    InvalidInput,
    ModelFailed,
    NotFound,
    NotServable,
    Refused,
    TooMuch,
    Unavailable,
)

RETRY_AFTER_SECONDS = "2"

# The first class that fits decides.
STATUSES: tuple[tuple[type[Refused], int], ...] = (
    (NotFound, 404),
    (InvalidInput, 400),
    (TooMuch, 413),
    (Conflict, 409),
    (GateSaidNo, 422),
    (NotServable, 422),
    (ModelFailed, 500),
    (Unavailable, 503),
    (Refused, 400),
)

# Where programs call; everywhere else a browser gets a page.
SEED_ROUTES = ("/predict", "/feedback", "/trigger", "/reload-model", "/health", "/ready")


def answer_exception(error: Exception, context: ExceptionHandlerContext) -> Response | None:
    """DRF's exception handler."""
    if isinstance(error, InvalidInstances):
        error = InvalidInput(error.problems)
    if isinstance(error, OperationalError):
        # SQLite's writer waited its five seconds, or the database is away.
        error = Unavailable("The database is busy; nothing was changed.", code="storage_busy")
    if not isinstance(error, Refused):
        return ExceptionHandler(error, context).run()
    set_rollback()
    status = next(status for kind, status in STATUSES if isinstance(error, kind))
    return Response(_refusal_body(error, status), status=status, headers=_headers(status))


def _refusal_body(refusal: Refused, status: int) -> dict[str, Any]:
    problems = [Problem(attr=refusal.attr or "", code=refusal.code, detail=refusal.detail)]
    if isinstance(refusal, InvalidInput):
        problems = refusal.problems
    body = _body(status, problems)
    if isinstance(refusal, GenerationMoved):
        body["generation"] = refusal.generation
    return body


def _body(status: int, problems: list[Problem]) -> dict[str, Any]:
    return {
        "type": _type(status),
        "errors": [
            {"code": problem.code, "detail": problem.detail, "attr": problem.attr or None}
            for problem in problems
        ],
    }


def _type(status: int) -> str:
    if status == 400:
        return "validation_error"
    return "server_error" if status >= 500 else "client_error"


def _headers(status: int) -> dict[str, str]:
    return {"Retry-After": RETRY_AFTER_SECONDS} if status == 503 else {}


def error_response(status: int, *, code: str, detail: str) -> JsonResponse:
    """An error met outside of DRF, in the API's shape."""
    body = _body(status, [Problem(attr="", code=code, detail=detail)])
    return JsonResponse(body, status=status, headers=_headers(status))


def for_program(request: HttpRequest) -> bool:
    """Whether the one who asks expects JSON rather than a page."""
    path = request.path_info
    if path.startswith("/api/") or path in SEED_ROUTES:
        return True
    return "text/html" not in request.headers.get("Accept", "")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if for_program(request):
        return error_response(400, code="bad_request", detail="The request makes no sense.")
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if for_program(request):
        return error_response(403, code="permission_denied", detail="You may not do that.")
    return defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if for_program(request):
        forgot = request.path_info.startswith("/api/") and not request.path_info.endswith("/")
        hint = " Addresses under /api/ end in a slash." if forgot else ""
        return error_response(404, code="not_found", detail=f"There is nothing here.{hint}")
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    if for_program(request):
        return error_response(500, code="error", detail="Something broke; it has been logged.")
    return defaults.server_error(request)
