"""Versions that were trained elsewhere, with a real MLflow of the tests' own."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import mlflow
import pandas as pd
from django.conf import settings
from django.utils import timezone

from feedback_app import arrivals, registering, retraining, snapshots
from feedback_app.attempts import carry_out
from feedback_app.models import RetrainingRun
from feedback_app.training_rows import DIGEST, ROLE, TRAIN
from models_app import datasets, reconciling, registry, training
from models_app.models import RegisteredModel, TrainingSnapshot
from tests.factories import leaves


def freeze(model: RegisteredModel) -> TrainingSnapshot:
    base = datasets.read_table(model.data)
    return snapshots.freeze(model, base=base, up_to=timezone.now())


def trained_elsewhere(
    model: RegisteredModel, *, run: RetrainingRun | None = None, **tags: str
) -> int:
    """A version that a workflow registers, of that run or of none; its number."""
    snapshot_digest = run.snapshot.digest if run and run.snapshot else "5" * 64
    learnt = training.learn(
        model, train=leaves(), unseen=leaves(seed=1), snapshot_digest=snapshot_digest, seed=3,
        on_progress=lambda step, done, total: None,
    )  # fmt: skip
    if run:
        ours = {"everlearn.installation": registering.installation()}
        tags = {**ours, "everlearn.run": str(run.pk), **tags}
    logged = training.register(
        model.name, learnt, tags=tags, mlflow_run_id="", on_run=lambda run_id: None
    )
    return logged.number


def folder_of(model: RegisteredModel, number: int) -> Path:
    client = mlflow.MlflowClient(settings.MLFLOW_TRACKING_URI)
    source = registry.source_of(model.name, number)
    location = client.get_logged_model(source.removeprefix("models:/")).artifact_location
    return Path(location.removeprefix("file://")) / "everlearn"


def bring_along(model: RegisteredModel, number: int, content: bytes) -> None:
    """Put what a version learnt from into its folder, and its digest on its run."""
    (folder_of(model, number) / "learnt_from.parquet").write_bytes(content)
    client = mlflow.MlflowClient(settings.MLFLOW_TRACKING_URI)
    run_id = client.get_model_version(model.name, str(number)).run_id or ""
    client.set_tag(run_id, "everlearn.learnt_from_digest", hashlib.sha256(content).hexdigest())


def learnt_from(digests: list[str]) -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame({ROLE: TRAIN, DIGEST: digests}).to_parquet(buffer, index=False)
    return buffer.getvalue()


def arrive(model: RegisteredModel) -> None:
    """What the worker does every few seconds."""
    reconciling.reconcile([model])
    arrivals.settle()


def carried_out(run: RetrainingRun) -> RetrainingRun:
    claimed = retraining.claim(run.pk)
    assert claimed
    carry_out(claimed, claimed.attempts)
    return RetrainingRun.objects.get(pk=run.pk)


def judged(model: RegisteredModel) -> RetrainingRun:
    """The run of the version that has just arrived, judged."""
    arrive(model)
    return carried_out(RetrainingRun.objects.filter(version__isnull=False).latest("pk"))


def checks(run: RetrainingRun) -> dict[str, bool]:
    assert run.version
    assert run.version.gate
    return {check["name"]: check["passed"] for check in run.version.gate["checks"]}
