"""One shape for every error of the API, and the one map from refusals to HTTP.

Errors look as drf-standardized-errors has them: {"type", "errors": [{"code", "detail", "attr"}]}.
"""

from __future__ import annotations

import sys
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent
from django.db import DataError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.template import loader
from drf_standardized_errors.handler import ExceptionHandler
from drf_standardized_errors.types import ExceptionHandlerContext
from rest_framework.response import Response
from rest_framework.views import set_rollback

from everlearn import error_shape
from everlearn.error_shape import error_body
from everlearn.request_id import META_KEY
from models_app import storing
from models_app.learning.schema import MAX_PROBLEMS, InvalidInstances, Problem
from models_app.refusals import (
    Conflict,
    GateSaidNo,
    GenerationMoved,
    Gone,
    InvalidInput,
    KeyReused,
    ModelFailed,
    ModelTooSlow,
    NotFound,
    NotHandedOver,
    NotServable,
    ReauthenticationRequired,
    Refused,
    StillUnderWay,
    TooMuch,
    TooOften,
    Unavailable,
)

RETRY_AFTER_SECONDS = "2"

# The first class that fits decides.
STATUSES: tuple[tuple[type[Refused], int], ...] = (
    (NotFound, 404),
    (Gone, 410),
    (InvalidInput, 400),
    (TooMuch, 413),
    (TooOften, 429),
    (ReauthenticationRequired, 403),
    (Conflict, 409),
    (KeyReused, 422),
    (GateSaidNo, 422),
    (NotServable, 422),
    (ModelFailed, 500),
    (ModelTooSlow, 504),
    (Unavailable, 503),
    (Refused, 400),
)

_TOO_MANY_FIELDS = Problem(
    "",
    "too_many_fields",
    f"The query or the form has more than {settings.DATA_UPLOAD_MAX_NUMBER_FIELDS} fields. Send the"
    " values as JSON or as a file instead.",
)

# Where programs call; everywhere else a browser gets a page.
SEED_ROUTES = (
    "/predict",
    "/feedback",
    "/trigger",
    "/reload-model",
    "/health",
    "/ready",
    "/metrics",
)


def answer_exception(error: Exception, context: ExceptionHandlerContext) -> Response | None:
    """DRF's exception handler."""
    error = _as_refusal(error)
    if not isinstance(error, Refused):
        response = ExceptionHandler(error, context).run()
        if response is not None and response.status_code == 429:
            response.headers.setdefault("Retry-After", RETRY_AFTER_SECONDS)
        if response is not None:
            told = response.data["errors"][:MAX_PROBLEMS]
            response.data["errors"] = [error_shape.error(**one) for one in told]
        return response
    set_rollback()
    status = next(status for kind, status in STATUSES if isinstance(error, kind))
    return Response(
        _refusal_body(error, status), status=status, headers=_headers(status, _wait(error))
    )


def _wait(refusal: Refused) -> str:
    if isinstance(refusal, TooOften):
        return str(refusal.wait)
    if isinstance(refusal, NotHandedOver):
        return RETRY_AFTER_SECONDS
    return "1" if isinstance(refusal, StillUnderWay) else ""


def _as_refusal(error: Exception) -> Exception:
    """The refusal that an error from below amounts to, if it does."""
    if isinstance(error, InvalidInstances):
        return InvalidInput(error.problems)
    if isinstance(error, OperationalError | InterfaceError):
        return storing.refusal_of(error) or error
    if isinstance(error, DataError):
        # Whatever slipped past the checks: a value that the database's column cannot hold.
        return InvalidInput([Problem("", "invalid", "A value is beyond what can be stored.")])
    if isinstance(error, TooManyFieldsSent):
        # Django counts them where the query is first looked at, which is in the view.
        return InvalidInput([_TOO_MANY_FIELDS])
    if isinstance(error, UnreadablePostError):
        return InvalidInput([Problem("", "body_incomplete", "The body ended too early.")])
    return error


def _refusal_body(refusal: Refused, status: int) -> dict[str, Any]:
    problems = [Problem(attr=refusal.attr or "", code=refusal.code, detail=refusal.detail)]
    if isinstance(refusal, InvalidInput):
        problems = refusal.problems
    body = error_body(status, problems)
    if isinstance(refusal, GenerationMoved):
        body["generation"] = refusal.generation
    return body


def _headers(status: int, wait: str = "") -> dict[str, str]:
    wait = wait or (RETRY_AFTER_SECONDS if status == 503 else "")
    return {"Retry-After": wait} if wait else {}


def refuse(request: HttpRequest, status: int, problem: Problem, *, wait: str = "") -> HttpResponse:
    """An error met outside of DRF: the API's shape for programs, a page for browsers.

    wait: seconds, for a refusal that ends by itself.
    """
    headers = _headers(status, wait)
    if for_program(request):
        return JsonResponse(error_body(status, [problem]), status=status, headers=headers)
    template = loader.select_template([f"{status}.html", "400.html"])
    # Without the request: what the page shows may not depend on what broke.
    page = template.render({"detail": problem.detail, "request_id": request.META.get(META_KEY)})
    return HttpResponse(page, status=status, headers=headers)


def for_program(request: HttpRequest) -> bool:
    """Whether the one who asks expects JSON rather than a page."""
    path = request.path_info
    if path == "/api" or path.startswith("/api/") or path in SEED_ROUTES:
        return True
    return "text/html" not in request.headers.get("Accept", "")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, RequestDataTooBig):
        return refuse(request, 413, Problem("", "body_too_large", "The body is too long."))
    if isinstance(exception, TooManyFieldsSent):
        return refuse(request, 400, _TOO_MANY_FIELDS)
    return refuse(request, 400, Problem("", "bad_request", "The request makes no sense."))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return refuse(request, 403, Problem("", "permission_denied", "You may not do that."))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return refuse(request, 404, Problem("", "not_found", "There is nothing here."))


def server_error(request: HttpRequest) -> HttpResponse:
    error = sys.exc_info()[1]
    if isinstance(error, OperationalError | InterfaceError):
        # Met outside of DRF, such as where the login of a browser is looked up.
        error = storing.refusal_of(error)
    if isinstance(error, Unavailable):
        return refuse(request, 503, Problem("", error.code, error.detail))
    return refuse(request, 500, Problem("", "error", "Something broke; it has been logged."))
