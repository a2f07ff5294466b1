"""Models that were really trained on the data that EverLearn brings along."""

from __future__ import annotations

from typing import Any

import pandas as pd
from django.conf import settings

from feedback_app import retraining
from feedback_app.attempts import carry_out
from feedback_app.models import RetrainingRun
from models_app.learning.tables import infer_schema
from models_app.models import RegisteredModel
from tests.factories import make_model
from tests.feedback_app.makers import make_run

WINE = {"data": "wine.csv", "target": "cultivar", "metric": "balanced_accuracy"}
DIABETES = {
    "data": "diabetes.csv",
    "target": "progression",
    "task": "regression",
    "estimator": "ridge",
    "metric": "neg_root_mean_squared_error",
}
PASSWORDS = {**DIABETES, "data": "passwords.csv", "target": "weeks"}


def make_trained(
    name: str, *, of: dict[str, str], rows: int = 500, **fields: Any
) -> RegisteredModel:
    """A model that serves its first version, which learnt from the first `rows` of its data."""
    path = settings.EVERLEARN_HOME / of["data"]
    pd.read_csv(settings.BASE_DIR / "data" / of["data"]).head(rows).to_csv(path, index=False)
    dtype = {of["target"]: str} if "task" not in of else None
    schema = infer_schema(pd.read_csv(path, dtype=dtype), target=of["target"])
    made_of = {**of, "data": str(path), "features": schema.to_json(), **fields}
    model = make_model(name, **made_of)
    assert train(model).status == "succeeded"
    model.refresh_from_db()
    assert model.champion
    return model


def train(model: RegisteredModel) -> RetrainingRun:
    """A whole run, in this process."""
    run = retraining.claim(make_run(model).pk)
    assert run
    carry_out(run, run.attempts)
    return RetrainingRun.objects.get(pk=run.pk)


def instances_of(model: RegisteredModel) -> list[dict[str, Any]]:
    """The rows of its base data, as a client sends them."""
    frame = pd.read_csv(model.data).drop(columns=model.target)
    names = [str(name) for name in frame]
    return [dict(zip(names, row, strict=True)) for row in frame.to_numpy().tolist()]
