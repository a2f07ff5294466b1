"""P5: a model that hangs ends with 504, and so does what it was doing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from django.test import override_settings
from onnx import TensorProto, helper, numpy_helper
from rest_framework.test import APIClient

from models_app import bundles, following, time_limits
from models_app.bundles import Bundle
from models_app.models import ModelVersion, Prediction
from models_app.refusals import ModelTooSlow
from models_app.runtimes.estimator import EstimatorRuntime
from models_app.runtimes.onnx import OnnxRuntime
from tests.factories import LONG, SCHEMA, make_champion

URL = "/api/models/leaves/predict/"


def endless_graph() -> bytes:
    """Multiplies large matrices for longer than anybody waits, with allowed operators only."""
    names = [f"power_{place}" for place in range(2000)]
    nodes = [
        helper.make_node("ReduceSum", ["rows"], ["sum"]),
        helper.make_node("Add", ["weights", "sum"], [names[0]]),
        *(
            helper.make_node("MatMul", [before, "weights"], [after])
            for before, after in pairwise(names)
        ),
        helper.make_node("ReduceSum", [names[-1]], ["value"]),
    ]
    graph = helper.make_graph(
        nodes,
        "endless",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("value", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones((1500, 1500), np.float32), "weights")],
    )
    opsets = [helper.make_opsetid("", 18)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def endless_onnx() -> OnnxRuntime:
    inputs = [["length", "width"]]
    return OnnxRuntime(endless_graph(), inputs=inputs, classes=(), has_probabilities=False)


class Endless:
    """An estimator that never answers, and says when it was made to stop."""

    def __init__(self) -> None:
        self.ended = threading.Event()

    def predict(self, rows: Any) -> Any:
        try:
            while True:
                time.sleep(0.01)
        finally:
            self.ended.set()


class Failing:
    def predict(self, rows: Any) -> Any:
        raise TimeoutError("its own")


class Empty:
    def predict(self, rows: Any) -> Any:
        return np.full(len(rows), np.nan)


@pytest.fixture(autouse=True)
def _nothing_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = threading.active_count()
    yield
    deadline = time.monotonic() + 10
    while _models_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _models_threads(), before


def _models_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "model"]


def columns() -> Any:
    return SCHEMA.columns([LONG])


def test_a_graph_that_never_ends_is_ended() -> None:
    runtime, began = endless_onnx(), time.monotonic()

    with pytest.raises(ModelTooSlow, match=r"within 0\.3 s"):
        runtime.answer(columns(), within=0.3)

    assert time.monotonic() - began < 5
    assert not time_limits.watchdog._watched


def test_an_estimator_that_never_ends_is_ended_with_its_thread() -> None:
    estimator = Endless()
    runtime = EstimatorRuntime(estimator, classes=())

    with pytest.raises(ModelTooSlow):
        runtime.answer(columns(), within=0.2)

    assert estimator.ended.wait(10)


def test_no_more_than_a_few_threads_are_ever_left_behind() -> None:
    held, helpers = threading.Event(), time_limits.Helpers(most_left=2)

    for _ in range(2):
        with pytest.raises(ModelTooSlow, match="within"):
            helpers.carry_out(held.wait, 0.05)
    began = time.monotonic()
    with pytest.raises(ModelTooSlow, match="Earlier"):
        helpers.carry_out(held.wait, 30)

    assert time.monotonic() - began < 5
    held.set()
    for thread in _models_threads():
        thread.join(10)
    assert helpers.carry_out(lambda: "again", 30) == "again"


def test_what_a_model_raises_is_not_taken_for_slowness() -> None:
    with pytest.raises(TimeoutError, match="its own"):
        EstimatorRuntime(Failing(), classes=()).answer(columns(), within=10)


def test_without_a_limit_nothing_is_ended() -> None:
    assert EstimatorRuntime(Empty(), classes=()).answer(columns()).values.shape == (1,)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Any:
    """serve(runtime): the champion answers with that, through a bundle otherwise its own."""

    def replaced(runtime: Any, **fields: Any) -> ModelVersion:
        version = make_champion()
        real = bundles.load

        def load(digest: str) -> Bundle:
            return replace(real(digest), runtime=runtime, **fields)

        monkeypatch.setattr(following._follower._loader, "_load", load)
        monkeypatch.setattr(following._follower._loader, "_kept", {})
        monkeypatch.setattr(following._follower, "_served", {})
        return version

    return replaced


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["onnx", "estimator"])
def test_whoever_asks_a_model_that_hangs_is_told_in_time(
    api: APIClient, serve: Any, kind: str
) -> None:
    """P5"""
    hanging = endless_onnx() if kind == "onnx" else EstimatorRuntime(Endless(), classes=())
    serve(hanging, classes=())

    with override_settings(EVERLEARN_PREDICT_TIMEOUT=0.3):
        answer = api.post(URL, {"instances": [LONG]})

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (504, "prediction_timeout")
    assert not Prediction.objects.exists()


@pytest.mark.django_db
def test_an_answer_that_is_no_number_is_not_given(api: APIClient, serve: Any) -> None:
    """P5"""
    serve(EstimatorRuntime(Empty(), classes=()), classes=())

    answer = api.post(URL, {"instances": [LONG]})

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (500, "model_output_invalid")
    assert not Prediction.objects.exists()


@pytest.mark.django_db
def test_one_bad_row_of_a_thousand_is_named_and_nothing_is_stored(api: APIClient) -> None:
    """P5"""
    make_champion()
    rows: list[Any] = [dict(LONG) for _ in range(1000)]
    rows[417]["width"] = "wide"

    answer = api.post(URL, {"instances": rows})

    assert answer.status_code == 400
    assert [error["attr"] for error in answer.json()["errors"]] == ["instances.417.width"]
    assert not Prediction.objects.exists()


@pytest.mark.django_db
def test_more_than_a_thousand_rows_are_too_many(api: APIClient) -> None:
    """P5"""
    make_champion()

    answer = api.post(URL, {"instances": [LONG] * 1001})

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (413, "too_many_instances")
    assert not Prediction.objects.exists()
