"""What others register in MLflow (R4): EverLearn's own bundles serve, nothing else is even read."""

from __future__ import annotations

import gzip
import pickle
import uuid
from pathlib import Path
from typing import Any

import mlflow
import pytest
from django.conf import settings
from django.core.files.storage import default_storage
from django.utils import timezone
from rest_framework.test import APIClient

from models_app import bundles, promotion, reconciling, registry, training
from models_app.models import Deployment, ModelVersion, RegisteredModel, RegistryAlias
from models_app.refusals import NotServable
from tests.conftest import KeyMaker
from tests.factories import leaves, make_champion, make_gate, make_model, make_user
from tests.models_app import hostile

pytestmark = pytest.mark.django_db


@pytest.fixture
def others() -> mlflow.MlflowClient:
    """Somebody else's MLflow client."""
    return mlflow.MlflowClient(settings.MLFLOW_TRACKING_URI)


@pytest.fixture
def model() -> RegisteredModel:
    return make_model(f"leaves-{uuid.uuid4().hex[:8]}")


def registered_elsewhere(model: RegisteredModel, **tags: str) -> int:
    """A version that another EverLearn trained, of which nothing but MLflow knows here."""
    learnt = training.learn(
        model, train=leaves(), unseen=leaves(seed=1), snapshot_digest="5" * 64, seed=3,
        on_progress=lambda step, done, total: None,
    )  # fmt: skip
    logged = training.register(
        model.name, learnt, tags=tags, mlflow_run_id="", on_run=lambda run_id: None
    )
    remove_bundle(learnt.bundle_digest)
    return logged.number


def remove_bundle(digest: str) -> None:
    for name in default_storage.listdir(f"bundles/{digest}")[1]:
        default_storage.delete(f"bundles/{digest}/{name}")
    for path in (settings.EVERLEARN_HOME / "cache" / "bundles" / digest).iterdir():
        path.unlink()


def folder_of(others: mlflow.MlflowClient, model: RegisteredModel, number: int) -> Path:
    source = others.get_model_version(model.name, str(number)).source
    assert source
    location = others.get_logged_model(source.removeprefix("models:/")).artifact_location
    return Path(location.removeprefix("file://"))


def test_a_version_of_another_everlearn_is_verified_and_can_serve(
    others: mlflow.MlflowClient, model: RegisteredModel
) -> None:
    make_champion(model, number=1_000_000)
    number = registered_elsewhere(model)

    reconciling.reconcile([model])

    version = model.versions.get(number=number)
    assert version.servable
    assert (version.runtime, version.classes) == ("onnx", ["elm", "oak"])
    assert bundles.load(version.bundle_digest).name == model.name


def test_an_alias_that_names_such_a_version_is_held_until_the_gate_has_judged_it(
    others: mlflow.MlflowClient, model: RegisteredModel
) -> None:
    champion = hostile.champion_in_mlflow(model)
    number = registered_elsewhere(model)
    others.set_registered_model_alias(model.name, "prod", str(number))

    reconciling.reconcile([model])

    alias = RegistryAlias.objects.get(registered_model=model, alias="prod")
    assert alias.held_for_review == number
    assert "never evaluated" in alias.held_because
    assert promotion.newest(model).version == champion
    for gate in (make_gate("HOLD", against=1), make_gate(against=7)):
        model.versions.filter(number=number).update(gate=gate)
        reconciling.reconcile([model])
        assert promotion.newest(model).version == champion

    model.versions.filter(number=number).update(gate=make_gate(against=1))
    reconciling.reconcile([model])

    line = promotion.newest(model)
    assert (line.version.number, line.action, line.door) == (number, "external", "mlflow")
    settled = RegistryAlias.objects.get(pk=alias.pk)
    assert (settled.held_for_review, settled.held_because) == (None, "")


def test_without_a_champion_an_unjudged_version_is_held_too(
    others: mlflow.MlflowClient, model: RegisteredModel
) -> None:
    number = registered_elsewhere(model)
    others.set_registered_model_alias(model.name, "prod", str(number))

    reconciling.reconcile([model])

    assert not Deployment.objects.exists()
    assert RegistryAlias.objects.get(alias="prod").held_for_review == number


@pytest.mark.parametrize(
    ("name", "code"),
    [("manifest.json", "bundle_hash_mismatch"), ("model.onnx", "bundle_hash_mismatch")],
)
def test_a_bundle_that_was_changed_on_its_way_is_refused(
    others: mlflow.MlflowClient, model: RegisteredModel, name: str, code: str
) -> None:
    number = registered_elsewhere(model)
    path = folder_of(others, model, number) / "everlearn" / name
    path.write_bytes(path.read_bytes().replace(b"leaves", b"leaveS") + b" ")

    reconciling.reconcile([model])

    version = model.versions.get(number=number)
    assert not version.servable
    assert version.unservable_because.startswith(code)


