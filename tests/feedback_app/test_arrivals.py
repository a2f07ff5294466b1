"""Versions that were trained elsewhere, on real rows, with a real MLflow of the tests' own."""

from __future__ import annotations

import uuid
from datetime import timedelta

import mlflow
import pytest
from django.conf import settings
from django.utils import timezone

from feedback_app import registering, retraining, triggering
from feedback_app.models import RetrainingRun
from models_app.actors import system_user
from models_app.models import Deployment, ModelVersion, RegisteredModel, RegistryAlias
from tests.factories import make_champion, make_model
from tests.feedback_app.elsewhere import (
    arrive,
    bring_along,
    carried_out,
    folder_of,
    freeze,
    judged,
    learnt_from,
    trained_elsewhere,
)
from tests.feedback_app.makers import (
    BEYOND_MLFLOWS,
    make_away,
    make_feedback,
    make_run,
    make_running,
)

Status = RetrainingRun.Status

pytestmark = pytest.mark.django_db


@pytest.fixture
def model() -> RegisteredModel:
    return make_model(f"leaves-{uuid.uuid4().hex[:8]}")


@pytest.fixture
def champion(model: RegisteredModel) -> ModelVersion:
    """Takes every oak for an elm, so that whatever has learnt is better."""
    return make_champion(model, turned=True, number=BEYOND_MLFLOWS)


def test_a_run_that_was_handed_over_gets_its_version_and_is_judged_here(
    model: RegisteredModel,
) -> None:
    run = make_away(model, snapshot=freeze(model), reporter="CI")
    number = trained_elsewhere(model, run=run)

    arrive(model)

    run.refresh_from_db()
    assert run.version
    assert (run.status, run.version.number, run.leased_until) == (Status.QUEUED, number, None)
    assert run.mlflow_run_id == run.version.mlflow_run_id != ""
    run = carried_out(run)
    assert (run.status, run.verdict, run.error) == (Status.SUCCEEDED, "PROMOTE", "")
    version = model.versions.get()
    assert version.snapshot == run.snapshot
    assert version.metrics["balanced_accuracy"] > 0.9
    assert version.parameters["seed"] == "3"
    # The first that can serve has no rival.
    line = Deployment.objects.get()
    assert (line.version, line.door) == (version, "policy")
    arrive(model)
    assert RetrainingRun.objects.count() == 1


def test_the_attempts_of_a_run_that_came_back_are_counted_anew(model: RegisteredModel) -> None:
    run = make_away(model, snapshot=freeze(model), attempts=retraining.MAX_ATTEMPTS)
    trained_elsewhere(model, run=run)
    arrive(model)
    claimed = retraining.claim(run.pk)
    assert claimed

    retraining.retry_or_fail(run.pk, claimed.attempts, "worker_lost: killed by SIGKILL")

    run.refresh_from_db()
    assert run.status == Status.QUEUED


def test_a_version_that_was_changed_on_its_way_ends_its_run(model: RegisteredModel) -> None:
    run = make_away(model, snapshot=freeze(model))
    number = trained_elsewhere(model, run=run)
    manifest = folder_of(model, number) / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b" ")

    arrive(model)

    run.refresh_from_db()
    assert run.status == Status.FAILED
    assert run.error.startswith("bundle_hash_mismatch")
    assert run.version == model.versions.get()


@pytest.mark.parametrize(("mode", "serves"), [("manual", False), ("auto", True)])
def test_a_version_of_no_run_gets_one_of_its_own_and_waits_as_the_policy_says(
    model: RegisteredModel, champion: ModelVersion, mode: str, serves: bool
) -> None:
    RegisteredModel.objects.filter(pk=model.pk).update(promotion={"mode": mode})
    number = trained_elsewhere(model)
    bring_along(model, number, learnt_from(["0" * 64]))

    run = judged(model)

    assert run.version
    assert (run.trigger, run.requested_by.username) == ("external", "everlearn")
    assert (run.version.number, run.verdict, run.handed_over_at) == (number, "PROMOTE", None)
    assert (RegisteredModel.objects.get().champion == run.version) == serves


