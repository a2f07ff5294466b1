"""A tracking server that can be stopped, hang and fail; when well, it has nothing registered."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ABSENT = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "not here"}


class MlflowStub:
    """`mode`: "well", "failing" (500), "hanging" (accepts and says nothing) or "stopped"."""

    def __init__(self) -> None:
        self._mode = "well"
        self._released = threading.Event()
        self._server = self._listen(0)
        self.port = self._server.server_address[1]
        self.uri = f"http://127.0.0.1:{self.port}"

    @property
    def mode(self) -> str:
        return self._mode

    @mode.setter
    def mode(self, mode: str) -> None:
        if mode == "stopped":
            self.close()
        elif self._mode == "stopped":
            self._server = self._listen(self.port)
        self._mode = mode
        # Whoever hangs, hangs no longer.
        self._released.set()
        self._released = threading.Event()

    def close(self) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def _listen(self, port: int) -> ThreadingHTTPServer:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                released = stub._released
                if stub._mode == "hanging":
                    released.wait(60)
                if stub._mode != "well":
                    self._answer(500, {"error_code": "INTERNAL_ERROR", "message": "broken"})
                elif "experiments/search" in self.path:
                    self._answer(200, {"experiments": []})
                else:
                    self._answer(404, ABSENT)

            do_POST = do_GET  # noqa: N815 - their names

            def _answer(self, status: int, body: Any) -> None:
                content = json.dumps(body).encode()
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    pass  # the one who asked gave up

            def log_message(self, *_: Any) -> None:
                """Nothing: it is asked every few seconds."""

        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server
