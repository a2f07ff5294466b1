"""Training through to MLflow of what is easily served with fewer digits, or not at all."""

from __future__ import annotations

import json
import uuid
from typing import Any

import numpy as np
import pandas as pd
import pytest
from django.core.files.storage import default_storage

from models_app import bundles, training
from models_app.learning import tables
from models_app.learnt import Learnt
from tests.factories import make_model
from tests.models_app.test_parity import JULIAN

pytestmark = pytest.mark.django_db


def learnt(frame: pd.DataFrame, target: str, **fields: Any) -> tuple[Learnt, dict[str, Any]]:
    """What a model learnt from the first two thirds of the rows, and its bundle's manifest."""
    schema = tables.infer_schema(frame, target=target)
    model = make_model(
        f"m-{uuid.uuid4().hex[:8]}", target=target, features=schema.to_json(), **fields
    )
    known = len(frame) * 2 // 3
    made = training.learn(
        model,
        train=frame.iloc[:known],
        unseen=frame.iloc[known:],
        snapshot_digest=uuid.uuid4().hex,
        seed=0,
        on_progress=lambda step, done, total: None,
    )
    with default_storage.open(f"bundles/{made.bundle_digest}/{bundles.MANIFEST}") as file:
        return made, json.load(file)


def exact(noise: float) -> pd.DataFrame:
    """A day that follows from two numbers but for `noise`."""
    chance = np.random.default_rng(0)
    frame = pd.DataFrame({"x": chance.uniform(0, 3, 300), "z": chance.normal(size=300)})
    frame["day"] = JULIAN + 0.5 + frame["x"] / 3 + chance.normal(size=300) * noise
    return frame


def test_a_regression_is_held_to_a_hundredth_of_its_own_error() -> None:
    regression = {"task": "regression", "estimator": "ridge", "metric": "r2"}

    rough, of_rough = learnt(exact(0.1), "day", **regression)
    fine, of_fine = learnt(exact(0.0035), "day", **regression)

    assert rough.runtime == fine.runtime == "onnx"
    error = -fine.metrics["neg_root_mean_squared_error"]
    assert error == pytest.approx(0.0035, rel=0.4)
    assert of_fine["tolerance"] == pytest.approx(0.01 * error, rel=1e-3)
    assert of_rough["tolerance"] == pytest.approx(1e-4 * 0.29, rel=0.3)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_native_categories_are_trained_kept_by_mlflow_and_served() -> None:
    chance = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"colour": chance.choice(["red", "blue", "grey"], 300), "n": chance.normal(size=300)}
    )
    frame["kind"] = np.where((frame["colour"] == "red") ^ (frame["n"] > 0), "yes", "no")

    made, _ = learnt(
        frame, "kind", estimator="tests.estimators.native_categories", metric="accuracy"
    )

    assert made.runtime == "onnx"
    assert made.folder
    assert made.metrics["accuracy"] > 0.95
