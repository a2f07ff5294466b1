"""compose.yaml, its own commands and environment, on this machine: trains, serves, ends.

PostgreSQL is the tests', the S3 server one of Python's; Redis is away, which must not matter.
"""

from __future__ import annotations

import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import composed, databases, s3_server
from tests.factories import SHORT, leaves
from tests.instance import DECLARED, wait_for
from tests.test_compose import GIVEN

BEHIND_TLS = {"Host": "models.example", "X-Forwarded-Proto": "https"}


@dataclass
class Stack:
    """What of compose.yaml runs here. moved: its parts' addresses, and where they really are."""

    room: Path
    moved: dict[str, str]
    server: dict[str, str]
    environ: dict[str, str]
    file: dict[str, Any] = field(default_factory=lambda: composed.read(GIVEN))
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, name: str, home: str, **environ: str) -> subprocess.Popen[str]:
        process = composed.start(
            self.file["services"][name], self.room / home, self.moved, self.file["configs"],
            **{**self.environ, **environ},
        )  # fmt: skip
        self.running.append(process)
        return process

    def once(self, name: str, home: str) -> None:
        assert self.start(name, home).wait(120) == 0, (self.room / home / "output").read_text()

    def healthy(self, name: str, home: str) -> bool:
        """What the health check of a service says."""
        kind, *command = self.file["services"][name]["healthcheck"]["test"]
        line = command[0] if kind == "CMD-SHELL" else shlex.join(command)
        line = line.replace("localhost:5000", self.moved["mlflow:5000"])
        line = line.replace(composed.HOME, str(self.room / home))
        return subprocess.run(["/bin/sh", "-c", line], check=False).returncode == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    room = tmp_path_factory.mktemp("composed")
    leaves().to_csv(room / "leaves.csv", index=False)
    (room / "everlearn.toml").write_text(DECLARED)
    mlflow = f"127.0.0.1:{_free_port()}"
    with ExitStack() as held:
        own, others = (held.enter_context(databases.fresh("postgres")) for _ in range(2))
        server = held.enter_context(s3_server.bucket())
        moved = {
            f"postgres://everlearn:{GIVEN['POSTGRES_PASSWORD']}@postgres:5432/everlearn":
                own["DATABASE_URL"],
            f"://mlflow:{GIVEN['MLFLOW_DATABASE_PASSWORD']}@postgres:5432/mlflow":
                others["DATABASE_URL"].removeprefix("postgres"),
            "redis:6379": f"127.0.0.1:{_free_port()}",
            "http://store:8333": server["AWS_ENDPOINT_URL_S3"],
            "--host=0.0.0.0": "--host=127.0.0.1",
            "--port=5000": f"--port={mlflow.partition(':')[2]}",
            "mlflow:5000": mlflow,
        }  # fmt: skip
        environ = {"EVERLEARN_MODELS": str(room / "everlearn.toml"), "EVERLEARN_HOST": "127.0.0.1"}
        made = Stack(room, moved, server, environ)
        yield made
        for process in made.running:
            process.kill()
            process.wait()


def test_it_trains_serves_shares_its_bundles_and_ends(stack: Stack) -> None:
    """O4, and two hosts that share nothing but database and storage."""
    s3_server.client(stack.server).delete_bucket(Bucket=s3_server.BUCKET)
    stack.once("bucket", "worker")
    stack.once("bucket", "worker")  # as at the next start
    stack.start("mlflow", "mlflow")
    stack.once("migrate", "worker")
    wait_for(lambda: stack.healthy("mlflow", "mlflow"), 90)
    _refuses_who_has_no_password(f"http://{stack.moved['mlflow:5000']}")
    assert not stack.healthy("worker", "worker")
    worker = stack.start("worker", "worker")
    stack.once("apply", "worker")
    assert stack.healthy("worker", "worker")

    ports = [_free_port() for _ in range(2)]
    webs = [
        stack.start("web", f"web-{port}", PORT=str(port), WEB_CONCURRENCY="1") for port in ports
    ]
    for port in ports:
        wait_for(partial(_ready, port), 30)
        answer = _ask(port, "POST", "/api/models/leaves/predict/", json={"instances": [SHORT]})
        assert answer.status_code == 200, answer.text
        assert answer.json()["version"] == 1
        # Found in the bucket, not on a disk of another.
        assert list((stack.room / f"web-{port}" / "cache" / "bundles").iterdir())
        assert not (stack.room / f"web-{port}" / "storage").exists()

    _holds(stack.server)
    for process in (*webs, worker):
        process.send_signal(signal.SIGTERM)
    for process in (*webs, worker):
        process.wait(15)  # stop_grace_period


def _ask(port: int, method: str, path: str, **body: Any) -> httpx.Response:
    try:
        return httpx.request(
            method, f"http://127.0.0.1:{port}{path}", headers=BEHIND_TLS, timeout=10, **body
        )
    except httpx.TransportError:
        return httpx.Response(502)


def _ready(port: int) -> bool:
    return _ask(port, "GET", "/ready").status_code == 200


def _refuses_who_has_no_password(url: str) -> None:
    asked = f"{url}/api/2.0/mlflow/experiments/search?max_results=1"
    assert httpx.get(asked).status_code == 401
    assert httpx.get(asked, auth=("admin", "password1234")).status_code == 401
    known = ("everlearn", GIVEN["MLFLOW_PASSWORD"])
    assert httpx.get(asked, auth=known).status_code == 200
    assert httpx.get(asked, headers={"Host": "evil.example"}, auth=known).status_code == 403


def _holds(server: dict[str, str]) -> None:
    listed = s3_server.client(server).list_objects_v2(Bucket=s3_server.BUCKET)["Contents"]
    names = {one["Key"] for one in listed}
    for folder in ("service/bundles/", "service/snapshots/", "service/golden/", "mlflow/"):
        assert any(name.startswith(folder) for name in names), (folder, names)
