"""everlearn/web_worker.py: requests over real connections, and what no application ever sees."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.instance import wait_for
from tests.web_server import Server, echo, read_answer, serving

GET = "GET /api/models/ HTTP/1.1\r\nHost: localhost\r\n"
POST = "POST /api/feedback/ HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = f"{POST}Transfer-Encoding: chunked\r\n\r\n"
MIB = 2**20


def _broken(environ: Any, start_response: Any) -> Any:
    if environ["PATH_INFO"] == "/broken":
        raise ZeroDivisionError("canary")
    return echo(environ, start_response)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(_broken) as made:
        yield made


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ("get /api/models/ HTTP/1.1\r\n\r\n", 400, "bad_request"),
        ("GET /api/models/\r\n\r\n", 400, "bad_request"),
        ("GET /api/models/a b/ HTTP/1.1\r\n\r\n", 400, "bad_request"),
        ("GET * HTTP/1.1\r\n\r\n", 400, "bad_request"),
        ("GET /api/models/ HTTP/9.1\r\n\r\n", 400, "bad_request"),
        (f"{GET}Host: evil\r\n\r\n", 400, "bad_request"),
        (f"{GET}Authorization: Bearer \0\r\n\r\n", 400, "bad_request"),
        (f"{GET}no colon\r\n\r\n", 400, "bad_request"),
        (f"{POST}Content-Length: -1\r\n\r\n", 400, "bad_request"),
        (f"GET /api/models/?x={'a' * 5000} HTTP/1.1\r\n\r\n", 414, "address_too_long"),
        (f"{GET}X-Long: {'a' * 40_000}\r\n\r\n", 431, "headers_too_large"),
        (f"{GET}" + f"X-Long: {'a' * 9_000}\r\n" * 9, 431, "headers_too_large"),
        (f"{POST}Expect: wonders\r\n\r\n", 417, "expectation_failed"),
        ("GET /broken HTTP/1.1\r\nHost: localhost\r\n\r\n", 500, "error"),
        (f"{POST}Content-Length: {10 * MIB + 1}\r\n\r\n", 413, "body_too_large"),
        (f"{POST}Content-Length: 1{'0' * 30}\r\n\r\n", 413, "body_too_large"),
        (f"{CHUNKED}a00001\r\n", 413, "body_too_large"),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "bad_request"),
    ],
)
def test_what_the_application_never_sees_is_refused_in_its_shape(
    server: Server, request_: str, status: int, code: str
) -> None:
    answer = server.ask(request_)

    assert (answer.status, answer.codes) == (status, [code])
    assert answer.headers["Connection"] == "close"
    assert b"canary" not in answer.body


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 2\r\nContent-Length: 3\r\n",
        "Content-Length: 2\r\nContent-Length: 2\r\n",
        "Content-Length: 2, 2\r\n",
        "Content-Length: +2\r\n",
        "Content-Length: 0x2\r\n",
        "Content-Length: 2_0\r\n",
        "Content-Length: \xb2\r\n",
        "Content-Length:\r\n",
        "Content-Length : 2\r\n",
        " Content-Length: 2\r\n",
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: identity, chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: none\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding: xchunked\r\n",
        'Transfer-Encoding: "chunked"\r\n',
        "Transfer-Encoding: \xa0chunked\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "X-A: b\r\n folded\r\n",
        "X-A: b\rTransfer-Encoding: chunked\r\n",
        "X-A: b\nTransfer-Encoding: chunked\r\n",
        "X-A: b\n\r\nX-B: c\r\n",
        "X-A: b\r\r\n",
        "X-A: \0\r\n",
        "X-A: \x01\r\n",
        "X-A: \x7f\r\n",
        "X-\0A: b\r\n",
        "X\tA: b\r\n",
        ": b\r\n",
    ],
)
def test_a_head_that_two_programs_may_read_differently_is_refused(
    server: Server, head: str
) -> None:
    answer = server.ask(f"{POST}{head}\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")

    assert (answer.status, answer.codes) == (400, ["bad_request"])
    assert answer.headers["Connection"] == "close"


@pytest.mark.parametrize(
    "first",
    [
        "GET /\n HTTP/1.1",
        "GET /a\rb HTTP/1.1",
        "GET /\x00 HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /a\tb HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET / HTTP/0.9",
        "GET / HTTP/2.0",
        "GET /",
    ],
)
def test_a_request_line_that_two_programs_may_read_differently_is_refused(
    server: Server, first: str
) -> None:
    assert server.ask(f"{first}\r\nHost: localhost\r\n\r\n").codes == ["bad_request"]


def test_chunks_are_refused_in_http_1_0(server: Server) -> None:
    head = "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"

    assert server.ask(head).codes == ["bad_request"]


def test_a_head_whose_lines_end_in_a_bare_line_feed_is_refused_at_once(server: Server) -> None:
    assert server.ask("GET / HTTP/1.1\nHost: localhost\n\n").codes == ["bad_request"]
    assert server.ask("GET / HTTP/1.1\r\nHost: localhost\n\n").codes == ["bad_request"]


@pytest.mark.parametrize(
    "chunks",
    [
        "2;a=\nb\r\n{}\r\n0\r\n\r\n",
        "2;a\nb\r\n{}\r\n0\r\n\r\n",
        "2;\n\r\n{}\r\n0\r\n\r\n",
        "2;a=\rb\r\n{}\r\n0\r\n\r\n",
        "2;a=\0b\r\n{}\r\n0\r\n\r\n",
        "2;\r\n{}\r\n0\r\n\r\n",
        "2;=b\r\n{}\r\n0\r\n\r\n",
        '2;a="b\r\n{}\r\n0\r\n\r\n',
        "2 ;a=b\r\n{}\r\n0\r\n\r\n",
        "2; a=b\r\n{}\r\n0\r\n\r\n",
        f"2;{'a' * 300}\r\n{{}}\r\n0\r\n\r\n",
        "2\n{}\r\n0\r\n\r\n",
        "2\r{}\r\n0\r\n\r\n",
        "2\r\n{}\n0\r\n\r\n",
        "2\r\n{}0\r\n\r\n",
        "2\r\n{}\r\n0\n\n",
        "2\r\n{}\r\n0\r\n\n",
        "+2\r\n{}\r\n0\r\n\r\n",
        "-2\r\n{}\r\n0\r\n\r\n",
        "0x2\r\n{}\r\n0\r\n\r\n",
        "0_2\r\n{}\r\n0\r\n\r\n",
        " 2\r\n{}\r\n0\r\n\r\n",
        "2 \r\n{}\r\n0\r\n\r\n",
        "2\t\r\n{}\r\n0\r\n\r\n",
        "\r\n{}\r\n0\r\n\r\n",
        "g\r\n{}\r\n0\r\n\r\n",
        "\xb2\r\n{}\r\n0\r\n\r\n",
        "000000002\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}\r\n0\r\nX-Trailer: a\r\n\r\n",
        "2\r\n{}\r\n0\r\nContent-Length: 5\r\n\r\n",
    ],
)
def test_chunks_that_two_programs_may_read_differently_are_refused(
    server: Server, chunks: str
) -> None:
    smuggled = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"

    with server.client() as client:
        client.sendall(f"{CHUNKED}{chunks}{smuggled}".encode("latin-1"))
        stream = client.makefile("rb")
        answer = read_answer(stream)
        assert (answer.status, answer.codes) == (400, ["bad_request"])
        assert stream.read() == b""


@pytest.mark.parametrize(
    "chunks",
    [
        "2\r\n{}\r\n0\r\n\r\n",
        "1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
        '02;a;b=c;d="e;\\" f"\r\n{}\r\n000;x\r\n\r\n',
        "0\r\n\r\n",
    ],
)
def test_chunks_are_put_together_however_they_arrive(server: Server, chunks: str) -> None:
    answers = []
    for piece in (1000, 1):
        with server.client() as client:
            client.sendall(f"{POST}Transfer-Encoding: cHuNkEd\r\n\r\n".encode())
            for at in range(0, len(chunks), piece):
                client.sendall(chunks[at : at + piece].encode())
            client.sendall(f"{GET}\r\n".encode())
            stream = client.makefile("rb")
            answers += [json.loads(read_answer(stream).body), json.loads(read_answer(stream).body)]

    body = "" if chunks.startswith("0\r") else "{}"
    assert answers == [["POST", "/api/feedback/", body], ["GET", "/api/models/", ""]] * 2


def test_a_long_body_is_received_whole_in_either_framing(server: Server) -> None:
    body = "0123456789abcdef" * 2**16

    plain = server.ask(f"{POST}Content-Length: {len(body)}\r\n\r\n{body}")
    chunked = server.ask(f"{CHUNKED}{len(body):x}\r\n{body}\r\n0\r\n\r\n")

    assert json.loads(plain.body)[2] == json.loads(chunked.body)[2] == body


def test_requests_sent_ahead_are_answered_in_order(server: Server) -> None:
    ahead = "".join(f"GET /{number} HTTP/1.1\r\nHost: localhost\r\n\r\n" for number in range(50))

    with server.client() as client:
        client.sendall(ahead.encode())
        stream = client.makefile("rb")
        paths = [json.loads(read_answer(stream).body)[1] for _ in range(50)]

    assert paths == [f"/{number}" for number in range(50)]


def test_a_client_that_waits_is_told_to_continue(server: Server) -> None:
    with server.client() as client:
        client.sendall(f"{POST}Content-Length: 2\r\nExpect: 100-continue\r\n\r\n".encode())
        stream = client.makefile("rb")
        assert stream.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert stream.readline() == b"\r\n"
        client.sendall(b"{}")
        assert json.loads(read_answer(stream).body)[2] == "{}"


def test_a_client_that_waits_with_too_much_is_not_told_to_continue(server: Server) -> None:
    head = f"{POST}Content-Length: {11 * MIB}\r\nExpect: 100-continue\r\n\r\n"

    assert server.ask(head).status == 413


@pytest.mark.parametrize("size", [11 * MIB, 30 * MIB])
def test_a_client_that_sends_all_before_it_reads_has_the_refusal(server: Server, size: int) -> None:
    answer = server.ask(f"{POST}Content-Length: {size}\r\n\r\n".encode() + b" " * size)

    assert answer.codes == ["body_too_large"]


def test_a_body_that_ends_early_is_refused_when_the_client_says_so(server: Server) -> None:
    with server.client() as client:
        client.sendall(f"{POST}Content-Length: 10\r\n\r\n{{}}".encode())
        client.shutdown(1)
        answer = read_answer(client.makefile("rb"))

    assert (answer.status, answer.codes) == (400, ["body_incomplete"])


def test_a_client_that_sends_no_more_still_has_its_answer(server: Server) -> None:
    with server.client() as client:
        client.sendall(f"{GET}\r\n".encode())
        client.shutdown(1)
        stream = client.makefile("rb")
        assert read_answer(stream).status == 200
        assert stream.read() == b""


def test_a_client_that_went_away_ends_nothing(server: Server) -> None:
    for sent in ("", "GET", GET, f"{GET}\r\n", CHUNKED):
        with server.client() as client:
            client.sendall(sent.encode())

    assert server.ask(f"{GET}\r\n").status == 200


def test_the_name_that_a_client_gave_its_request_stands_in_the_refusal(server: Server) -> None:
    name = "a" * 36
    answer = server.ask(f"{POST}X-Request-ID: {name}\r\nContent-Length: {11 * MIB}\r\n\r\n")

    assert answer.headers["X-Request-ID"] == name


def test_a_file_and_a_long_answer_arrive_whole(tmp_path: Path) -> None:
    data = bytes(range(256)) * 2**14
    (tmp_path / "file").write_bytes(data)

    def application(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Length", str(len(data)))])
        if environ["PATH_INFO"] == "/file":
            return environ["wsgi.file_wrapper"]((tmp_path / "file").open("rb"))
        return (data[at : at + 1000] for at in range(0, len(data), 1000))

    with serving(application) as made:
        for path in ("/file", "/pieces", "/file"):
            answer = made.ask(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert answer.body == data


def test_what_waits_for_too_long_or_is_too_much_is_told_to_come_back() -> None:
    """With all threads at work, and none of them freed."""
    release = threading.Event()

    def application(environ: Any, start_response: Any) -> Any:
        if environ["PATH_INFO"] != "/health":
            release.wait(20)
        return echo(environ, start_response)

    asked = f"{GET}\r\n".encode()
    with serving(application, waiting=1, waiting_seconds=1.0) as made:
        clients = [made.client() for _ in range(4)]  # for two threads, and one to wait
        for client in clients:
            client.sendall(asked)
        wait_for(lambda: len(made.worker.working) == 3, 5)
        assert made.ask("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").status == 200
        answers = [read_answer(client.makefile("rb")) for client in clients[2:]]
        release.set()
        answered = [read_answer(client.makefile("rb")).status for client in clients[:2]]
        for client in clients:
            client.close()

    assert {answer.status for answer in answers} == {503}
    assert {code for answer in answers for code in answer.codes} == {"busy"}
    assert {answer.headers["Retry-After"] for answer in answers} == {"2"}
    assert answered == [200, 200]
