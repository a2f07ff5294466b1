"""The child process that trains: real ones, ended in every way that they may end."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest
from django.db import connection
from pytest_django.fixtures import Settings

from feedback_app import retraining, training_process
from feedback_app.models import RetrainingRun
from models_app.actors import system_user
from tests.factories import make_model
from tests.feedback_app.makers import make_running

Status = RetrainingRun.Status

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def meanwhile(act: Callable[[psutil.Process], None]) -> Iterator[None]:
    """Do `act` to the child as soon as there is one."""

    def watch() -> None:
        parent, child = psutil.Process(), None
        while child is None:
            child = next((one for one in parent.children() if is_training(one)), None)
            time.sleep(0.01)
        act(child)
        connection.close()

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    thread.join()


def is_training(process: psutil.Process) -> bool:
    try:
        return "run_training" in process.cmdline()
    except psutil.Error:
        return False


def kill(child: psutil.Process) -> None:
    child.send_signal(signal.SIGKILL)


def supervise() -> RetrainingRun:
    run = make_running(make_model())
    training_process.supervise(run.pk, 1)
    return RetrainingRun.objects.get(pk=run.pk)


def test_a_child_carries_the_run_out() -> None:
    run = supervise()

    assert (run.status, run.verdict, run.error) == (Status.SUCCEEDED, "PROMOTE", "")


def test_a_killed_child_is_tried_again() -> None:
    with meanwhile(kill):
        run = supervise()

    assert run.status == Status.QUEUED
    assert run.error.startswith("worker_lost: killed by SIGKILL: ")


def test_a_child_that_needs_too_much_memory_does_not_hurt_the_worker(settings: Settings) -> None:
    settings.EVERLEARN_RUN_MEMORY = 100
    run = supervise()

    assert run.status == Status.QUEUED
    assert run.error.startswith("worker_lost: Cannot allocate memory: ")
    assert "EVERLEARN_RUN_MEMORY" in run.error


def test_a_child_that_takes_too_long_ends_the_run(settings: Settings) -> None:
    settings.EVERLEARN_RUN_TIMEOUT = 0

    run = supervise()

    assert run.status == Status.FAILED
    assert run.error.startswith("timeout: training was stopped after 0 s. Raise ")
    assert not any(is_training(child) for child in psutil.Process().children())


def test_the_child_of_a_cancelled_run_is_killed() -> None:
    def cancel(_: psutil.Process) -> None:
        retraining.cancel(RetrainingRun.objects.get(), actor=system_user("cli"))

    with meanwhile(cancel):
        run = supervise()

    assert run.status == Status.CANCELLED
    assert not any(is_training(child) for child in psutil.Process().children())


def test_the_child_dies_with_whoever_supervises_it() -> None:
    run = make_running(make_model())
    connection.close()
    supervisor = os.fork()
    if supervisor == 0:
        training_process.supervise(run.pk, 1)
        os._exit(0)
    child = wait_for(lambda: trainer_below(supervisor))
    # As soon as it is Django's and no longer the launcher's, which takes milliseconds.
    wait_for(lambda: "models_app.lifeline" not in child.cmdline() or None)

    os.kill(supervisor, signal.SIGKILL)
    os.waitpid(supervisor, 0)

    child.wait(5)
    assert RetrainingRun.objects.get().status == Status.RUNNING


def trainer_below(pid: int) -> psutil.Process | None:
    return next((one for one in psutil.Process(pid).children() if is_training(one)), None)


def wait_for(look: Callable[[], Any]) -> Any:
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        if (found := look()) is not None:
            return found
        time.sleep(0.05)
    raise AssertionError("nothing happened within 60 s")
