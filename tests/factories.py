"""Rows for tests: plain functions with defaults, each over-ridable, all of them real.

A version made here has a real bundle that web processes could load; only its training is
shared between tests, since its estimator is the same each time.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from django.conf import settings
from django.contrib.auth.models import Group, User

from models_app import promotion, serving
from models_app.learning import pipeline, tables
from models_app.learning.schema import Feature, Schema
from models_app.models import (
    Deployment,
    ModelVersion,
    RegisteredModel,
    TrainingSnapshot,
    WebProcess,
)

SCHEMA = Schema((Feature("length", "number"), Feature("width", "number")))
SHORT, LONG = {"length": 1.0, "width": 1.0}, {"length": 9.0, "width": 1.0}


def leaves(rows: int = 120, *, seed: int = 0) -> pd.DataFrame:
    """Rows with `length`, `width` and `kind`: leaves longer than 5 are "oak", others "elm"."""
    chance = np.random.default_rng(seed)
    frame = pd.DataFrame(chance.uniform(0, 10, (rows, 2)).round(3), columns=["length", "width"])
    frame["kind"] = np.where(frame["length"] > 5, "oak", "elm")
    return frame


def make_user(username: str = "ada", *, groups: tuple[str, ...] = (), **fields: Any) -> User:
    """A user who can log in with the password "secret"."""
    user = User.objects.create_user(username, password="secret", **fields)
    user.groups.set(Group.objects.filter(name__in=groups))
    return user


def make_model(name: str = "leaves", **fields: Any) -> RegisteredModel:
    """A public, default classification model whose data is a CSV of `leaves()`."""
    path = settings.EVERLEARN_HOME / "leaves.csv"
    if not path.exists():
        leaves().to_csv(path, index=False)
    defaults: dict[str, Any] = {
        "task": "classification",
        "data": str(path),
        "target": "kind",
        "public": True,
        "estimator": "logistic",
        "metric": "balanced_accuracy",
        "features": SCHEMA.to_json(),
        "is_default": not RegisteredModel.objects.filter(is_default=True).exists(),
    }
    return RegisteredModel.objects.create(name=name, **{**defaults, **fields})


@cache
def _bundle_digest(turned: bool) -> str:
    # Imported late: tests that need no bundle need no ONNX either.
    from models_app.conversion import make_bundle

    frame = leaves()
    if turned:
        frame["kind"] = np.where(frame["kind"] == "oak", "elm", "oak")
    estimator = pipeline.build("logistic", schema=SCHEMA, task="classification", seed=0)
    estimator.fit(tables.encode(frame, SCHEMA), frame["kind"].to_numpy(dtype=object))
    made = make_bundle(
        estimator, name="leaves", schema=SCHEMA, task="classification",
        classes=("elm", "oak"), instances=tables.instances_of(frame, SCHEMA),
    )  # fmt: skip
    return made.digest


def make_version(
    model: RegisteredModel | None = None, *, turned: bool = False, **fields: Any
) -> ModelVersion:
    """The next version of `model`, judged PROMOTE; `turned`: it takes each oak for an elm."""
    model = model or RegisteredModel.objects.first() or make_model()
    model.refresh_from_db()
    defaults: dict[str, Any] = {
        "number": model.versions.count() + 1,
        "recipe": model.recipe,
        "features": SCHEMA.to_json(),
        "classes": ["elm", "oak"],
        "runtime": "onnx",
        "bundle_digest": _bundle_digest(turned),
        "gate": make_gate(against=model.champion.number if model.champion else None),
    }
    return ModelVersion.objects.create(registered_model=model, **{**defaults, **fields})


def make_gate(verdict: str = "PROMOTE", *, against: int | None = None) -> dict[str, Any]:
    """A stored gate report."""
    passed = verdict == "PROMOTE"
    return {
        "verdict": verdict,
        "against": against,
        "rows": 40,
        "rows_digest": "0" * 64,
        "checks": [{"name": "margin", "passed": passed, "value": 0.1, "limit": 0.005}],
    }


def make_champion(model: RegisteredModel | None = None, **fields: Any) -> ModelVersion:
    """A version that serves."""
    version = make_version(model, **fields)
    manager = User.objects.filter(username="manager").first()
    manager = manager or make_user("manager", is_superuser=True)
    promotion.promote(version, actor=manager, door=Deployment.Door.CLI, reason="first")
    version.refresh_from_db()
    return version


def make_rows() -> RegisteredModel:
    """One row of everything that hangs on a model, and that model."""
    version = make_champion(metrics={"balanced_accuracy": 0.9})
    model = version.registered_model
    serving.predict(model.name, [LONG], client=None)
    snapshot = TrainingSnapshot.objects.create(
        registered_model=model, digest="5f" * 32, rows=142, feedback_rows=12
    )
    ModelVersion.objects.update(snapshot=snapshot)
    WebProcess.objects.create(host="here", pid=1)
    return model
