"""gunicorn.conf.py: what a web process has in hand at SIGTERM is answered, then it is gone."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from django.conf import settings

from tests import environments
from tests.instance import wait_for

BODY = b'{"length": [1.0], "width": [1.0]}'
HEAD = (
    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n" % len(BODY)
)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/ready", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    port = _free_port()
    environ = environments.without_defaults(
        environments.of_another(tmp_path, PORT=str(port), WEB_CONCURRENCY="1")
    )
    champion = "from tests.factories import make_champion; make_champion()"
    for command in (["migrate", "-v0"], ["shell", "-v0", "-c", champion]):
        manage = [sys.executable, "manage.py", *command]
        subprocess.run(manage, cwd=settings.BASE_DIR, env=environ, check=True)
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "everlearn.wsgi"],
            cwd=settings.BASE_DIR, env=environ, stderr=log,
        )  # fmt: skip
    try:
        wait_for(lambda: _ready(port), 30)
        yield process, port
    finally:
        process.kill()
        process.wait()


def test_a_request_whose_body_is_still_coming_is_answered(web, tmp_path: Path) -> None:
    process, port = web
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(HEAD + BODY[:10])
        # A later connection is answered, so that this one has been taken up, too.
        assert _ready(port)

        process.send_signal(signal.SIGTERM)
        wait_for(lambda: "Handling signal: term" in (tmp_path / "log").read_text(), 10)
        client.sendall(BODY[10:])

        answered = client.makefile("rb").read()
    assert answered.startswith(b"HTTP/1.1 200 ")
    assert answered.endswith(b'{"kind":["elm"]}')
    assert process.wait(10) == 0
