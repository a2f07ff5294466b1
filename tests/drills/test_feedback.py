"""Feedback to a whole instance: sent again, in parallel, through real headers, without a queue."""

from __future__ import annotations

import signal
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import httpx
import psutil
import pytest

from tests.drills.killing import alive
from tests.factories import LONG
from tests.instance import DECLARED, Instance, wait_for

THRESHOLD = 10
RETRAINING = f"""
[models.leaves.retrain]
feedback = {THRESHOLD}
"""
PATH = "/api/feedback/"
OAK: dict[str, Any] = {"model": "leaves", "features": LONG, "value": "oak"}
RUN_WITHIN = 60


@pytest.fixture(scope="module")
def instance(tmp_path_factory) -> Iterator[Instance]:
    home = tmp_path_factory.mktemp("feedback")
    with Instance(home, declared=DECLARED + RETRAINING, WEB_CONCURRENCY="2") as started:
        started.start()
        yield started


@pytest.fixture
def client(instance: Instance) -> Iterator[httpx.Client]:
    with instance.client() as made:
        yield made


def ids(client: httpx.Client) -> list[str]:
    return [word["id"] for word in client.get(PATH).json()["results"]]


def test_of_fifty_requests_at_once_to_two_processes_one_is_carried_out(
    instance: Instance, client: httpx.Client
) -> None:
    """F2."""
    before = len(ids(client))

    def send(_: int) -> httpx.Response:
        # A connection each, so that both processes take some.
        headers = {"Authorization": f"Bearer {instance.key}", "Idempotency-Key": "fifty"}
        return httpx.post(instance.url + PATH, json=OAK, headers=headers, timeout=30)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(send, range(50)))

    counted = Counter(answer.status_code for answer in answers)
    assert counted[201] == 1
    assert set(counted) <= {200, 201, 409}
    assert len({answer.json()["id"] for answer in answers if answer.is_success}) == 1
    for answer in answers:
        if answer.status_code == 409:
            assert answer.json()["errors"][0]["code"] == "idempotency_in_progress"
            assert answer.headers["Retry-After"] == "1"
    assert len(ids(client)) == before + 1


@pytest.mark.parametrize("keys", [["a", "b"], ["same", "same"], ["k" * 10_240], [""]])
def test_a_key_that_is_repeated_or_too_long_is_told_so(
    instance: Instance, client: httpx.Client, keys: list[str]
) -> None:
    """H4."""
    before = len(ids(client))

    answer = client.post(PATH, json=OAK, headers=[("Idempotency-Key", key) for key in keys])

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "invalid_idempotency_key"
    assert len(ids(client)) == before


def test_a_key_with_commas_is_one_key(client: httpx.Client) -> None:
    headers = {"Idempotency-Key": "a,b, c"}

    statuses = [client.post(PATH, json=OAK, headers=headers).status_code for _ in range(2)]

    assert statuses == [201, 200]


def test_a_client_that_hung_up_before_the_answer_is_answered_when_it_asks_again(
    instance: Instance, client: httpx.Client
) -> None:
    """F1: whether it was carried out is unknown to the client; afterwards it is, once."""
    before = len(ids(client))

    def request() -> httpx.Request:
        return client.build_request("POST", PATH, json=OAK, headers={"Idempotency-Key": "hung-up"})

    sent = request()
    head = [f"POST {PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.headers.items())]
    with socket.create_connection(("127.0.0.1", instance.port)) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode() + sent.read())

    wait_for(lambda: client.send(request()).is_success, 20)
    assert len(ids(client)) == before + 1


def test_feedback_without_a_queue_leads_to_one_run_once_it_is_back(
    instance: Instance, client: httpx.Client
) -> None:
    """F5: the trigger looks at rows, and no message about them has to arrive."""
    runs = "/api/runs/?model=leaves"
    wait_for(lambda: all(run["ended_at"] for run in client.get(runs).json()["results"]), 120)
    earlier = len(client.get(runs).json()["results"])
    stopped = [process for kind in ("guard", "queue") for process in alive(instance, kind)]
    for process in stopped:
        process.send_signal(signal.SIGSTOP)
    try:
        words = [{**OAK, "comment": f"no. {n}"} for n in range(3 * THRESHOLD)]
        assert {client.post(PATH, json=word).status_code for word in words} == {201}
        assert len(client.get(runs).json()["results"]) == earlier
    finally:
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)

    wait_for(lambda: len(client.get(runs).json()["results"]) > earlier, RUN_WITHIN)

    newest = client.get(runs).json()["results"][0]
    assert newest["trigger"] == "feedback"
    wait_for(lambda: client.get(f"/api/runs/{newest['id']}/").json()["ended_at"], 180)
    assert len(client.get(runs).json()["results"]) == earlier + 1
