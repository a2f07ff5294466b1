"""L5, slow clients: 500 connections with a byte a second each leave predictions as they were."""

from __future__ import annotations

import json
import select
import selectors
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Self

import httpx
import pytest

from tests.factories import LONG
from tests.gunicorn import Gunicorn
from tests.instance import wait_for

SLOW = 500
SECONDS = 15.0
# When the last of them must be closed: a body's grace, a second's sweep and the last answer.
ALL_CLOSED_WITHIN = 25.0
PREDICT = b"POST /api/models/leaves/predict/ HTTP/1.1\r\nHost: localhost\r\n"
JSON = b"Content-Type: application/json\r\n"

SCRIPT = b"/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js"

# What is sent at once, and what is sent each second after it.
FORMS = {
    "head": (b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: ", b"a"),
    "body": (PREDICT + JSON + b"Content-Length: 900000\r\n\r\n", b" "),
    "chunks": (PREDICT + JSON + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "nothing": (b"", b""),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\x00"),
    "readers": (b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % SCRIPT * 200, b""),
}


class SlowClients:
    """Connections that send a byte a second and, but for the readers, read what comes."""

    def __init__(self, port: int, form: str, number: int = SLOW) -> None:
        self.form, self.port = form, port
        self.open: dict[socket.socket, float] = {}
        self.lasted: list[float] = []
        self.told = b""
        self._number = number
        self._stopping = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        first, _ = FORMS[self.form]
        for _ in range(self._number):
            client = socket.socket()
            if self.form == "readers":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", self.port))
            client.setblocking(False)
            if first:
                client.send(first)
            if self.form == "readers":
                # These are real requests, too: all at once, they would be a burst of them.
                threading.Event().wait(0.02)
            self.open[client] = time.monotonic()
            self._selector.register(client, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        for client in self.open:
            client.close()
        self._selector.close()

    def _run(self) -> None:
        while self.open and not self._stopping.wait(1):
            for client in list(self.open):
                self._take_turn(client)

    def _take_turn(self, client: socket.socket) -> None:
        try:
            if self.form == "readers":
                # What came before the server broke off could be read for long.
                alive = client.recv(1) != b"" and not self._broken_off(client)
            else:
                alive = self._read(client)
                client.send(FORMS[self.form][1])
        except BlockingIOError:
            alive = True
        except OSError:
            alive = False
        if not alive:
            self.lasted.append(time.monotonic() - self.open.pop(client))
            client.close()

    @staticmethod
    def _broken_off(client: socket.socket) -> bool:
        poll = select.poll()
        poll.register(client, 0)
        return bool(poll.poll(0))

    def _read(self, client: socket.socket) -> bool:
        try:
            read = client.recv(2**16)
        except BlockingIOError:
            return True
        self.told = read or self.told
        return read != b""


def descriptors(web: Gunicorn) -> int:
    """How many the web processes have open together."""
    return sum(process.num_fds() for process in web.process.children())


@pytest.fixture(scope="module", params=["1", "2"])
def web(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gunicorn]:
    with Gunicorn(tmp_path_factory.mktemp("slow"), WEB_CONCURRENCY=request.param) as made:
        yield made


def served(web: Gunicorn, seconds: float) -> list[float]:
    """Seconds that predictions took, one after the other; /health is asked beside each."""
    took, until = [], time.monotonic() + seconds
    body = {"instances": [LONG]}
    while time.monotonic() < until:
        # A connection each, as a new client has it.
        with httpx.Client(base_url=web.url, timeout=10) as client:
            assert client.get("/health", timeout=1).json() == {"status": "ok"}
            started = time.monotonic()
            assert client.post("/api/models/leaves/predict/", json=body).status_code == 200
            took.append(time.monotonic() - started)
        threading.Event().wait(0.1)
    return took


@pytest.mark.parametrize("form", FORMS)
def test_five_hundred_slow_clients_leave_predictions_as_they_were(web: Gunicorn, form: str) -> None:
    served(web, 1)
    before = descriptors(web)
    with SlowClients(web.port, form) as slow:
        took = served(web, SECONDS)

        assert statistics.quantiles(took, n=20)[-1] < 1
        wait_for(lambda: not slow.open, ALL_CLOSED_WITHIN)
        if form in {"head", "body", "chunks"}:
            status, _, rest = slow.told.partition(b"\r\n")
            assert status == b"HTTP/1.1 408 Request Timeout"
            (error,) = json.loads(rest.partition(b"\r\n\r\n")[2])["errors"]
            assert error["code"] == "request_timeout"
    # But for those of threads that had not yet asked the database before.
    wait_for(lambda: descriptors(web) <= before + 100, 10)


def test_all_kinds_at_once_keep_nobody_out(web: Gunicorn) -> None:
    with ExitStack() as stack:
        for form in FORMS:
            stack.enter_context(SlowClients(web.port, form, SLOW // 2))

        took = served(web, SECONDS)

    assert statistics.quantiles(took, n=20)[-1] < 1
