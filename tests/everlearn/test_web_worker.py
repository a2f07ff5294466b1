"""everlearn/web_worker.py: what gunicorn itself refuses is JSON; its real parser, over a socket."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

with pytest.MonkeyPatch.context() as patched:
    patched.delenv("WEB_CONCURRENCY")  # what is empty means the default to us, not to gunicorn
    from gunicorn.config import Config
    from gunicorn.workers.gthread import TConn

    from everlearn.web_worker import WebWorker

GET = "GET /api/models/ HTTP/1.1\r\nHost: localhost\r\n"
POST = "POST /api/feedback/ HTTP/1.1\r\nHost: localhost\r\n"


def _broken(environ: Any, start_response: Any) -> Any:
    raise ZeroDivisionError("canary")


@pytest.fixture(scope="module")
def worker() -> Iterator[WebWorker]:
    config = Config()
    made = WebWorker(0, 0, [], None, 30, config, config.logger_class(config))
    made.wsgi = _broken
    yield made
    made.tmp.close()


def _sent(worker: WebWorker, request: str) -> tuple[int, dict[str, str], Any]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(request.encode("latin-1"))
        worker.handle(TConn(worker.cfg, theirs, ("192.0.2.1", 1), ("127.0.0.1", 80)))
        head, _, body = ours.recv(2**16).decode().partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    return int(first.split()[1]), dict(line.split(": ") for line in lines), json.loads(body)


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ("get /api/models/ HTTP/1.1\r\n\r\n", 400, "bad_request"),
        ("GET /api/models/\r\n\r\n", 400, "bad_request"),
        ("GET /api/models/a b/ HTTP/1.1\r\n\r\n", 400, "bad_request"),
        ("GET * HTTP/1.1\r\n\r\n", 400, "bad_request"),
        ("GET /api/models/ HTTP/9.1\r\n\r\n", 400, "bad_request"),
        (f"{GET}Host: evil\r\n\r\n", 400, "bad_request"),
        (f"{GET}Authorization: Bearer \0\r\n\r\n", 400, "bad_request"),
        (f"{GET}no colon\r\n\r\n", 400, "bad_request"),
        (f"{POST}Content-Length: -1\r\n\r\n", 400, "bad_request"),
        (f"{POST}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}", 400, "bad_request"),
        (f"{POST}Transfer-Encoding: none\r\n\r\n", 400, "bad_request"),
        (f"GET /api/models/?x={'a' * 5000} HTTP/1.1\r\n\r\n", 414, "address_too_long"),
        (f"{GET}X-Long: {'a' * 40_000}\r\n\r\n", 431, "headers_too_large"),
        (f"{POST}Expect: wonders\r\n\r\n", 417, "expectation_failed"),
        (f"{GET}\r\n", 500, "error"),
    ],
)
def test_what_the_application_never_sees_is_refused_in_its_shape(
    worker: WebWorker, request_: str, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    answered, headers, body = _sent(worker, request_)

    assert answered == status
    assert headers["Content-Type"] == "application/json"
    assert headers["Connection"] == "close"
    assert len(headers["X-Request-ID"]) == 36
    assert [error["code"] for error in body["errors"]] == [code]
    assert "canary" not in json.dumps(body)


def test_a_client_that_went_away_is_nobodys_mistake(worker: WebWorker) -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs:
        worker.handle_error(None, theirs, None, ValueError())
