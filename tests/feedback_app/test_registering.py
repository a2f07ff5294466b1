"""MLflow that accepts and never answers, at every step of registering a version (T8), and R2."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator

import mlflow
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection

from feedback_app import registering, retraining
from feedback_app.attempts import carry_out
from feedback_app.models import RetrainingRun
from models_app import following, learnt, promotion, reconciling, registry
from models_app.actors import system_user
from models_app.models import Deployment, RegisteredModel
from tests.factories import make_champion, make_model, make_version
from tests.feedback_app.makers import make_run
from tests.instance import wait_for
from tests.stubborn_mlflow import StubbornMlflow, used_by_everlearn

Status = RetrainingRun.Status

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StubbornMlflow]:
    stubborn = StubbornMlflow(tmp_path_factory.mktemp("mlflow"))
    yield stubborn
    stubborn.end()


@pytest.fixture
def server(mlflow_server: StubbornMlflow) -> Iterator[StubbornMlflow]:
    """MLflow as this process uses it."""
    with used_by_everlearn(mlflow_server):
        yield mlflow_server


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow is given up on after a second, so that a test need not wait for ten."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def carried_out(run: RetrainingRun) -> threading.Thread:
    def work() -> None:
        carry_out(run, run.attempts)
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def started(model: RegisteredModel) -> RetrainingRun:
    run = retraining.claim(make_run(model).pk)
    assert run
    return run


def waits() -> bool:
    return RetrainingRun.objects.filter(step=registering.WAITING).exists()


@pytest.mark.parametrize(
    "step",
    ["runs/create", "runs/log-batch", "/logged-models", "PUT /api/2.0/mlflow-artifacts",
     "registered-models/create", "model-versions/create", "runs/update"],
)  # fmt: skip
@pytest.mark.usefixtures("impatient")
def test_a_run_waits_for_mlflow_without_training_again(server: StubbornMlflow, step: str) -> None:
    server.hang(step)
    run = started(make_model(f"leaves-{uuid.uuid4().hex[:8]}"))
    thread = carried_out(run)

    wait_for(waits, 30)
    run.refresh_from_db()
    assert (run.status, run.attempts) == (Status.RUNNING, 1)
    assert run.error.startswith(f"registry_away: MLflow at {server.url}")
    assert retraining.renew(run.pk, 1)
    assert any(step in path for path in server.asked())
    server.hang()
    back = time.monotonic()
    thread.join(60)

    run.refresh_from_db()
    assert time.monotonic() - back < 60
    assert (run.status, run.verdict, run.error) == (Status.SUCCEEDED, "PROMOTE", "")
    client = mlflow.MlflowClient(server.url)
    (version,) = client.search_model_versions(f"name='{run.registered_model.name}'")
    assert version.run_id == run.mlflow_run_id
    assert client.get_run(version.run_id).info.status == "FINISHED"
    assert run.version
    assert run.version.number == int(version.version)


def test_a_hanging_mlflow_is_given_up_on_within_fifteen_seconds(server: StubbornMlflow) -> None:
    run = started(make_model(f"leaves-{uuid.uuid4().hex[:8]}"))
    server.hang("runs/create")
    thread = carried_out(run)
    wait_for(lambda: any("runs/create" in path for path in server.asked()), 60)
    asked = time.monotonic()

    wait_for(waits, 15)

    assert time.monotonic() - asked <= 15
    retraining.fail(run.pk, 1, "enough")
    server.hang()
    thread.join(60)


@pytest.mark.usefixtures("impatient")
def test_whoever_takes_over_goes_on_from_what_was_kept(server: StubbornMlflow) -> None:
    server.hang("model-versions/create")
    run = started(make_model(f"leaves-{uuid.uuid4().hex[:8]}"))
    thread = carried_out(run)
    wait_for(waits, 30)
    RetrainingRun.objects.update(leased_until=run.created_at)
    taken_over = retraining.claim(run.pk)
    assert taken_over
    (estimator,) = {path for path in server.asked() if path.startswith("PUT") and "skops" in path}
    server.hang()
    thread.join(60)

    carry_out(taken_over, 2)

    run.refresh_from_db()
    assert (run.status, run.attempts) == (Status.SUCCEEDED, 2)
    assert run.mlflow_run_id
    assert not any("runs/create" in path for path in server.asked())
    assert estimator


def test_what_a_dead_attempt_left_open_in_mlflow_is_killed(server: StubbornMlflow) -> None:
    model = make_model(f"leaves-{uuid.uuid4().hex[:8]}")
    client = mlflow.MlflowClient(server.url)
    experiment = client.create_experiment(model.name)
    run = started(model)
    ours = {"everlearn.installation": registering.installation(), "everlearn.run": str(run.pk)}
    at_work = client.create_run(experiment, tags={**ours, "everlearn.attempt": "1"})
    left = client.create_run(experiment, tags={**ours, "everlearn.attempt": "0"})
    ended = client.create_run(experiment, tags={**ours, "everlearn.run": "0"})
    others = client.create_run(experiment, tags={"everlearn.run": "0"})

    default_storage.save("learnt/0/folder.zip", ContentFile(b"of a run that was cancelled"))
    default_storage.save(f"learnt/{run.pk}/folder.zip", ContentFile(b"of a run at work"))

    registering.close_orphans()

    assert str(run.pk) in learnt.kept_keys()
    assert "0" not in learnt.kept_keys()
    learnt.forget(str(run.pk))
    statuses = [
        client.get_run(one.info.run_id).info.status for one in (at_work, left, ended, others)
    ]
    assert statuses == ["RUNNING", "KILLED", "KILLED", "RUNNING"]


@pytest.mark.usefixtures("impatient")
def test_the_alias_follows_once_mlflow_is_back_and_what_serves_is_the_ledgers(
    server: StubbornMlflow,
) -> None:
    """R2"""
    model = make_model(f"leaves-{uuid.uuid4().hex[:8]}")
    client = mlflow.MlflowClient(server.url)
    client.create_registered_model(model.name)
    for _ in range(2):
        client.create_model_version(model.name, "s3://nowhere/model")
    make_champion(model)
    second = make_version(model)
    reconciling.reconcile([model])

    server.hang("registered-models")
    line = promotion.promote(
        second, actor=system_user("everlearn"), door=Deployment.Door.POLICY, reason="better"
    )
    with pytest.raises(registry.RegistryAway):
        reconciling.reconcile([model])
    served = following.served()[model.name]
    assert (served.number, served.generation) == (second.number, line.generation)
    server.hang()
    reconciling.reconcile([model])

    assert client.get_model_version_by_alias(model.name, "prod").version == str(second.number)
    server.hang()
    reconciling.reconcile([model])
    assert not any("alias" in path for path in server.asked())
