"""A server of data on 127.0.0.1 that answers well or badly, each path as a test wants it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Source(ThreadingHTTPServer):
    """Answers each path as its entry in `answers` does; `asked` has those that were read."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Callable[[Handler], None]] = {}
        self.asked: list[str] = []
        self.looked_at: list[str] = []

    def at(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Source

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        with suppress(ConnectionError):
            self.server.answers.get(self.path.partition("?")[0], missing)(self)

    def do_HEAD(self) -> None:
        self.server.looked_at.append(self.path)
        self.server.answers.get(self.path.partition("?")[0], missing)(self)

    def log_message(self, *_: Any) -> None:
        pass


def missing(handler: Handler) -> None:
    handler.send_error(404)


def sends(content: bytes, **headers: str) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        handler.send_response(200)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        if handler.command == "GET":
            handler.wfile.write(content)

    return answer


def leads_to(place: str) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        handler.send_response(302)
        handler.send_header("Location", place)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def never_ends(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b"1,2\n" * 65536)


def trickles(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b"1")
        time.sleep(0.1)


def says_nothing(handler: Handler) -> None:
    handler.rfile.read()


@contextmanager
def serving() -> Iterator[Source]:
    """A server that ends with the block."""
    with Source() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()
