"""Trainers that are killed or stopped at each step (T1, T3, T4), and who goes on after them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import uuid
from datetime import timedelta

import mlflow
import psutil
import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import Settings

from feedback_app import registering, retraining, training_process
from feedback_app.attempts import carry_out
from feedback_app.models import RetrainingRun
from models_app import promotion, reconciling
from models_app.models import Deployment, RegisteredModel
from models_app.refusals import Refused
from tests.factories import make_model, make_user
from tests.feedback_app.makers import make_run
from tests.instance import wait_for

Status = RetrainingRun.Status

pytestmark = pytest.mark.django_db(transaction=True)

# The trainer's writes, in their order; what it did before the write is done, the write is not.
STEPS = [
    "step=fitting", "step=registering", "mlflow_run_id=1", "mlflow_run_id=2", "step=gate",
    "status=1",
]  # fmt: skip


@pytest.fixture
def model() -> RegisteredModel:
    return make_model(f"leaves-{uuid.uuid4().hex[:8]}")


def trainers() -> list[psutil.Process]:
    """The trainers at work; one that was stopped before it is a program would stop us, too."""
    children = psutil.Process().children()
    return [child for child in children if "run_training" in child.cmdline()]


def claimed(model: RegisteredModel) -> RetrainingRun:
    run = retraining.claim(make_run(model).pk)
    assert run
    return run


def trainer(signum: str, where: str, run: RetrainingRun) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.faulty_training", signum, where]
    return subprocess.Popen(
        [*command, str(run.pk), str(run.attempts)],
        cwd=settings.BASE_DIR, stdout=subprocess.PIPE,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "everlearn.settings"},
    )  # fmt: skip


def taken_over(run: RetrainingRun) -> RetrainingRun:
    """The run as another worker finishes it once the lease of the first is over."""
    RetrainingRun.objects.filter(pk=run.pk).update(
        leased_until=timezone.now() - timedelta(seconds=1)
    )
    again = retraining.claim(run.pk)
    assert again
    assert again.attempts == run.attempts + 1
    carry_out(again, again.attempts)
    return RetrainingRun.objects.get(pk=run.pk)


def assert_one_sound_version(run: RetrainingRun) -> None:
    model = run.registered_model
    client = mlflow.MlflowClient(settings.MLFLOW_TRACKING_URI)
    reconciling.reconcile([model])
    registering.close_orphans()
    (version,) = client.search_model_versions(f"name='{model.name}'")
    statuses = {one.info.run_id: one.info.status for one in mlflow_runs(client, model)}
    assert (run.status, run.verdict, run.error) == (Status.SUCCEEDED, "PROMOTE", "")
    assert [one.number for one in model.versions.all()] == [int(version.version)]
    assert statuses.pop(version.run_id) == "FINISHED"
    assert set(statuses.values()) <= {"KILLED"}
    assert RegisteredModel.objects.get(pk=model.pk).champion == run.version
    assert model.deployments.count() == 1


def mlflow_runs(client: mlflow.MlflowClient, model: RegisteredModel) -> list[mlflow.entities.Run]:
    experiment = client.get_experiment_by_name(model.name)
    assert experiment
    return list(client.search_runs([experiment.experiment_id]))


@pytest.mark.parametrize("where", STEPS)
def test_a_run_whose_trainer_was_killed_is_finished_by_the_next(
    model: RegisteredModel, where: str
) -> None:
    run = claimed(model)
    killed = trainer("SIGKILL", where, run)
    killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL
    reconciling.reconcile([model])
    boss = make_user(is_superuser=True)
    for version in model.versions.exclude(gate__isnull=False):
        with pytest.raises(Refused):
            promotion.promote(version, actor=boss, door=Deployment.Door.API, reason="half")

    finished = taken_over(run)

    assert_one_sound_version(finished)


@pytest.mark.parametrize("where", ["step=registering", "step=gate"])
def test_a_trainer_that_wakes_after_another_took_over_changes_nothing(
    model: RegisteredModel, where: str
) -> None:
    run = claimed(model)
    stale = trainer("SIGSTOP", where, run)
    sleeper = psutil.Process(stale.pid)
    wait_for(lambda: sleeper.status() == psutil.STATUS_STOPPED, 120)
    finished = taken_over(run)

    stale.send_signal(signal.SIGCONT)
    said, _ = stale.communicate(timeout=120)

    assert b"lost its lease" in said
    assert RetrainingRun.objects.values().get(pk=run.pk) == {
        key: value for key, value in finished.__dict__.items() if not key.startswith("_")
    }
    assert_one_sound_version(finished)


def test_a_stopped_trainer_loses_its_lease_and_is_ended(
    model: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retraining, "LEASE", timedelta(seconds=3))
    run = claimed(model)

    def supervise() -> None:
        training_process.supervise(run.pk, 1)
        connection.close()

    thread = threading.Thread(target=supervise)
    thread.start()
    wait_for(trainers, 30)
    (child,) = trainers()
    child.suspend()

    wait_for(lambda: retraining.runs_to_wake() == [run.pk], 30)
    finished = taken_over(run)
    thread.join(30)

    assert not child.is_running()
    assert_one_sound_version(finished)


def test_a_run_that_always_kills_its_worker_fails_and_others_train(settings: Settings) -> None:
    settings.EVERLEARN_RUN_MEMORY = 100
    hungry, other = make_run(make_model("hungry")), make_model("other", is_default=False)

    for attempt in (1, 2, 3):
        RetrainingRun.objects.update(not_before=timezone.now())
        run = retraining.claim(hungry.pk)
        assert run
        assert run.attempts == attempt
        training_process.supervise(run.pk, attempt)
    assert retraining.claim(hungry.pk) is None
    settings.EVERLEARN_RUN_MEMORY = 4096  # what the other needs, which trains in this process
    training = claimed(other)
    carry_out(training, 1)

    hungry.refresh_from_db()
    training.refresh_from_db()
    assert (hungry.status, hungry.attempts) == (Status.FAILED, 3)
    assert hungry.error.startswith("worker_lost")
    assert training.status == Status.SUCCEEDED
