"""What the application refuses of a body before it reads it."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from everlearn.body_limits import limit_of, too_large
from everlearn.errors import refuse
from models_app.learning.schema import Problem


class BodyMiddleware:
    """Refuses a body that is too long or compressed before anybody reads it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        length = request.META.get("CONTENT_LENGTH") or "0"
        limit = limit_of(request.path_info)
        if length.isdecimal() and int(length) > limit:
            return refuse(request, 413, too_large(limit))
        encoding = request.headers.get("Content-Encoding", "identity")
        if encoding.strip().lower() not in ("", "identity"):
            detail = "The body must be sent as it is, without a Content-Encoding."
            return refuse(request, 415, Problem("", "unsupported_encoding", detail))
        return self.get_response(request)
