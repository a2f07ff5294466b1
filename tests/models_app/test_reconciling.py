"""MLflow here is the real one, on the tests' own SQLite; other people use its own client."""

from __future__ import annotations

import uuid
from datetime import timedelta

import mlflow
import pytest
from django.conf import LazySettings, settings
from django.utils import timezone

from models_app import promotion, reconciling, registry, syncing
from models_app.models import Deployment, RegisteredModel, RegistryAlias, RegistrySync
from models_app.refusals import NotServable
from tests.factories import make_champion, make_model, make_user, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def others() -> mlflow.MlflowClient:
    """Somebody else's MLflow client."""
    return mlflow.MlflowClient(settings.MLFLOW_TRACKING_URI)


@pytest.fixture
def model(others: mlflow.MlflowClient) -> RegisteredModel:
    """A model of which MLflow knows three versions; we serve the first of our two."""
    # MLflow keeps what one test registered, so each takes a name of its own.
    made = make_model(f"leaves-{uuid.uuid4().hex[:8]}")
    others.create_registered_model(made.name)
    for _ in range(3):
        others.create_model_version(made.name, settings.EVERLEARN_HOME.as_uri())
    make_champion(made)
    make_version(made)
    reconciling.reconcile()
    made.refresh_from_db()
    return made


def prod(others: mlflow.MlflowClient, model: RegisteredModel) -> int:
    return int(others.get_model_version_by_alias(model.name, "prod").version)


def test_what_serves_here_is_prod_in_mlflow(
    others: mlflow.MlflowClient, model: RegisteredModel
) -> None:
    assert prod(others, model) == 1

    manager = make_user("boss", is_superuser=True)
    promotion.promote(
        model.versions.get(number=2), actor=manager, door=Deployment.Door.API, reason="better"
    )
    reconciling.reconcile()

    assert prod(others, model) == 2


def test_a_version_that_others_registered_is_mirrored_but_cannot_serve(
    model: RegisteredModel,
) -> None:
    foreign = model.versions.get(number=3)

    assert not foreign.servable
    assert "artifact_untrusted" in foreign.unservable_because


def test_prod_moved_by_others_is_verified_and_followed(
    others: mlflow.MlflowClient, model: RegisteredModel
) -> None:
    others.set_registered_model_alias(model.name, "prod", "2")

    reconciling.reconcile()
    reconciling.reconcile()

    line = promotion.newest(model)
    assert (line.version.number, line.action, line.door) == (2, "external", "mlflow")
    assert line.actor.username == "everlearn"
    assert model.deployments.count() == 2


def test_staging_stays_where_a_workflow_moves_it(
    others: mlflow.MlflowClient, model: RegisteredModel
) -> None:
    for number in ("2", "3"):
        others.set_registered_model_alias(model.name, "staging", number)
        reconciling.reconcile()
        reconciling.reconcile()

    assert int(others.get_model_version_by_alias(model.name, "staging").version) == 3


def test_prod_moved_to_what_cannot_be_verified_is_held_and_the_champion_stays(
    others: mlflow.MlflowClient, model: RegisteredModel
) -> None:
    others.set_registered_model_alias(model.name, "prod", "3")

    reconciling.reconcile()

    model.refresh_from_db()
    assert model.champion is not None
    assert model.champion.number == 1
    assert RegistryAlias.objects.get(alias="prod").held_for_review == 3


def test_under_review_a_moved_prod_waits_for_a_person(
    others: mlflow.MlflowClient, model: RegisteredModel
) -> None:
    model.promotion = {"external": "review"}
    model.save()
    others.set_registered_model_alias(model.name, "prod", "2")

    reconciling.reconcile()

    assert model.deployments.count() == 1
    assert RegistryAlias.objects.get(alias="prod").held_for_review == 2

    others.set_registered_model_alias(model.name, "prod", "1")
    reconciling.reconcile()

    assert RegistryAlias.objects.get(alias="prod").held_for_review is None


