"""A real MLflow server that stops answering what it is told not to answer.

`python -m tests.stubborn_mlflow FOLDER` serves and prints its port. What is put to `/hang`, a
JSON list of parts of addresses, is accepted and kept waiting until it is no longer in the list.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from models_app.lifeline import die_with_parent

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]

CONTROL = "/hang"


class Stubborn:
    """The WSGI application in front of MLflow's."""

    def __init__(self, app: Application) -> None:
        self.app = app
        self.hang: list[str] = []
        self.asked: list[str] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
        if environ["PATH_INFO"] == CONTROL:
            start_response("200 OK", [("Content-Type", "application/json")])
            return [self._control(environ)]
        self.asked.append(path)
        while any(part in path for part in self.hang):
            time.sleep(0.05)
        return self.app(environ, start_response)

    def _control(self, environ: dict[str, Any]) -> bytes:
        if environ["REQUEST_METHOD"] == "PUT":
            sent = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            self.hang, self.asked = json.loads(sent), []
        return json.dumps(self.asked).encode()


class StubbornMlflow:
    """Such a server as its user sees it."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.stubborn_mlflow", str(folder)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self.process.stdout
        self.url = f"http://127.0.0.1:{self.process.stdout.readline().strip()}"
        # Its tables are made at the first question, which takes seconds.
        address = f"{self.url}/api/2.0/mlflow/experiments/search?max_results=1"
        httpx.get(address, timeout=120).raise_for_status()

    def hang(self, *parts: str) -> None:
        """Answer nothing whose method and address have one of `parts`."""
        httpx.put(self.url + CONTROL, json=parts)

    def asked(self) -> list[str]:
        """Methods and addresses that were asked for since `hang` was last called."""
        told: list[str] = httpx.get(self.url + CONTROL).json()
        return told

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextmanager
def used_by_everlearn(stubborn: StubbornMlflow) -> Iterator[None]:
    """Have this process's EverLearn use that server while the block lasts."""
    from django.test import override_settings

    from models_app import registry

    with override_settings(MLFLOW_TRACKING_URI=stubborn.url):
        registry._client.cache_clear()
        try:
            yield
        finally:
            stubborn.hang()
            registry._client.cache_clear()
    # MLflow's own pointer goes back, too.
    registry._client()


def serve(folder: Path) -> None:
    """Serve MLflow from `folder` until killed."""
    os.environ |= {
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{folder}/server.db",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(folder / "artifacts"),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "true",
    }
    from mlflow.server import app
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, Stubborn(app), threaded=True)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    die_with_parent(signal.SIGKILL)
    serve(Path(sys.argv[1]))
