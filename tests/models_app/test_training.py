"""Training ends in the real MLflow; what is asserted is read back with MLflow's own client."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from django.conf import LazySettings
from django.conf import settings as configured
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from models_app import bundles, reconciling, registry, training
from models_app import learnt as keeping
from models_app.learnt import Learnt
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
        "snapshot_digest": snapshot.digest,
        "seed": 3,
        "on_progress": lambda step, done, total: None,
    }
    learnt = training.learn(model, **{**arguments, **options})
    logged = register(model, learnt)
    return training.mirror(model, snapshot, logged, learnt)


def register(
    model: RegisteredModel, learnt: Learnt, *, run: str = "", told: list[str] | None = None
) -> registry.Logged:
    told = [] if told is None else told
    tags = {"everlearn.run": "7"}
    return training.register(
        model.name, learnt, tags=tags, mlflow_run_id=run, on_run=told.append,
        taken=training.numbers_taken(model, run),
    )  # fmt: skip


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
    assert info.saved_input_example_info is None  # rows may be people's


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


def test_whoever_comes_back_finds_what_was_registered(
    model: RegisteredModel, tmp_path: Path
) -> None:
    version, told = train(model), list[str]()
    assert version.snapshot
    learnt = training.learn(
        model, train=leaves(), unseen=leaves(seed=1),
        snapshot_digest=version.snapshot.digest, seed=3,
        on_progress=lambda step, done, total: None,
    )  # fmt: skip

    # As in a process that has not spoken to MLflow yet.
    registry._client.cache_clear()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/elsewhere.db")

    again = register(model, learnt, run=version.mlflow_run_id, told=told)
    other = register(model, learnt, told=told)

    assert (again.mlflow_run_id, again.number) == (version.mlflow_run_id, version.number)
    assert (told, other.number) == ([other.mlflow_run_id], version.number + 1)


def test_a_registry_that_counts_from_one_again_takes_no_versions_name(
    model: RegisteredModel,
) -> None:
    first, second = train(model), train(model)
    client = mlflow.MlflowClient(configured.MLFLOW_TRACKING_URI)
    client.delete_registered_model(model.name)

    third = train(model)

    assert [first.number, second.number, third.number] == [1, 2, 3]
    assert model.versions.count() == 3
    found = client.search_model_versions(f"name='{model.name}'")
    assert [(int(one.version), one.run_id) for one in found] == [(3, third.mlflow_run_id)]


def test_what_was_learnt_is_kept_whole_or_not_at_all(model: RegisteredModel) -> None:
    version = train(model)
    assert version.snapshot
    learnt = training.learn(
        model, train=leaves(), unseen=leaves(), snapshot_digest=version.snapshot.digest, seed=3,
        on_progress=lambda step, done, total: None,
    )  # fmt: skip
    keeping.keep("7", learnt)
    same = {"snapshot_digest": version.snapshot.digest, "recipe": model.recipe}

    assert keeping.kept("7", **same) == learnt
    assert keeping.kept("8", **same) is None
    assert keeping.kept("7", **{**same, "recipe": "another"}) is None
    default_storage.delete("learnt/7/folder.zip")
    default_storage.save("learnt/7/folder.zip", ContentFile(learnt.folder[:-1]))
    assert keeping.kept("7", **same) is None
    keeping.forget("7")
    assert not default_storage.exists("learnt/7/learnt.json")
