"""Processes of the queue killed under a whole instance, with and without a run under way."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest

from tests.drills.estimators import HOLD
from tests.instance import DECLARED, Instance, wait_for

# Whoever shares the processors makes everything slow; the promises are of a quiet machine.
PATIENCE = 90
ENDED = {"succeeded", "rejected", "held"}


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    declared = DECLARED.replace('"logistic"', '"tests.drills.estimators.patient"')
    home = tmp_path_factory.mktemp("queue")
    with Instance(home, declared=declared) as started:
        started.start()
        yield started


@pytest.fixture
def client(instance: Instance) -> Iterator[httpx.Client]:
    with instance.client() as client:
        yield client
    (instance.home / HOLD).unlink(missing_ok=True)


def begun(instance: Instance, client: httpx.Client) -> dict[str, Any]:
    """A run that is asked for and held while it fits."""
    (instance.home / HOLD).touch()
    asked = client.post("/api/models/leaves/retrain/", json={}).json()
    run = {"id": asked["run"], "asked_at": time.monotonic()}
    wait_for(lambda: shown(client, run)["progress"]["step"] == "fitting", PATIENCE)
    return run


def shown(client: httpx.Client, run: dict[str, Any]) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = client.get(f"/api/runs/{run['id']}/").json()
    except httpx.HTTPError:
        return {"progress": {"step": ""}, "status": "", "attempts": 0}
    return answer


def finish(instance: Instance, client: httpx.Client, run: dict[str, Any]) -> dict[str, Any]:
    (instance.home / HOLD).unlink(missing_ok=True)
    wait_for(lambda: shown(client, run)["status"] in ENDED, PATIENCE)
    return shown(client, run)


def guard_of(instance: Instance) -> psutil.Process:
    """django-q's sentinel: the one below the cluster's first process."""
    first = min(instance.below("manage.py", "cluster"), key=lambda one: one.create_time())
    wait_for(lambda: len(first.children(recursive=True)) >= 6, PATIENCE)
    (sentinel,) = first.children()
    return sentinel


def below_guard(instance: Instance) -> list[psutil.Process]:
    """Three workers, the monitor and the pusher, in the order in which django-q starts them."""
    return sorted(guard_of(instance).children(), key=lambda one: one.pid)


def test_a_run_whose_queue_worker_is_killed_goes_on_with_another(
    instance: Instance, client: httpx.Client
) -> None:
    """T1"""
    run = begun(instance, client)
    (trainer,) = instance.below("run_training")

    trainer.parent().send_signal(signal.SIGKILL)  # type: ignore[union-attr]
    killed = time.monotonic()
    wait_for(lambda: not trainer.is_running(), 10)
    wait_for(lambda: shown(client, run)["attempts"] == 2, PATIENCE)

    assert time.monotonic() - killed <= PATIENCE
    assert finish(instance, client, run)["attempts"] == 2
    versions = client.get("/api/models/leaves/versions/").json()["results"]
    assert all(version["bundle_digest"] for version in versions)


@pytest.mark.parametrize("victim", ["worker", "guard", "pusher"])
def test_a_run_that_is_asked_for_after_a_kill_starts(
    instance: Instance, client: httpx.Client, victim: str
) -> None:
    """T2"""
    chosen = {
        "worker": lambda: below_guard(instance)[0],
        "guard": lambda: guard_of(instance),
        "pusher": lambda: below_guard(instance)[-1],
    }[victim]()

    chosen.send_signal(signal.SIGKILL)
    run = begun(instance, client)

    assert time.monotonic() - run["asked_at"] <= PATIENCE
    assert finish(instance, client, run)["attempts"] == 1


def test_a_group_that_is_told_to_stop_in_mid_training_is_gone_and_the_run_resumes(
    instance: Instance, client: httpx.Client
) -> None:
    """T5"""
    run = begun(instance, client)
    (supervisor,) = instance.below("supervisord.conf") or instance.below("-c")[:1]
    everything = supervisor.children(recursive=True)
    body = {"instances": [{"length": 9.0, "width": 1.0}] * 1000}
    told: list[int | str] = []

    def ask() -> None:
        try:
            told.append(httpx.post(f"{instance.url}/predict", json=body, timeout=30).status_code)
        except httpx.ConnectError:
            told.append("closed before it was asked")

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.02)
    os.killpg(supervisor.pid, signal.SIGTERM)

    _, alive = psutil.wait_procs([supervisor, *everything], timeout=45)
    asking.join()
    assert alive == []
    assert told in ([200], ["closed before it was asked"])
    wait_for(instance.ready, PATIENCE)
    wait_for(lambda: shown(client, run)["attempts"] == 2, PATIENCE)
    assert finish(instance, client, run)["attempts"] == 2
