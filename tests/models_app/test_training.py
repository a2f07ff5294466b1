"""Training ends in the real MLflow; what is asserted is read back with MLflow's own client."""

from __future__ import annotations

import uuid
from typing import Any

import mlflow
import pandas as pd
import pytest
from django.conf import LazySettings
from django.conf import settings as configured

from models_app import bundles, reconciling, registry, training
from models_app.models import ModelVersion, RegisteredModel, TrainingSnapshot
from tests.factories import LONG, SHORT, leaves, make_model

pytestmark = pytest.mark.django_db


@pytest.fixture
def model() -> RegisteredModel:
    # MLflow keeps what one test registered, so each takes a name of its own.
    return make_model(f"leaves-{uuid.uuid4().hex[:8]}")


def train(model: RegisteredModel, rows: pd.DataFrame | None = None, **options: Any) -> ModelVersion:
    snapshot = TrainingSnapshot.objects.create(
        registered_model=model, digest=uuid.uuid4().hex, rows=120, feedback_rows=0
    )
    arguments: dict[str, Any] = {
        "train": leaves() if rows is None else rows,
        "unseen": leaves(seed=1),
        "snapshot": snapshot,
        "run_id": 7,
        "seed": 3,
        "on_progress": lambda step, done, total: None,
    }
    return training.train(model, **{**arguments, **options})


def test_a_version_can_answer_and_says_where_it_comes_from(model: RegisteredModel) -> None:
    version = train(model)

    bundle = bundles.load(version.bundle_digest)
    answers = bundle.answer(bundle.schema.columns([SHORT, LONG]))
    assert answers.values.tolist() == ["elm", "oak"]
    assert (version.number, version.status, version.runtime) == (1, "candidate", "onnx")
    assert version.classes == ["elm", "oak"]
    assert version.recipe == model.recipe
    assert version.snapshot is not None
    assert version.code_revision
    assert version.metrics["balanced_accuracy"] > 0.9


def test_mlflow_knows_the_run_the_version_and_how_to_call_it(model: RegisteredModel) -> None:
    version = train(model)

    client = mlflow.MlflowClient(configured.MLFLOW_TRACKING_URI)
    found = client.get_model_version(model.name, "1")
    run = client.get_run(version.mlflow_run_id)
    info = mlflow.models.get_model_info(f"models:/{model.name}/1")
    assert version.snapshot is not None
    assert run.info.status == "FINISHED"
    assert run.data.params["estimator"] == "logistic"
    assert run.data.params["seed"] == "3"
    assert run.data.metrics["balanced_accuracy"] == version.metrics["balanced_accuracy"]
    assert found.tags["everlearn.snapshot_digest"] == version.snapshot.digest
    assert found.tags["everlearn.bundle_digest"] == version.bundle_digest
    assert found.tags["everlearn.code_revision"] == version.code_revision
    assert info.signature.inputs.input_names() == ["length", "width"]
    assert info.saved_input_example_info is not None


def test_a_new_version_becomes_staging_in_mlflow(model: RegisteredModel) -> None:
    train(model)
    train(model)

    reconciling.reconcile([model])

    client = mlflow.MlflowClient(configured.MLFLOW_TRACKING_URI)
    assert int(client.get_model_version_by_alias(model.name, "staging").version) == 2


def test_the_same_rows_and_seed_give_the_same_metrics(model: RegisteredModel) -> None:
    model.estimator = "random-forest"

    assert train(model).metrics == train(model).metrics


def test_rows_may_weigh(model: RegisteredModel) -> None:
    rows = leaves()
    rows["everlearn_weight"] = (rows["kind"] == "oak").map({True: 1000.0, False: 0.001})

    bundle = bundles.load(train(model, rows).bundle_digest)

    assert bundle.answer(bundle.schema.columns([SHORT])).values.tolist() == ["oak"]


def test_without_mlflow_nothing_is_half_registered(
    model: RegisteredModel, settings: LazySettings
) -> None:
    settings.MLFLOW_TRACKING_URI = "http://127.0.0.1:9"
    registry._client.cache_clear()
    try:
        with pytest.raises(registry.RegistryAway, match=r"http://127\.0\.0\.1:9"):
            train(model)
    finally:
        registry._client.cache_clear()
        settings.MLFLOW_TRACKING_URI = configured.MLFLOW_TRACKING_URI

    assert not ModelVersion.objects.exists()


def test_rows_of_one_class_are_nothing_to_learn_from(model: RegisteredModel) -> None:
    rows = leaves()

    with pytest.raises(ValueError, match="oak"):
        train(model, rows[rows["kind"] == "oak"])

    assert not ModelVersion.objects.exists()
