"""What an attacker registers in MLflow: bundles that are sound but for one thing, signed or not."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from django.conf import settings
from django.core.files.storage import default_storage
from onnx import TensorProto, helper, numpy_helper

from models_app import bundles, reconciling, signing
from models_app.models import ModelVersion, RegisteredModel
from tests.factories import _bundle_digest, make_champion

LOOP_TURNS = 2**62


def others() -> mlflow.MlflowClient:
    """A client of MLflow that is not ours."""
    # Its registry looks a logged model up by this one.
    mlflow.set_tracking_uri(settings.MLFLOW_TRACKING_URI)
    return mlflow.MlflowClient(settings.MLFLOW_TRACKING_URI)


def champion_in_mlflow(model: RegisteredModel) -> ModelVersion:
    """A version that serves here and is `prod` in MLflow, which knows it as the first."""
    others().create_registered_model(model.name)
    others().create_model_version(model.name, settings.EVERLEARN_HOME.as_uri())
    champion = make_champion(model, number=1)
    reconciling.reconcile([model])
    return champion


def sound(model: RegisteredModel, **changed: Any) -> tuple[dict[str, bytes], str]:
    """The files of a bundle that answers as its smoke rows say, and its digest."""
    digest = _bundle_digest(False)
    manifest = json.loads(_stored(digest, bundles.MANIFEST))
    files = {name: _stored(digest, name) for name in manifest["files"]}
    return made(files, {**manifest, "name": model.name, **changed})


def made(files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> tuple[dict[str, bytes], str]:
    """Those files with a manifest that names them, and the digest."""
    hashes = {name: bundles._sha256(content) for name, content in files.items()}
    content = json.dumps({**manifest, "files": hashes}, sort_keys=True).encode()
    return {**files, bundles.MANIFEST: content}, bundles._sha256(content)


def with_graph(model: RegisteredModel, graph: bytes) -> tuple[dict[str, bytes], str]:
    """A bundle whose graph is another one."""
    files, _ = sound(model)
    manifest = json.loads(files.pop(bundles.MANIFEST))
    return made({**files, "model.onnx": graph}, manifest)


def signed(files: Mapping[str, bytes], digest: str) -> dict[str, bytes]:
    """The files with a signature of ours, as a stolen key would make it."""
    return {**files, bundles.SIGNATURE: signing.sign(digest)}


def register(model: RegisteredModel, files: Mapping[str, bytes], digest: str) -> int:
    """Register the files as a version in MLflow, as who may edit the model can; its number."""
    client = others()
    name = model.name
    experiment = client.get_experiment_by_name(name)
    place = (settings.EVERLEARN_HOME / "mlartifacts" / name).as_uri()
    number = experiment.experiment_id if experiment else client.create_experiment(name, place)
    run = client.create_run(number)
    hosted = client.create_logged_model(number, "model", source_run_id=run.info.run_id)
    with tempfile.TemporaryDirectory() as folder:
        inner = Path(folder) / bundles.FOLDER
        inner.mkdir()
        for file, content in files.items():
            (inner / file).write_bytes(content)
        client.log_model_artifacts(hosted.model_id, folder)
    if not client.search_registered_models(f"name='{name}'"):
        client.create_registered_model(name)
    tags = {"everlearn.bundle_digest": digest}
    source = f"models:/{hosted.model_id}"
    made = client.create_model_version(name, source, run.info.run_id, tags=tags)
    return int(made.version)


def _stored(digest: str, name: str) -> bytes:
    with default_storage.open(f"bundles/{digest}/{name}") as file:
        content: bytes = file.read()
    return content


def endless_graph() -> bytes:
    """A loop of 2^62 turns before any answer, with the inputs and outputs of a sound graph."""
    turns = numpy_helper.from_array(np.array(LOOP_TURNS, dtype=np.int64), "turns")
    true = numpy_helper.from_array(np.array(True), "true")
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["goes_on"]),
            helper.make_node("Identity", ["carried"], ["carried_on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried_on", TensorProto.FLOAT, None),
        ],
    )
    label = numpy_helper.from_array(np.array(["elm"], dtype=object), "label")
    graph = helper.make_graph(
        [
            helper.make_node("Loop", ["turns", "true", "row"], ["probabilities"], body=body),
            helper.make_node("Identity", ["label"], ["value"]),
        ],
        "endless",
        [helper.make_tensor_value_info("row", TensorProto.FLOAT, [None, 2])],
        [
            helper.make_tensor_value_info("value", TensorProto.STRING, None),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, None),
        ],
        [turns, true, label],
    )
    opset = [helper.make_opsetid("", 18)]
    content: bytes = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    return content
