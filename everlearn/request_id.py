"""A name for each request, in its answer and in every line logged meanwhile."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from contextvars import ContextVar

import uuid_utils
from django.http import HttpRequest, HttpResponse

META_KEY = "HTTP_X_REQUEST_ID"

_SANE = re.compile(r"[A-Za-z0-9._-]{1,128}")
_current: ContextVar[str] = ContextVar("request_id", default="-")


class RequestIdMiddleware:
    """Takes the client's own X-Request-ID when it is a sane one, else makes one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.META.get(META_KEY, "")
        name = given if _SANE.fullmatch(given) else str(uuid_utils.uuid7())
        request.META[META_KEY] = name
        token = _current.set(name)
        try:
            response = self.get_response(request)
        finally:
            _current.reset(token)
        response["X-Request-ID"] = name
        return response


class RequestIdFilter(logging.Filter):
    """Puts the id of the request under way on each log record; "-" outside of one."""

    def filter(self, record: logging.LogRecord) -> bool:
        # Django logs a refused request once our middleware is through with it.
        request = getattr(record, "request", None)
        meta = request.META if isinstance(request, HttpRequest) else {}
        record.request_id = meta.get(META_KEY, _current.get())
        return True
