"""The worker with its cluster: real processes, some of which are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from django.conf import settings

from feedback_app import heartbeat, retraining
from feedback_app.models import RetrainingRun
from models_app.actors import system_user
from tests.factories import make_model

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def worker() -> Iterator[psutil.Process]:
    """`manage.py worker`, working."""
    before = heartbeat.last_beat()
    process = subprocess.Popen(
        [sys.executable, str(settings.BASE_DIR / "manage.py"), "worker"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(lambda: heartbeat.last_beat() > before)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def test_a_request_is_carried_out_and_soon_begun(worker: psutil.Process) -> None:
    run, _ = retraining.request(
        make_model(), actor=system_user("cli"), trigger=RetrainingRun.Trigger.MANUAL
    )

    run = wait_for(lambda: RetrainingRun.objects.exclude(started_at=None).first())
    assert run.started_at
    assert (run.started_at - run.created_at).total_seconds() < 2
    wait_for(lambda: not RetrainingRun.objects.get().active)
    assert RetrainingRun.objects.get().verdict == "PROMOTE"


def test_a_cluster_that_was_killed_comes_back(worker: psutil.Process) -> None:
    (cluster,) = worker.children()
    everything = cluster.children(recursive=True)

    cluster.send_signal(signal.SIGKILL)

    _, alive = psutil.wait_procs(everything, timeout=5)
    assert alive == []
    before = heartbeat.last_beat()
    wait_for(lambda: heartbeat.last_beat() > before)


def test_nothing_is_left_when_the_worker_is_killed(worker: psutil.Process) -> None:
    everything = worker.children(recursive=True)

    worker.send_signal(signal.SIGKILL)

    _, alive = psutil.wait_procs(everything, timeout=5)
    assert alive == []


def test_being_asked_to_stop_leaves_nothing_behind(worker: psutil.Process) -> None:
    everything = worker.children(recursive=True)
    began = time.monotonic()

    os.kill(worker.pid, signal.SIGTERM)

    _, alive = psutil.wait_procs([worker, *everything], timeout=15)
    assert alive == []
    assert time.monotonic() - began < 10


def wait_for(look: Callable[[], Any]) -> Any:
    give_up = time.monotonic() + 90
    while time.monotonic() < give_up:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError("nothing happened within 90 s")
