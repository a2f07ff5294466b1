"""fetching.py, addresses.py and datasets.py: data at an address, on a real server of the test's."""

from __future__ import annotations

import gzip
import io
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from typing import Any

import pandas as pd
import pytest
from django.conf import LazySettings

from models_app import addresses, datasets, fetching
from models_app.addresses import SourceRefused

CSV = b"a,b\n1,x\n2,y\n"


class Source(ThreadingHTTPServer):
    """Answers each path as its entry in `answers` does."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Callable[[Handler], None]] = {}
        self.asked: list[str] = []

    def at(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Source

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        with suppress(ConnectionError):
            self.server.answers.get(self.path.partition("?")[0], missing)(self)

    do_HEAD = do_GET  # noqa: N815 - the base class names it

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


@pytest.fixture
def source(settings: LazySettings) -> Iterator[Source]:
    """A server on 127.0.0.1, the one private address that may be asked here."""
    settings.EVERLEARN_DATA_ALLOW = (ip_network("127.0.0.1/32"),)
    with Source() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def parquet(frame: pd.DataFrame) -> bytes:
    file = io.BytesIO()
    frame.to_parquet(file)
    return file.getvalue()


def test_csv_and_parquet_are_read_from_an_address(source: Source) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    source.answers = {"/t.csv": sends(CSV), "/t.parquet": sends(parquet(frame))}

    assert datasets.read_table(source.at("/t.csv?key=1")).to_dict() == frame.to_dict()
    assert datasets.read_table(source.at("/t.parquet")).to_dict() == frame.to_dict()


def test_a_redirect_is_followed_as_far_as_addresses_are_allowed(source: Source) -> None:
    source.answers = {
        "/here": leads_to("/t.csv"),
        "/t.csv": sends(CSV),
        "/away": leads_to(source.at("/t.csv", "127.0.0.2")),
        "/mapped": leads_to(source.at("/t.csv", "[::ffff:127.0.0.2]")),
    }

    assert len(datasets.read_table(source.at("/here"))) == 2
    for path in ("/away", "/mapped"):
        with pytest.raises(SourceRefused, match=r"127\.0\.0\.2 is not a public address"):
            datasets.read_table(source.at(path))
    assert source.asked.count("/t.csv") == 1


@pytest.mark.parametrize(
    "place",
    [
        "http://127.0.0.1/t.csv",
        "http://localhost/t.csv",
        "http://2130706433/t.csv",
        "http://0x7f000001/t.csv",
        "http://127.1/t.csv",
        "http://[::1]/t.csv",
        "http://[::ffff:127.0.0.1]/t.csv",
        "http://[64:ff9b::7f00:1]/t.csv",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/t.csv",
        "http://0.0.0.0/t.csv",
        "http://224.0.0.1/t.csv",
    ],
)
def test_what_is_not_public_is_refused_before_and_when_it_is_fetched(
    place: str, settings: LazySettings
) -> None:
    settings.EVERLEARN_DATA_ALLOW = ()

    for ask in (addresses.check_address, datasets.read_table):
        with pytest.raises(SourceRefused, match=r"not a public address|malformed") as refusal:
            ask(place)
        assert refusal.value.code == "url_not_allowed"


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("file:///etc/passwd", "addresses begin with"),
        ("gopher://example.com/", "addresses begin with"),
        ("http://user:secret@example.com/t.csv", "holds a user or a password"),
        ("http:///t.csv", "names no host"),
        ("http://example.com:99999/", "malformed"),
    ],
)
def test_other_kinds_of_address_are_refused_without_being_repeated(place: str, words: str) -> None:
    with pytest.raises(SourceRefused, match=words) as refusal:
        datasets.read_table(place)

    assert "secret" not in str(refusal.value)


def test_an_endless_stream_ends_at_the_limit(source: Source, settings: LazySettings) -> None:
    settings.EVERLEARN_DATA_LIMIT = 2
    source.answers = {"/t.csv": never_ends}

    with pytest.raises(SourceRefused, match="more than 2 MiB"):
        datasets.read_table(source.at("/t.csv"))


def test_a_table_that_would_grow_beyond_all_bounds_is_refused(
    source: Source, settings: LazySettings
) -> None:
    settings.EVERLEARN_DATA_LIMIT = 1
    bomb = pd.DataFrame({"n": range(3_000_000), "zero": 0})
    source.answers = {
        "/packed.csv": sends(gzip.compress(CSV), Content_Encoding="gzip"),
        "/zip.csv": sends(b"PK\x03\x04 and so on"),
        "/wide.csv": sends(b"a," * 20_000 + b"b\n"),
        "/long.csv": sends(b"a" * 2**20),
        "/bomb.parquet": sends(parquet(bomb.assign(n=1))),
    }
    settings.EVERLEARN_DATA_LIMIT = 2

    for path, words in {
        "/packed.csv": "a gzip file",
        "/zip.csv": "a zip file",
        "/wide.csv": "20001 columns",
        "/long.csv": "first line",
    }.items():
        with pytest.raises(SourceRefused, match=words):
            datasets.read_table(source.at(path))


def test_what_is_not_there_is_refused_and_what_does_not_answer_may_answer_later(
    source: Source,
) -> None:
    source.answers = {"/broken.csv": lambda handler: handler.send_error(500)}

    with pytest.raises(datasets.DataRefused, match="no such file"):
        datasets.read_table(source.at("/absent.csv"))
    with pytest.raises(OSError, match="cannot be fetched: 500"):
        datasets.read_table(source.at("/broken.csv"))


def test_unchanged_data_keeps_its_fingerprint(source: Source) -> None:
    source.answers = {"/t.csv": sends(CSV, ETag='"one"'), "/plain.csv": sends(CSV)}
    first = fetching.fingerprint(source.at("/t.csv"))

    assert first == fetching.fingerprint(source.at("/t.csv"))
    source.answers["/t.csv"] = sends(CSV, ETag='"two"')
    assert first != fetching.fingerprint(source.at("/t.csv"))
    assert fetching.fingerprint(source.at("/plain.csv")) == ""
