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
        name = request_name(request.META.get(META_KEY, ""))
        request.META[META_KEY] = name
        with tracing(request_id=name):
            response = self.get_response(request)
            match = request.resolver_match
            log_answer(
                request.method or "",
                request.path,
                response.status_code,
                time.monotonic() - started,
                route=match.route if match else None,
            )
        response["X-Request-ID"] = name
        return response


def request_name(given: str) -> str:
    """The name of a request: what its client calls it, when that is a sane name, else a new one."""
    return given if _SANE.fullmatch(given) else str(uuid_utils.uuid7())


def log_answer(
    method: str, path: str, status: int, seconds: float, *, route: str | None = None
) -> None:
    """Write one line for an answered request: no query, no header, no body."""
    path = path[:LONGEST_PATH]
    told = {
        "method": method,
        "route": route,
        "path": path,
        "status": status,
        "ms": round(1000 * seconds, 1),
    }
    access.info("%s %s %s", method, path, status, extra=told)
