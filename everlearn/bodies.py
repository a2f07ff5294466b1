"""How long a body may be on each route, whatever its headers say."""

from __future__ import annotations

import re
import socket
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import IO, Any

from django.http import HttpRequest, HttpResponse

from everlearn.errors import refuse
from models_app.learning.schema import Problem

MIB = 2**20

# The first pattern that fits the whole path decides.
LIMITS: tuple[tuple[str, int], ...] = (
    ("(/api)?/feedback/?", 10 * MIB),
    ("/admin/.*", 100 * MIB),
    ("/api/models/[^/]*/predict-batch/?", 100 * MIB),
    (".*", MIB),
)
HELD_IN_MEMORY = 10 * MIB
PIECE = 2**16
# Of a body that nobody reads: beyond it the connection is closed instead.
MOST_READ_IN_VAIN = 32 * MIB
SECONDS_IN_VAIN = 1.0
SECONDS_FOR_A_PIECE = 8.0
BROKEN = "everlearn.broken_body"

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


def limit_of(path: str) -> int:
    """How many bytes a body sent to `path` may have."""
    return next(limit for pattern, limit in LIMITS if re.fullmatch(pattern, path, re.DOTALL))


class BodyMiddleware:
    """Refuses a body that is too long or compressed before anybody reads it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        length = request.META.get("CONTENT_LENGTH") or "0"
        limit = limit_of(request.path_info)
        if length.isdecimal() and int(length) > limit:
            detail = f"The body is longer than the {limit} bytes that this route takes."
            return refuse(request, 413, Problem("", "body_too_large", detail))
        if BROKEN in request.META:
            return refuse(request, 400, Problem("", "body_incomplete", "The body ended too early."))
        encoding = request.headers.get("Content-Encoding", "identity")
        if encoding.strip().lower() not in ("", "identity"):
            detail = "The body must be sent as it is, without a Content-Encoding."
            return refuse(request, 415, Problem("", "unsupported_encoding", detail))
        return self.get_response(request)


def measured(application: Application) -> Application:
    """The application, for bodies that come in chunks too: Django reads only a known length.

    Such a body is read here, at most one byte further than its route's limit, so that
    BodyMiddleware treats it as any other.
    """

    def answer(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not environ.get("HTTP_TRANSFER_ENCODING"):
            return application(environ, start_response)
        with tempfile.SpooledTemporaryFile(HELD_IN_MEMORY) as body:
            most = limit_of(environ.get("PATH_INFO", "")) + 1
            try:
                length = _copy(environ["wsgi.input"], body, most)
            except OSError:
                # A chunk that is none, or a client that went away.
                length, environ[BROKEN] = 0, True
            body.seek(0)
            environ |= {"wsgi.input": body, "CONTENT_LENGTH": str(length)}
            return application(environ, start_response)

    return answer


def finished(application: Application) -> Application:
    """The application, having read each body to its end before the answer leaves.

    A client may still be sending what was refused: were the rest left on the connection, it would
    be closed under the client's feet, and the answer or the next request be lost. A client that
    promised more than it sends is waited for only so long.
    """

    def answer(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        connection, body = environ.get("gunicorn.socket"), environ["wsgi.input"]
        _wait_at_most(connection, SECONDS_FOR_A_PIECE)
        parts = application(environ, start_response)
        _wait_at_most(connection, SECONDS_IN_VAIN)
        _read_in_vain(body)
        _wait_at_most(connection, None)  # a slow reader of the answer may take its time
        return parts

    return answer


def _wait_at_most(connection: socket.socket | None, seconds: float | None) -> None:
    if connection is not None:
        connection.settimeout(seconds)


def _read_in_vain(body: IO[bytes]) -> None:
    left, give_up = MOST_READ_IN_VAIN, time.monotonic() + SECONDS_IN_VAIN
    # A client that went away, the server finds out about by itself.
    with suppress(OSError):
        while left > 0 and time.monotonic() < give_up and (piece := body.read(PIECE)):
            left -= len(piece)


def _copy(source: IO[bytes], target: IO[bytes], most: int) -> int:
    copied = 0
    while copied < most and (piece := source.read(min(PIECE, most - copied))):
        copied += target.write(piece)
    return copied