def test_our_promotion_wins_over_a_move_that_came_before_it_was_mirrored(
    others: mlflow.MlflowClient, model: RegisteredModel
) -> None:
    others.set_registered_model_alias(model.name, "prod", "3")
    manager = make_user("boss", is_superuser=True)
    promotion.promote(
        model.versions.get(number=2), actor=manager, door=Deployment.Door.API, reason="better"
    )

    reconciling.reconcile()

    assert prod(others, model) == 2


def test_a_deleted_alias_is_set_again(others: mlflow.MlflowClient, model: RegisteredModel) -> None:
    others.delete_registered_model_alias(model.name, "prod")

    reconciling.reconcile()

    assert prod(others, model) == 1


def test_a_version_deleted_in_mlflow_does_not_stop_the_other_models(
    others: mlflow.MlflowClient, model: RegisteredModel
) -> None:
    others.delete_registered_model(model.name)
    other = make_model(f"trees-{uuid.uuid4().hex[:8]}", is_default=False)
    others.create_registered_model(other.name)
    others.create_model_version(other.name, settings.EVERLEARN_HOME.as_uri())

    reconciling.reconcile()

    assert other.versions.count() == 1
    model.refresh_from_db()
    assert model.champion is not None


def test_a_registry_that_is_away_is_noted_and_serving_goes_on(
    model: RegisteredModel, settings: LazySettings
) -> None:
    settings.MLFLOW_TRACKING_URI = "http://127.0.0.1:9"
    registry._client.cache_clear()
    RegistrySync.objects.all().delete()
    try:
        assert reconciling.reconcile_if_due()
    finally:
        registry._client.cache_clear()

    assert "MLflow at http://127.0.0.1:9" in RegistrySync.objects.get().error
    model.refresh_from_db()
    assert model.champion is not None


def test_a_reconcile_is_due_when_asked_for_or_old_and_only_once() -> None:
    assert reconciling.reconcile_if_due()
    assert not reconciling.reconcile_if_due()

    RegistrySync.objects.update(requested_at=timezone.now())
    assert reconciling.reconcile_if_due()

    long_ago = timezone.now() - timedelta(minutes=1)
    RegistrySync.objects.update(requested_at=long_ago, started_at=long_ago, finished_at=long_ago)
    assert reconciling.reconcile_if_due()


def test_whoever_asks_for_a_sync_without_a_worker_is_told() -> None:
    synced, reason = syncing.wait_for_sync(timedelta(seconds=0.2))

    assert not synced
    assert "worker" in reason


def test_a_version_that_mlflow_lost_is_shown_and_not_promotable_but_serves_and_rolls_back(
    others: mlflow.MlflowClient, model: RegisteredModel
) -> None:
    boss = make_user("boss", is_superuser=True)
    promotion.promote(
        model.versions.get(number=2), actor=boss, door=Deployment.Door.API, reason="better"
    )
    others.delete_model_version(model.name, "1")

    reconciling.reconcile()

    lost = model.versions.get(number=1)
    assert lost.missing_in_registry
    with pytest.raises(NotServable) as refused:
        promotion.promote(lost, actor=boss, door=Deployment.Door.API, reason="back")
    assert refused.value.code == "missing_in_registry"
    line = promotion.rollback(model, actor=boss, door=Deployment.Door.API, reason="worse")
    assert line.version == lost
    reconciling.reconcile()
    assert prod(others, model) == 2


def test_a_model_that_mlflow_lost_serves_on_and_its_versions_are_shown(
    others: mlflow.MlflowClient, model: RegisteredModel
) -> None:
    others.delete_registered_model(model.name)

    reconciling.reconcile()

    assert all(version.missing_in_registry for version in model.versions.all())
    model.refresh_from_db()
    assert model.champion is not None
    assert model.deployments.count() == 1


def test_a_number_that_mlflow_gave_anew_is_not_taken_for_what_we_know_by_it(
    others: mlflow.MlflowClient, model: RegisteredModel
) -> None:
    # As after an older database of MLflow's was restored, and somebody registered there again.
    model.versions.filter(number=1).update(mlflow_run_id="f" * 32)
    others.set_registered_model_alias(model.name, "prod", "2")

    reconciling.reconcile()

    assert model.versions.get(number=1).missing_in_registry
    assert model.deployments.count() == 1
    assert RegistryAlias.objects.get(alias="prod").held_for_review == 2
