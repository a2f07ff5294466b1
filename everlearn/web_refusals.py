"""What the web worker refuses by itself, in the shape of the API's errors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from gunicorn.http import errors

from everlearn.body_limits import too_large
from everlearn.error_shape import error_body
from everlearn.http_framing import BodyTooLarge
from models_app.learning.schema import Problem

RETRY_AFTER_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that no view makes. retry_after: seconds, 0 where the same would fail again."""

    status: HTTPStatus
    code: str
    detail: str
    retry_after: int = 0

    def answer(self, request_name: str) -> bytes:
        """The whole answer to the request of that name; the connection closes after it."""
        body = json.dumps(error_body(self.status, [Problem("", self.code, self.detail)])).encode()
        head = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            "Connection: close",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            f"X-Request-ID: {request_name}",
        ]
        if self.retry_after:
            head.append(f"Retry-After: {self.retry_after}")
        return "\r\n".join((*head, "", "")).encode() + body


TIMEOUT = Refusal(
    HTTPStatus.REQUEST_TIMEOUT,
    "request_timeout",
    "The request came too slowly: its head must be there within 5 s, and its body must come at "
    "1 KiB/s or more.",
)
INCOMPLETE = Refusal(HTTPStatus.BAD_REQUEST, "body_incomplete", "The body ended too early.")
BUSY = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "busy",
    "Too many requests wait for an answer. Try again later.",
    RETRY_AFTER_SECONDS,
)
TOO_MANY_CONNECTIONS = Refusal(
    HTTPStatus.TOO_MANY_REQUESTS,
    "too_many_connections",
    "Your network holds too many connections open. Close some, or try again later.",
    RETRY_AFTER_SECONDS,
)

# The first class that fits decides. A coding of the transfer that nobody asked for is no fault of
# ours, so it is no 501.
_STATUSES: tuple[tuple[type[Exception], HTTPStatus, str], ...] = (
    (errors.LimitRequestLine, HTTPStatus.REQUEST_URI_TOO_LONG, "address_too_long"),
    (
        errors.LimitRequestHeaders,
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "headers_too_large",
    ),
    (errors.ExpectationFailed, HTTPStatus.EXPECTATION_FAILED, "expectation_failed"),
    (errors.ParseException, HTTPStatus.BAD_REQUEST, "bad_request"),
    (Exception, HTTPStatus.INTERNAL_SERVER_ERROR, "error"),
)


def refusal_of(error: Exception) -> Refusal:
    """What a client is told of `error`."""
    if isinstance(error, BodyTooLarge):
        problem = too_large(error.limit)
        return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, problem.code, problem.detail)
    status, code = next((one, code) for kind, one, code in _STATUSES if isinstance(error, kind))
    return Refusal(status, code, f"{status.phrase}.")


def name_given(head: Any) -> str:
    """What the client calls the request with that parsed head, if anything."""
    given = (value for name, value in (head.headers if head else ()) if name == "X-REQUEST-ID")
    return next(given, "")
