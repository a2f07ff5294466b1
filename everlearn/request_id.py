"""A name for each request, in its answer and in every line logged meanwhile; and a line for it."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable

import uuid_utils
from django.http import HttpRequest, HttpResponse

from models_app.tracing import tracing

META_KEY = "HTTP_X_REQUEST_ID"
LONGEST_PATH = 300

access = logging.getLogger("everlearn.access")

_SANE = re.compile(r"[A-Za-z0-9._-]{1,128}")


class RequestIdMiddleware:
    """Takes the client's own X-Request-ID when it is a sane one, else makes one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.monotonic()
        given = request.META.get(META_KEY, "")
        name = given if _SANE.fullmatch(given) else str(uuid_utils.uuid7())
        request.META[META_KEY] = name
        with tracing(request_id=name):
            response = self.get_response(request)
            _say(request, response, time.monotonic() - started)
        response["X-Request-ID"] = name
        return response


def _say(request: HttpRequest, response: HttpResponse, seconds: float) -> None:
    """One line for the request: no query, no header, no body."""
    path, match = request.path[:LONGEST_PATH], request.resolver_match
    told = {
        "method": request.method,
        "route": match.route if match else None,
        "path": path,
        "status": response.status_code,
        "ms": round(1000 * seconds, 1),
    }
    access.info("%s %s %s", request.method, path, response.status_code, extra=told)
