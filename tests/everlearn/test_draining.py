"""gunicorn.conf.py: what a web process has in hand at SIGTERM is answered, then it is gone."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gunicorn import Gunicorn
from tests.instance import wait_for

BODY = b'{"length": [1.0], "width": [1.0]}'
HEAD = (
    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n" % len(BODY)
)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Gunicorn]:
    with Gunicorn(tmp_path, WEB_CONCURRENCY="1") as made:
        yield made


def test_a_request_whose_body_is_still_coming_is_answered(web: Gunicorn) -> None:
    with socket.create_connection(("127.0.0.1", web.port), timeout=10) as client:
        client.sendall(HEAD + BODY[:10])
        # A later connection is answered, so that this one has been taken up, too.
        assert web.ready()

        web.process.send_signal(signal.SIGTERM)
        wait_for(lambda: "Handling signal: term" in web.log.read_text(), 10)
        client.sendall(BODY[10:])

        answered = client.makefile("rb").read()
    assert answered.startswith(b"HTTP/1.1 200 ")
    assert answered.endswith(b'{"kind":["elm"]}')
    assert web.process.wait(10) == 0