def test_a_missing_file_and_a_bundle_of_another_model_are_refused(
    others: mlflow.MlflowClient, model: RegisteredModel
) -> None:
    without = registered_elsewhere(model)
    (folder_of(others, model, without) / "everlearn" / "smoke.json").unlink()
    of_another = registered_elsewhere(make_model(f"trees-{uuid.uuid4().hex[:8]}"))
    trees = RegisteredModel.objects.latest("pk")
    stolen = others.get_model_version(trees.name, str(of_another))
    assert stolen.source
    taken = others.create_model_version(model.name, stolen.source, tags=stolen.tags)

    reconciling.reconcile()

    assert not model.versions.get(number=without).servable
    assert "trees" in model.versions.get(number=int(taken.version)).unservable_because
    assert trees.versions.get().servable


class Planted:
    """Leaves a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.mkdir, (self.marker,))


def hostile_folder(place: Path, marker: Path) -> Path:
    """Everything that makes MLflow's own loading run foreign code, in one folder."""
    (place / "code").mkdir(parents=True)
    (place / "everlearn").mkdir()
    pickled = pickle.dumps(Planted(marker))
    for name in ("model.pkl", "estimator.skops", "everlearn/estimator.skops", "everlearn/x.pkl"):
        (place / name).write_bytes(pickled)
    (place / "model.pkl.gz").write_bytes(gzip.compress(pickled))
    (place / "code" / "planted.py").write_text(f"import os\nos.mkdir({str(marker)!r})\n")
    (place / "MLmodel").write_text(
        "flavors:\n  python_function:\n    loader_module: planted\n    code: code\n"
        "  sklearn:\n    pickled_model: model.pkl\n    serialization_format: cloudpickle\n"
        "    skops_trusted_types: [tests.models_app.test_importing.Planted]\n"
    )
    (place / "everlearn" / "manifest.json").write_text(
        '{"format": 1, "runtime": "estimator", "files": {"../../../etc/passwd": "00"}}'
    )
    return place


def test_what_others_registered_is_shown_as_untrusted_and_never_run(
    others: mlflow.MlflowClient, model: RegisteredModel, tmp_path: Path, client_with: KeyMaker
) -> None:
    marker = tmp_path / "marker"
    folder = hostile_folder(tmp_path / "folder", marker)
    digest = "ab" * 32
    others.create_registered_model(model.name)
    tags = {"everlearn.bundle_digest": digest}
    for source in (folder.as_uri(), f"{folder.as_uri()}/../folder"):
        others.create_model_version(model.name, source, tags=tags)
    experiment = others.create_experiment(model.name, (tmp_path / "hosted").as_uri())
    hosted = others.create_logged_model(experiment, "model")
    others.log_model_artifacts(hosted.model_id, str(folder))
    others.create_model_version(model.name, f"models:/{hosted.model_id}", tags=tags)

    reconciling.reconcile([model])
    reconciling.reconcile([model])

    caller: APIClient = client_with("read", "promote")
    shown = caller.get(f"/api/models/{model.name}/versions/1/").json()
    assert shown["unservable_because"].startswith("artifact_untrusted")
    asked = {"version": 1, "reason": "try"}
    refused = caller.post(f"/api/models/{model.name}/promote/", asked)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "artifact_untrusted")
    assert not any(version.servable for version in ModelVersion.objects.all())
    assert not marker.exists()


def test_even_a_superuser_does_not_get_it_served(
    others: mlflow.MlflowClient, model: RegisteredModel
) -> None:
    others.create_registered_model(model.name)
    others.create_model_version(model.name, settings.EVERLEARN_HOME.as_uri())
    reconciling.reconcile([model])

    with pytest.raises(NotServable, match="artifact_untrusted"):
        promotion.promote(
            model.versions.get(), actor=make_user("boss", is_superuser=True),
            door=Deployment.Door.ADMIN, reason="I insist", override=True,
        )  # fmt: skip


def test_a_registry_that_goes_away_while_a_version_is_fetched_is_asked_again(
    model: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered_elsewhere(model)
    registry.count_models()
    # The process that verifies asks another MLflow than this one, which goes on.
    with monkeypatch.context() as patched:
        patched.setattr(settings, "MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        reconciling.reconcile([model])
    waiting = model.versions.get()
    assert waiting.unservable_because.startswith("registry_away")
    assert waiting.verify_again_at

    reconciling.reconcile([model])
    assert not model.versions.get().servable  # it is not its turn yet
    model.versions.update(verify_again_at=timezone.now())
    reconciling.reconcile([model])

    assert model.versions.get().servable
    assert model.versions.get().verify_again_at is None
