"""everlearn/web_worker.py: how long a client may take, and how many connections may be open.

The limits are lowered; tests/drills/test_slow_clients.py has those of an installation.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psutil
import pytest

from everlearn.connection_limits import Limits, NetworkCounts, more_time
from tests.instance import wait_for
from tests.web_server import Server, closed_within, echo, read_answer, serving

GET = b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /api/feedback/ HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
LONG = 4 * 2**20


def _at_length(environ: dict[str, Any], start_response: Any) -> Any:
    """A long answer to /long, the usual one to any other."""
    if environ["PATH_INFO"] != "/long":
        return echo(environ, start_response)
    start_response("200 OK", [("Content-Length", str(LONG))])
    return [b"x" * LONG]


@contextmanager
def dripping(clients: list[socket.socket], piece: bytes, every: float) -> Iterator[None]:
    """Send `piece` on each connection again and again, as long as the server takes it."""
    stopping = threading.Event()

    def drip() -> None:
        while not stopping.wait(every):
            for client in clients:
                try:
                    client.send(piece)
                except OSError:
                    continue

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


@pytest.mark.parametrize(
    ("begun", "piece"),
    [
        (b"GET /a HTTP/1.1\r\nX-A: ", b"a"),
        (POST + b"Content-Length: 900000\r\n\r\n", b" "),
        (CHUNKED, b"1\r\n \r\n"),
        (CHUNKED + b"1;", b"a"),
        (GET + b"GET /b HTTP/1.1\r\nX-A: ", b"a"),
    ],
    ids=["head", "body", "chunks", "chunk size", "sent ahead"],
)
def test_a_request_that_comes_too_slowly_is_refused_and_takes_no_thread(
    begun: bytes, piece: bytes
) -> None:
    with serving(head=1.0, grace=1.0, bytes_per_second=1e6) as server, ExitStack() as stack:
        clients = [stack.enter_context(server.client()) for _ in range(20)]
        for client in clients:
            client.sendall(begun)
        with dripping(clients[1:], piece, 0.1):
            assert server.ask(GET).status == 200  # there are two threads
            stream = clients[0].makefile("rb")
            answer = read_answer(stream)
            if begun.startswith(GET):
                assert answer.status == 200
                answer = read_answer(stream)
            assert (answer.status, answer.codes) == (408, ["request_timeout"])
            assert answer.headers["Connection"] == "close"
            assert all(closed_within(client, 8) for client in clients)
        wait_for(lambda: server.worker.nr_conns == 0, 5)


def test_a_connection_that_sends_nothing_is_closed_without_a_word() -> None:
    with serving(first_byte=0.5) as server, server.client() as client:
        assert client.recv(100) == b""
        wait_for(lambda: server.worker.nr_conns == 0, 5)


def test_a_body_that_comes_fast_enough_may_take_its_time() -> None:
    with serving(grace=0.5, bytes_per_second=1000) as server, server.client() as client:
        client.sendall(POST + b"Content-Length: 4000\r\n\r\n")
        started = time.monotonic()
        with dripping([client], b"a" * 200, 0.1):
            answer = read_answer(client.makefile("rb"))

    assert len(json.loads(answer.body)[2]) == 4000
    assert time.monotonic() - started > 1.5


def test_a_body_that_pauses_for_too_long_is_refused_however_fast_it_came() -> None:
    with serving(grace=0.5, body_pause=1.0) as server, server.client() as client:
        client.sendall(POST + b"Content-Length: 9000000\r\n\r\n" + b" " * 8_000_000)

        assert read_answer(client.makefile("rb")).status == 408


def test_a_body_may_not_take_longer_than_all_bodies_may() -> None:
    with serving(body=1.0) as server, server.client() as client:
        client.sendall(POST + b"Content-Length: 900000\r\n\r\n")
        with dripping([client], b" " * 2000, 0.1):
            assert read_answer(client.makefile("rb")).status == 408


def test_more_time_is_earned_by_what_comes_up_to_a_pause() -> None:
    limits = Limits()

    assert more_time(limits, 10.0, 2048, now=5.0, pause=30) == 12.0
    assert more_time(limits, 10.0, 10**9, now=5.0, pause=30) == 35.0


@pytest.mark.parametrize("requests", [1, 50])
def test_a_client_that_reads_slowly_takes_no_thread_and_is_given_up(requests: int) -> None:
    """Alone, or while it sends ahead what it will not read the answers to."""
    ask = b"GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with (
        serving(_at_length, grace=1.0, answer_pause=1.0) as server,
        ExitStack() as stack,
    ):
        before = _descriptors()
        clients = [stack.enter_context(server.client(received=4096)) for _ in range(20)]
        for client in clients:
            client.sendall(ask * requests)
        wait_for(lambda: len(server.worker.waiting) == 20, 10)
        assert server.ask(GET).status == 200
        wait_for(lambda: server.worker.nr_conns == 0, 10)
        assert all(len(_read_to_the_end(client)) < LONG for client in clients)
    assert _descriptors() <= before


def test_a_client_that_reads_steadily_has_its_whole_answer() -> None:
    with (
        serving(_at_length, grace=1.0, bytes_per_second=10_000) as server,
        server.client(received=4096) as client,
    ):
        client.sendall(b"GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n")
        stream = client.makefile("rb")
        read, started = 0, time.monotonic()
        while read < LONG:
            piece = stream.read(LONG // 30)
            assert piece
            read += len(piece)
            threading.Event().wait(0.1)

    assert time.monotonic() - started > 2.5


def test_the_oldest_connection_gives_way_to_a_new_one() -> None:
    """And so no number of open connections keeps anybody out."""
    with serving(connections=20) as server, ExitStack() as stack:
        slow = []
        for _ in range(100):
            client = stack.enter_context(server.client())
            client.sendall(b"GET /a HTTP/1.1\r\nX-A: ")
            slow.append(client)
        started = time.monotonic()
        for _ in range(10):
            assert server.ask(GET).status == 200
        assert time.monotonic() - started < 1
        assert server.worker.nr_conns < 20
        told = read_answer(slow[0].makefile("rb"))

    assert (told.status, told.codes) == (503, ["busy"])


def test_what_all_bodies_hold_together_is_bounded() -> None:
    with serving(held=10_000_000) as server, ExitStack() as stack:
        clients = [stack.enter_context(server.client()) for _ in range(3)]
        for client in clients:
            client.sendall(POST + b"Content-Length: 9000000\r\n\r\n" + b" " * 4_000_000)
        told = read_answer(clients[0].makefile("rb"))
        clients[2].sendall(b" " * 5_000_000)

        assert (told.status, told.codes) == (503, ["busy"])
        assert read_answer(clients[2].makefile("rb")).status == 200


def test_one_network_may_hold_only_so_many_connections() -> None:
    with serving(per_network=3) as server, ExitStack() as stack:
        counts = server.worker.networks
        counts._counted = _is_not_the_first  # type: ignore[method-assign]  # as though abroad
        held = [stack.enter_context(server.client("127.0.0.2")) for _ in range(3)]
        wait_for(lambda: server.worker.nr_conns == 3, 5)
        with server.client("127.0.0.2") as client:
            answer = read_answer(client.makefile("rb"))
        assert (answer.status, answer.codes) == (429, ["too_many_connections"])
        assert answer.headers["Retry-After"]

        with server.client("127.0.0.3") as client:
            client.sendall(GET)
            assert read_answer(client.makefile("rb")).status == 200
        held[0].close()
        wait_for(lambda: server.worker.nr_conns == 2, 5)
        with server.client("127.0.0.2") as client:
            client.sendall(GET)
            assert read_answer(client.makefile("rb")).status == 200


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::ffff:1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ],
)
def test_connections_are_counted_by_network(first: str, second: str) -> None:
    counts = NetworkCounts(1)

    assert counts.admit(first)
    assert not counts.admit(second)
    assert counts.admit("192.0.2.2")
    assert counts.admit("2001:db8:0:1::1")
    counts.forget(first)
    assert counts.admit(second)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1", ""])
def test_a_proxy_on_this_host_may_hold_any_number_of_connections(address: str) -> None:
    counts = NetworkCounts(1)

    assert all(counts.admit(address) for _ in range(10))


def test_behind_trusted_proxies_no_network_is_counted(settings: Any) -> None:
    with serving() as server:
        assert server.worker.connections_per_network() == 250
        settings.EVERLEARN_TRUSTED_PROXIES = 1
        assert server.worker.connections_per_network() == 0


def _is_not_the_first(address: str) -> bool:
    return address != "127.0.0.1"


def _descriptors() -> int:
    return psutil.Process().num_fds()


def _read_to_the_end(client: socket.socket) -> bytes:
    read = b""
    try:
        while piece := client.recv(2**16):
            read += piece
    except ConnectionError:
        pass
    return read


def test_answering_goes_on_for_all_when_one_connection_breaks(server: Server) -> None:
    """Whatever fails in the loop costs that connection alone."""
    with server.client() as client:
        client.sendall(GET[:5])
        wait_for(lambda: any(one.incoming.begun for one in server.worker.waiting), 5)
        (broken,) = server.worker.waiting
        broken.incoming.take = None  # type: ignore[method-assign,assignment]
        client.sendall(GET[5:])
        assert closed_within(client, 5)

    assert server.ask(GET).status == 200


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as made:
        yield made
