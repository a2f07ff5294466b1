"""O6: a PostgreSQL server that restarts, drops connections and has none left, under load."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import httpx
import psycopg
import pytest

from tests.drills import invariants
from tests.drills.history import Clients
from tests.factories import LONG
from tests.instance import Instance, wait_for
from tests.postgres_server import CONFIGURATION, PostgresServer, own_server

NORMAL_WITHIN = 10.0
OTHERS = "FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
PREDICT = ("POST", "/api/models/leaves/predict/")
ROUTES = [
    PREDICT, ("GET", "/api/models/"), ("GET", "/api/runs/"), ("POST", "/api/feedback/"),
    ("POST", "/predict"), ("GET", "/"), ("GET", "/admin/"), ("GET", "/admin/login/"),
]  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with own_server(f"{CONFIGURATION} -c max_connections=50") as started:
        yield started


@pytest.fixture(scope="module")
def instance(server: PostgresServer, tmp_path_factory) -> Iterator[Instance]:
    # The whole drill without the cache that is declared: nothing answers there.
    away = {"DATABASE_URL": server.url, "CACHE_URL": "redis://127.0.0.1:1/0"}
    with Instance(tmp_path_factory.mktemp("away"), **away) as started:
        started.start()
        yield started


def normal_again(instance: Instance, clients: Clients, since: float) -> None:
    """Wait until predictions and feedback are answered, and check what became of the others."""
    began = time.time()
    wait_for(lambda: clients.history.answered_since(since), NORMAL_WITHIN)
    settled = time.time()
    wait_for(lambda: sum(one.sent > settled for one in clients.history) > 20, NORMAL_WITHIN)
    late = [one for one in clients.history if one.sent > began + NORMAL_WITHIN]
    assert {one.status for one in late} <= {200, 201}


def check(instance: Instance, clients: Clients) -> None:
    """Nothing answered is lost, nothing is there twice, and whoever failed was told to return."""
    invariants.check(instance, clients.history)
    failed = [one for one in clients.history if one.status not in (200, 201)]
    assert {one.status for one in failed} <= {503}
    for one in failed:
        assert one.headers["retry-after"]
        assert one.answer["errors"][0]["code"].startswith("storage_")


def test_a_server_that_crashes_and_returns_loses_nothing(
    instance: Instance, server: PostgresServer
) -> None:
    with Clients(instance.url, instance.key, rate=20) as clients:
        wait_for(lambda: clients.history.answered_since(0), NORMAL_WITHIN)
        server.stop("immediate")
        gone = time.time()
        wait_for(lambda: any(one.sent > gone for one in clients.history), NORMAL_WITHIN)
        time.sleep(2)
        server.start()
        normal_again(instance, clients, time.time())

    check(instance, clients)
    assert any(one.status == 503 for one in clients.history)


def test_while_it_is_away_every_door_says_come_back(
    instance: Instance, server: PostgresServer
) -> None:
    with instance.client() as client:
        server.stop()
        try:
            assert client.get("/health").status_code == 200
            for method, path in ROUTES:
                answer = client.request(method, path, json={"instances": [LONG]})
                assert_said_to_return(path, answer)
        finally:
            server.start()
        wait_for(lambda: client.request(*PREDICT, json={"instances": [LONG]}).is_success,
                 NORMAL_WITHIN)  # fmt: skip


def assert_said_to_return(path: str, answer: httpx.Response) -> None:
    assert answer.status_code < 500 or answer.headers.get("retry-after"), (path, answer.text)
    assert answer.status_code in (200, 302, 400, 503), (path, answer.status_code)
    if path.startswith("/api/"):
        assert answer.json()["errors"], path


def test_connections_that_are_cut_within_a_transaction_leave_no_half_and_no_double(
    instance: Instance, server: PostgresServer
) -> None:
    with (
        Clients(instance.url, instance.key, rate=30) as clients,
        psycopg.connect(server.url, autocommit=True) as other,
    ):
        wait_for(lambda: clients.history.answered_since(0), NORMAL_WITHIN)
        for _ in range(8):
            other.execute(f"SELECT pg_terminate_backend(pid) {OTHERS}")
            time.sleep(0.4)
        normal_again(instance, clients, time.time())

    check(instance, clients)


def test_with_no_connection_left_it_is_busy_until_one_is_free(
    instance: Instance, server: PostgresServer
) -> None:
    with Clients(instance.url, instance.key, rate=20) as clients:
        wait_for(lambda: clients.history.answered_since(0), NORMAL_WITHIN)
        with ExitStack() as taken:
            own = taken.enter_context(psycopg.connect(server.url, autocommit=True))
            began = time.time()
            while not any(one.status == 503 and one.sent > began for one in clients.history):
                assert time.time() < began + 30
                own.execute(f"SELECT pg_terminate_backend(pid) {OTHERS} AND usename = current_user"
                            " AND application_name <> 'greedy'")  # fmt: skip
                take_all(taken, server)
        normal_again(instance, clients, time.time())

    check(instance, clients)


def take_all(taken: ExitStack, server: PostgresServer) -> None:
    """Hold every connection that the server has left."""
    with suppress(psycopg.OperationalError):
        while True:
            taken.enter_context(psycopg.connect(server.url, application_name="greedy"))
