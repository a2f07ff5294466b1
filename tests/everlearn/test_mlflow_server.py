"""mlflow_server.py, against servers that answer as MLflow does; O4."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from everlearn.mlflow_server import _outward_address, unsafe_server

Start = Callable[..., int]
EVERYWHERE = "0.0.0.0"  # noqa: S104 - for a moment, and it knows nothing


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a server at an address, of a version, that asks for a login or not; gives its port."""
    with ExitStack() as running:

        def started(address: str, version: str, *, login: bool) -> int:
            class Answering(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    free = self.path == "/version" or not login
                    content = version.encode() if self.path == "/version" else b"{}"
                    self.send_response(200 if free else 401)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

                def log_message(self, *words: object) -> None:
                    """Nothing of a test's is read on stderr."""

            server = running.enter_context(ThreadingHTTPServer((address, 0), Answering))
            running.callback(server.shutdown)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            return server.server_port

        yield started


@pytest.fixture
def outward() -> str:
    address = _outward_address()
    if not address:
        pytest.skip("this machine has no address that others reach")
    return address


def test_a_new_server_for_this_host_alone_is_safe(start) -> None:
    port = start("127.0.0.1", "3.17.2", login=False)

    assert list(unsafe_server(f"http://127.0.0.1:{port}")) == []


@pytest.mark.parametrize("version", ["3.17.1", "2.22.0"])
def test_an_old_server_is_named_with_the_remedy(start, version) -> None:
    port = start("127.0.0.1", version, login=True)

    (found,) = unsafe_server(f"http://me:secret@localhost:{port}/")

    assert str(found).startswith(f"MLFLOW_TRACKING_URI is an MLflow {version}, which")
    assert "upgrade" in found.remedy


def test_one_of_this_host_that_listens_for_others_without_a_login_is_found(start, outward) -> None:
    port = start(EVERYWHERE, "3.17.2", login=False)

    (found,) = unsafe_server(f"http://127.0.0.1:{port}")

    assert f"answers whoever asks it at {outward}:{port}" in found.why
    assert "--host 127.0.0.1" in found.remedy


def test_one_elsewhere_without_a_login_is_found_whatever_login_we_have(start, outward) -> None:
    port = start(outward, "3.17.2", login=False)

    (found,) = unsafe_server(f"http://me:secret@{outward}:{port}")

    assert "without a login" in found.why
    assert "secret" not in str(found)


def test_one_that_asks_for_a_login_is_safe(start, outward) -> None:
    port = start(EVERYWHERE, "3.18.0", login=True)

    assert list(unsafe_server(f"http://127.0.0.1:{port}")) == []
    assert list(unsafe_server(f"http://{outward}:{port}")) == []


@pytest.mark.parametrize("uri", ["sqlite:///x.db", "databricks", "http://127.0.0.1:9"])
def test_nothing_is_said_of_what_is_no_server_or_away(uri) -> None:
    assert list(unsafe_server(uri)) == []
