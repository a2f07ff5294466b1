"""Train one version: learn from frozen rows, register with MLflow, mirror; in three steps.

Learning needs no MLflow and is what takes long, so that what it gave can be kept while MLflow
is away (see `learnt`). The caller freezes the rows and judges the result; nothing here promotes.
Nothing but `numbers_taken` and `mirror` asks the database: elsewhere the model need not be in one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from functools import cache
from importlib.metadata import version as installed
from typing import Any, cast

import numpy as np
import pandas as pd
from django.conf import settings

from models_app import bundles, conversion, registry
from models_app.learning import evaluation, selection, tables
from models_app.learning.answers import Answers
from models_app.learning.schema import Schema
from models_app.learning.tables import WEIGHT, Task
from models_app.learnt import Learnt
from models_app.models import ModelVersion, RegisteredModel, RegistryAlias, TrainingSnapshot
from models_app.promotion import CHALLENGER_ALIAS

Progress = Callable[[str, int, int], None]

PINNED = ("numpy", "pandas", "scikit-learn", "scipy", "skops")


def learn(
    model: RegisteredModel,
    *,
    train: pd.DataFrame,
    unseen: pd.DataFrame,
    snapshot_digest: str,
    seed: int,
    on_progress: Progress,
    beside: Mapping[str, bytes] | None = None,
) -> Learnt:
    """Fit on `train`, bundle, and return all that registering a version needs.

    train, unseen: the schema's features and the target, a row each; `train` may weigh its rows
    in `everlearn_weight`, `unseen` is only measured. beside: files that MLflow gets with the
    bundle, by name. Raises ValueError when the rows cannot be learnt from.
    """
    task, schema = cast("Task", model.task), tables.with_categories(model.schema, train)
    frame = tables.encode(train, schema)
    fitted = selection.fit(
        model.estimator,
        frame,
        tables.targets_of(train[model.target], task),
        schema=schema,
        task=task,
        metric=model.metric,
        seed=seed,
        sample_weight=train[WEIGHT].to_numpy() if WEIGHT in train else None,
        on_progress=on_progress,
    )
    on_progress("bundling", 0, 1)
    learnt = _bundled(model, fitted, train, schema, error=_error(fitted, model, schema, unseen))
    return replace(
        learnt,
        snapshot_digest=snapshot_digest,
        parameters={"seed": seed, **learnt.parameters},
        metrics=_measure(learnt.bundle_digest, model, unseen) | _searched(fitted, model.metric),
        folder=_pack(fitted.estimator, schema, learnt.bundle_digest, beside or {}),
    )


def _searched(fitted: selection.Fitted, metric: str) -> dict[str, float]:
    found = fitted.cross_validated
    return {} if found is None else {f"cross_validated_{metric}": found}


def _bundled(
    model: RegisteredModel,
    fitted: selection.Fitted,
    rows: pd.DataFrame,
    schema: Schema,
    *,
    error: float | None,
) -> Learnt:
    classes = tuple(str(one) for one in getattr(fitted.estimator, "classes_", ()))
    made = conversion.make_bundle(
        fitted.estimator,
        name=model.name,
        schema=schema,
        task=model.task,
        classes=classes,
        instances=tables.instances_of(rows, schema),
        error=error,
    )
    return Learnt(
        recipe=model.recipe,
        code_revision=code_revision(),
        features=schema.to_json(),
        classes=list(classes),
        bundle_digest=made.digest,
        runtime=made.runtime,
        parameters={"estimator": fitted.name, "rows": len(rows), **fitted.parameters},
    )


def _error(
    fitted: selection.Fitted, model: RegisteredModel, schema: Schema, unseen: pd.DataFrame
) -> float | None:
    """A regression's root mean squared error on rows that it did not learn from."""
    if model.task != "regression" or unseen.empty:
        return None
    predicted = fitted.estimator.predict(tables.encode(unseen, schema))
    answers = Answers(np.asarray(predicted, dtype=np.float64).ravel())
    targets = tables.targets_of(unseen[model.target], "regression")
    return -evaluation.score("neg_root_mean_squared_error", targets, answers)


def _pack(estimator: Any, schema: Schema, digest: str, beside: Mapping[str, bytes]) -> bytes:
    """What MLflow gets: its own form of the estimator, the bundle that serves, and files beside."""
    files = {**bundles.files_of(digest), **beside}
    return registry.pack(
        estimator,
        schema=schema,
        requirements=[f"{name}=={installed(name)}" for name in PINNED],
        files={f"{bundles.FOLDER}/{name}": part for name, part in files.items()},
    )


def register(
    name: str,
    learnt: Learnt,
    *,
    tags: Mapping[str, str],
    mlflow_run_id: str,
    on_run: Callable[[str], None],
    taken: Container[int] = (),
) -> registry.Logged:
    """Have MLflow register what was learnt; may be called again, with the run told to `on_run`.

    tags: beside those that say what was learnt from what. taken: see `registry.log_version`.
    Raises RegistryAway.
    """
    return registry.log_version(
        registry.Entry(
            name=name,
            folder=learnt.folder,
            parameters=learnt.parameters,
            metrics=learnt.metrics,
            tags={
                "everlearn.snapshot_digest": learnt.snapshot_digest,
                "everlearn.bundle_digest": learnt.bundle_digest,
                "everlearn.code_revision": learnt.code_revision,
                "everlearn.recipe": learnt.recipe,
                **tags,
            },
        ),
        run_id=mlflow_run_id,
        on_run=on_run,
        taken=taken,
    )


def numbers_taken(model: RegisteredModel, mlflow_run_id: str) -> frozenset[int]:
    """The numbers that name versions of other MLflow runs here."""
    others = model.versions.exclude(mlflow_run_id="").exclude(mlflow_run_id=mlflow_run_id)
    return frozenset(others.values_list("number", flat=True))


def mirror(
    model: RegisteredModel, snapshot: TrainingSnapshot, logged: registry.Logged, learnt: Learnt
) -> ModelVersion:
    """The version's row, which a reconcile may have begun since MLflow has it."""
    version, _ = ModelVersion.objects.update_or_create(
        registered_model=model,
        number=logged.number,
        defaults={
            "mlflow_run_id": logged.mlflow_run_id,
            "snapshot": snapshot,
            "code_revision": learnt.code_revision,
            "recipe": learnt.recipe,
            "features": learnt.features,
            "classes": learnt.classes,
            "warnings": model.warnings,
            "parameters": learnt.parameters,
            "metrics": learnt.metrics,
            "runtime": learnt.runtime,
            "bundle_digest": learnt.bundle_digest,
            "unservable_because": "",
            "verify_again_at": None,
        },
    )
    RegistryAlias.objects.update_or_create(
        registered_model=model, alias=CHALLENGER_ALIAS, defaults={"number": version.number}
    )
    return version


def _measure(digest: str, model: RegisteredModel, unseen: pd.DataFrame) -> dict[str, float]:
    """The usual metrics, and the model's own, of the very bundle that would serve."""
    if unseen.empty:
        return {}
    bundle, task = bundles.load(digest), cast("Task", model.task)
    answers = bundle.answer(bundle.schema.columns(tables.instances_of(unseen, bundle.schema)))
    targets = tables.targets_of(unseen[model.target], task)
    metrics = evaluation.report(targets, answers, task)
    return metrics | {model.metric: evaluation.score(model.metric, targets, answers)}


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
