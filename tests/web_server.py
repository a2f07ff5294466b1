"""A real web worker in a thread of the test's own, and raw clients of it."""

from __future__ import annotations

import json
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from everlearn.connection_limits import Limits, NetworkCounts

with pytest.MonkeyPatch.context() as patched:
    patched.delenv("WEB_CONCURRENCY")  # what is empty means the default to us, not to gunicorn
    from gunicorn.config import Config

    from everlearn.web_worker import WebWorker

Application = Callable[[dict[str, Any], Any], Any]


def echo(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answer what came: its method, its path and its body."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(length).decode()
    told = json.dumps([environ["REQUEST_METHOD"], environ["PATH_INFO"], body]).encode()
    start_response("200 OK", [("Content-Length", str(len(told)))])
    return [told]


@dataclass
class Server:
    """A worker that serves; `client` opens a raw connection to it."""

    worker: WebWorker
    port: int

    def client(self, source: str = "127.0.0.1", received: int = 0) -> socket.socket:
        """A connection from `source`, with a buffer for `received` bytes."""
        own = socket.socket()
        if received:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, received)
        own.settimeout(10)
        own.bind((source, 0))
        own.connect(("127.0.0.1", self.port))
        return own

    def ask(self, request: bytes | str) -> Answer:
        """What is answered to these bytes, up to the first answer's end."""
        with self.client() as client:
            client.sendall(request.encode("latin-1") if isinstance(request, str) else request)
            return read_answer(client.makefile("rb"))


@dataclass
class Answer:
    """An answer; status 0: the connection was closed without one."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def codes(self) -> list[str]:
        assert self.headers["Content-Type"] == "application/json"
        assert len(self.headers["X-Request-ID"]) == 36
        return [error["code"] for error in json.loads(self.body)["errors"]]


def read_answer(stream: Any) -> Answer:
    """Read one answer from a connection."""
    first = stream.readline()
    if not first:
        return Answer(0, {}, b"")
    headers = {}
    while (line := stream.readline().decode().strip()) != "":
        name, _, value = line.partition(": ")
        headers[name] = value
    return Answer(int(first.split()[1]), headers, stream.read(int(headers["Content-Length"])))


@contextmanager
def serving(
    application: Application = echo, *, connections: int = 1000, per_network: int = 0, **limits: Any
) -> Iterator[Server]:
    """A worker that answers with `application`; `limits` replace those of `Limits`."""
    config = Config()
    for name, value in {
        "worker_connections": connections,
        "threads": 2,
        "graceful_timeout": 1,
        "limit_request_field_size": 32 * 1024,
    }.items():
        config.set(name, value)
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as listener:
        port = listener.getsockname()[1]
        made = WebWorker(0, os.getppid(), [listener], None, 30, config, config.logger_class(config))
        made.limits = replace(Limits(), **limits)
        made.networks = NetworkCounts(per_network)
        made.wsgi = application
        made.tpool = made.get_thread_pool()
        made.poller = selectors.DefaultSelector()
        made.method_queue.init()
        thread = threading.Thread(target=made.run)
        thread.start()
        try:
            yield Server(made, port)
        finally:
            made.handle_exit(None, None)
            thread.join(10)
            made.tmp.close()


def closed_within(client: socket.socket, seconds: float) -> bool:
    """Whether the server closes that connection in time, whatever it says before."""
    client.settimeout(seconds)
    deadline = time.monotonic() + seconds
    try:
        while client.recv(2**16):
            if time.monotonic() > deadline:
                return False
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True
