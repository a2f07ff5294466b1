"""Train one version: fit on frozen rows, bundle, log to MLflow, register, mirror.

The caller freezes the rows and judges the result; nothing here promotes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version as installed
from typing import Any, cast

import pandas as pd
from django.conf import settings

from models_app import bundles, conversion, registry
from models_app.learning import evaluation, selection, tables
from models_app.learning.schema import Schema
from models_app.learning.tables import Task
from models_app.models import ModelVersion, RegisteredModel, RegistryAlias, TrainingSnapshot
from models_app.promotion import CHALLENGER_ALIAS

Progress = Callable[[str, int, int], None]

EXAMPLE_ROWS = 20
WEIGHT = "everlearn_weight"
PINNED = ("numpy", "pandas", "scikit-learn", "scipy", "skops")


@dataclass(frozen=True, slots=True)
class Trained:
    """What learning gave: a bundled estimator, and what is known of it."""

    estimator: Any
    schema: Schema
    classes: tuple[str, ...]
    made: conversion.MadeBundle
    example: pd.DataFrame
    parameters: dict[str, Any]
    metrics: dict[str, float]


def train(
    model: RegisteredModel,
    *,
    train: pd.DataFrame,
    unseen: pd.DataFrame,
    snapshot: TrainingSnapshot,
    run_id: int,
    seed: int,
    on_progress: Progress,
) -> ModelVersion:
    """Fit on `train` and return the registered, bundled, mirrored version.

    train, unseen: the schema's features and the target, a row each; `train` may weigh its rows
    in `everlearn_weight`, `unseen` is only measured. Raises ValueError when the rows cannot be
    learnt from and RegistryAway when MLflow does not answer.
    """
    trained = _learn(model, train, unseen, seed, on_progress)
    on_progress("registering", 0, 1)
    logged = registry.log_version(
        registry.Entry(
            name=model.name,
            estimator=trained.estimator,
            example=trained.example,
            answers=trained.estimator.predict(trained.example),
            parameters=trained.parameters,
            metrics=trained.metrics,
            tags=_tags(model, snapshot, run_id, trained.made.digest),
            requirements=tuple(f"{name}=={installed(name)}" for name in PINNED),
        )
    )
    return _mirror(model, snapshot, logged, trained)


def _learn(
    model: RegisteredModel,
    rows: pd.DataFrame,
    unseen: pd.DataFrame,
    seed: int,
    on_progress: Progress,
) -> Trained:
    task, schema = cast("Task", model.task), tables.with_categories(model.schema, rows)
    frame = tables.encode(rows, schema)
    fitted = selection.fit(
        model.estimator,
        frame,
        tables.targets_of(rows[model.target], task),
        schema=schema,
        task=task,
        metric=model.metric,
        seed=seed,
        sample_weight=rows[WEIGHT].to_numpy() if WEIGHT in rows else None,
        on_progress=on_progress,
    )
    on_progress("bundling", 0, 1)
    classes = tuple(str(one) for one in getattr(fitted.estimator, "classes_", ()))
    made = conversion.make_bundle(
        fitted.estimator,
        name=model.name,
        schema=schema,
        task=task,
        classes=classes,
        instances=tables.instances_of(rows, schema),
    )
    metrics = _measure(made.digest, model, unseen)
    if fitted.cross_validated is not None:
        metrics[f"cross_validated_{model.metric}"] = fitted.cross_validated
    parameters = {"estimator": fitted.name, "seed": seed, "rows": len(rows), **fitted.parameters}
    return Trained(
        fitted.estimator, schema, classes, made, frame.head(EXAMPLE_ROWS), parameters, metrics
    )


def _measure(digest: str, model: RegisteredModel, unseen: pd.DataFrame) -> dict[str, float]:
    """The usual metrics, and the model's own, of the very bundle that would serve."""
    if unseen.empty:
        return {}
    bundle, task = bundles.load(digest), cast("Task", model.task)
    answers = bundle.answer(bundle.schema.columns(tables.instances_of(unseen, bundle.schema)))
    targets = tables.targets_of(unseen[model.target], task)
    metrics = evaluation.report(targets, answers, task)
    return metrics | {model.metric: evaluation.score(model.metric, targets, answers)}


def _tags(
    model: RegisteredModel, snapshot: TrainingSnapshot, run_id: int, digest: str
) -> dict[str, str]:
    return {
        "everlearn.run": str(run_id),
        "everlearn.snapshot_digest": snapshot.digest,
        "everlearn.bundle_digest": digest,
        "everlearn.code_revision": code_revision(),
        "everlearn.recipe": model.recipe,
    }


def _mirror(
    model: RegisteredModel,
    snapshot: TrainingSnapshot,
    logged: registry.Logged,
    trained: Trained,
) -> ModelVersion:
    """The version's row, which a reconcile may have begun since MLflow has it."""
    version, _ = ModelVersion.objects.update_or_create(
        registered_model=model,
        number=logged.number,
        defaults={
            "mlflow_run_id": logged.mlflow_run_id,
            "snapshot": snapshot,
            "code_revision": code_revision(),
            "recipe": model.recipe,
            "features": trained.schema.to_json(),
            "classes": list(trained.classes),
            "parameters": trained.parameters,
            "metrics": trained.metrics,
            "runtime": trained.made.runtime,
            "bundle_digest": trained.made.digest,
            "unservable_because": "",
        },
    )
    RegistryAlias.objects.update_or_create(
        registered_model=model, alias=CHALLENGER_ALIAS, defaults={"number": version.number}
    )
    return version


@cache
def code_revision() -> str:
    """The commit that trains, marked when the tree differs from it; "unknown" if nobody tells."""
    if settings.EVERLEARN_CODE_REVISION:
        return str(settings.EVERLEARN_CODE_REVISION)
    git = shutil.which("git")
    if git is None:
        return "unknown"
    described = subprocess.run(
        [git, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
    )
    return described.stdout.strip() or "unknown"
