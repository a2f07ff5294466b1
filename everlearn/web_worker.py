"""The web process as gunicorn runs it; what is no HTTP is refused in the API's shape, too."""

from __future__ import annotations

import json
import socket
from http import HTTPStatus

import uuid_utils
from gunicorn import util
from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker

from everlearn.error_shape import error_body
from models_app.learning.schema import Problem

# The first class that fits decides. A coding of the transfer that nobody asked for is no fault of
# ours, so it is no 501.
STATUSES: tuple[tuple[type[Exception], HTTPStatus, str], ...] = (
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


class WebWorker(ThreadWorker):
    """gunicorn's own would answer with a page of its own."""

    def handle_error(
        self, req: object, client: socket.socket, addr: tuple[str, int] | None, exc: Exception
    ) -> None:
        """Refuse a request that never reached the application, and close."""
        status, code = next((one, code) for kind, one, code in STATUSES if isinstance(exc, kind))
        # Its name alone: what was sent may hold a key.
        self.log.warning("%s from %s: %s", status.phrase, (addr or ("",))[0], type(exc).__name__)
        try:
            util.write_nonblock(client, _answer(status, code))
        except OSError:
            self.log.debug("Nobody waits for the refusal any more.")


def _answer(status: HTTPStatus, code: str) -> bytes:
    body = json.dumps(error_body(status, [Problem("", code, f"{status.phrase}.")])).encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"X-Request-ID: {uuid_utils.uuid7()}",
    )
    return "\r\n".join((*head, "", "")).encode() + body