def test_an_alias_that_was_moved_to_a_version_which_the_gate_rejects_changes_nothing(
    model: RegisteredModel,
) -> None:
    trained_elsewhere(model)
    before = judged(model).version
    assert before
    arrive(model)
    number = trained_elsewhere(model)
    bring_along(model, number, learnt_from(["0" * 64]))
    client = mlflow.MlflowClient(settings.MLFLOW_TRACKING_URI)
    client.set_registered_model_alias(model.name, "prod", str(number))

    run = judged(model)

    arrive(model)

    assert RegisteredModel.objects.get().champion == before
    assert run.version
    version = ModelVersion.objects.get(pk=run.version.pk)
    # No better than what serves.
    assert (run.verdict, version.number, version.status) == ("REJECT", number, "rejected")
    assert version.gate
    assert version.gate["against"] == before.number
    alias = RegistryAlias.objects.get(registered_model=model, alias="prod")
    assert alias.held_for_review == number
    assert "REJECT" in alias.held_because


def test_a_version_whose_run_was_cancelled_is_judged_for_nobody(model: RegisteredModel) -> None:
    run = make_away(model, snapshot=freeze(model))
    trained_elsewhere(model, run=run)
    retraining.cancel(run, actor=system_user("cli"))

    arrive(model)

    run = RetrainingRun.objects.get()
    assert (run.status, run.version) == (Status.CANCELLED, model.versions.get())
    assert not Deployment.objects.exists()


def test_a_version_that_comes_after_its_run_was_given_up_has_a_run_of_its_own(
    model: RegisteredModel,
) -> None:
    lost = make_away(model, snapshot=freeze(model), status=Status.FAILED)
    number = trained_elsewhere(model, run=lost)

    run = judged(model)

    assert run != lost
    assert run.version
    assert (run.version.number, run.verdict) == (number, "PROMOTE")
    assert run.version.snapshot == lost.snapshot


def test_a_version_that_a_worker_here_is_registering_is_left_to_it(
    model: RegisteredModel,
) -> None:
    run = make_running(model, snapshot=freeze(model))
    trained_elsewhere(model, run=run)

    arrive(model)

    run = RetrainingRun.objects.get()
    assert (run.status, run.version) == (Status.RUNNING, None)


def test_a_version_waits_for_its_turn_while_another_run_is_active(model: RegisteredModel) -> None:
    active = make_run(model)
    trained_elsewhere(model)
    arrive(model)
    assert RetrainingRun.objects.get() == active

    RetrainingRun.objects.update(status=Status.FAILED)

    assert judged(model).verdict == "PROMOTE"


def test_a_version_of_another_installation_does_not_end_a_run_of_ours(
    model: RegisteredModel,
) -> None:
    run = make_away(model, snapshot=freeze(model))
    trained_elsewhere(model, run=run, **{"everlearn.installation": "0" * 16})

    arrive(model)

    run.refresh_from_db()
    assert (run.status, run.version) == (Status.RUNNING, None)


def test_what_is_judged_only_does_not_count_as_learning_from_feedback(
    model: RegisteredModel,
) -> None:
    word = make_feedback(model, at=timezone.now() - timedelta(hours=1))
    trained_elsewhere(model)

    run = judged(model)

    assert run.snapshot
    assert run.started_at
    assert word.accepted_at
    assert word.accepted_at < run.started_at
    assert triggering.feedback_since_last_snapshot(model) == 1


def test_the_mlflow_run_of_a_workflow_is_open_as_long_as_its_run_is(
    model: RegisteredModel,
) -> None:
    client = mlflow.MlflowClient(settings.MLFLOW_TRACKING_URI)
    experiment = client.create_experiment(model.name)
    run = make_away(model)
    ours = {"everlearn.installation": registering.installation()}
    of_run = client.create_run(experiment, tags={**ours, "everlearn.run": str(run.pk)})
    of_none = client.create_run(experiment, tags=ours)

    def statuses() -> list[str]:
        registering.close_orphans()
        return [client.get_run(one.info.run_id).info.status for one in (of_run, of_none)]

    assert statuses() == ["RUNNING", "RUNNING"]
    RetrainingRun.objects.update(status=Status.FAILED)
    assert statuses() == ["KILLED", "RUNNING"]
