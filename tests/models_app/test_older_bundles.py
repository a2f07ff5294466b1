"""Bundles of releases whose graphs took numbers in float32 go on serving."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from django.core.files.storage import default_storage
from onnx import ModelProto, TensorProto
from skl2onnx.common.data_types import FloatTensorType

from models_app import bundles
from models_app.converters.graphs import graph_of
from models_app.refusals import BundleRefused
from models_app.runtimes.onnx import OnnxRuntime
from tests.models_app.test_conversion import Learnt, shipped
from tests.models_app.test_parity import JULIAN, NUMBERS, table


def as_before(learnt: Learnt) -> str:
    """The digest of the bundle as a release before made it: in float32, with no tolerance."""
    made = learnt.bundled()
    stored = f"bundles/{made.digest}/{{}}"
    with default_storage.open(stored.format(bundles.MANIFEST)) as file:
        manifest = json.load(file)
    with default_storage.open(stored.format(bundles.SMOKE)) as file:
        smoke = json.load(file)
    columns = learnt.schema.columns(learnt.instances)
    is_classifier = bool(learnt.classes)
    graph, inputs = graph_of(
        learnt.estimator, columns, is_classifier=is_classifier, numbers=FloatTensorType
    )
    takes = {one.type.tensor_type.elem_type for one in ModelProto.FromString(graph).graph.input}
    assert takes == {TensorProto.FLOAT}
    runtime = OnnxRuntime(
        graph, inputs=inputs, classes=learnt.classes, has_probabilities=is_classifier
    )
    answers = runtime.answer(learnt.schema.columns(smoke["instances"]))
    files = {"model.onnx": graph, bundles.SMOKE: bundles.smoke_of(answers, smoke["instances"])}
    del manifest["tolerance"]
    return bundles.write(files, {**manifest, "inputs": inputs, "format": 1})


@pytest.mark.parametrize("estimator", ["logistic", "random-forest", "hist-gradient-boosting"])
def test_a_classification_in_float32_answers(estimator: str) -> None:
    learnt = Learnt(*shipped("wine"), estimator)

    bundle = bundles.load(as_before(learnt))

    assert learnt.apart(bundle, learnt.instances) <= 1e-4


def test_a_regression_in_steps_of_float32_answers_as_it_did() -> None:
    learnt = Learnt(table(offset=JULIAN)[NUMBERS], "answer", "ridge")

    bundle = bundles.load(as_before(learnt))

    assert 0.1 < learnt.apart(bundle, learnt.instances) < 1


@pytest.mark.parametrize("tolerance", [float("nan"), -1.0, "much", [], None])
def test_a_tolerance_that_makes_no_sense_is_refused(tolerance: Any) -> None:
    files = bundles.files_of(Learnt(*shipped("diabetes"), "ridge").bundled().digest)
    manifest = {**json.loads(files[bundles.MANIFEST]), "tolerance": tolerance}
    named = {name: files[name] for name in manifest["files"]}

    with pytest.raises(BundleRefused):
        bundles.load(bundles.write(named, manifest))


def test_an_answer_beyond_the_tolerance_of_its_bundle_is_refused() -> None:
    learnt = Learnt(table(offset=JULIAN)[NUMBERS], "answer", "ridge")
    made = learnt.bundled()
    with default_storage.open(f"bundles/{made.digest}/{bundles.SMOKE}") as file:
        smoke = json.load(file)
    smoke["values"] = (np.round(np.array(smoke["values"]) * 4) / 4).tolist()
    files = {"model.onnx": bundles.files_of(made.digest)["model.onnx"],
             bundles.SMOKE: json.dumps(smoke).encode()}  # fmt: skip
    manifest = json.loads(bundles.files_of(made.digest)[bundles.MANIFEST])

    with pytest.raises(BundleRefused) as refusal:
        bundles.load(bundles.write(files, manifest))

    assert refusal.value.code == "smoke_failed"
