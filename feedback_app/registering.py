"""Have MLflow register what a run learnt, however long MLflow is away.

Waiting costs the run no attempt: what was learnt is kept in storage, the lease is renewed by
whoever supervises this process, and whoever takes the run over goes on from what was kept.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from functools import cache

from django.db import transaction
from django.utils.crypto import salted_hmac

from feedback_app import failures
from feedback_app.attempt import Attempt
from feedback_app.models import RetrainingRun
from feedback_app.pauses import growing
from models_app import learnt, registry, training
from models_app.learnt import Learnt
from models_app.models import ModelVersion, RegisteredModel, TrainingSnapshot
from models_app.registry import Logged, RegistryAway, RegistryRefused

logger = logging.getLogger(__name__)

WAITING = "waiting_registry"
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 10.0


def register(attempt: Attempt, snapshot: TrainingSnapshot, learned: Learnt) -> ModelVersion:
    """The version of what was learnt. Raises LeaseLost, and RegistryRefused."""
    model = attempt.run.registered_model
    attempt.progress("registering", 0, 1)
    logged = _log(attempt, model, learned)
    with transaction.atomic():
        # First, since it locks the row of the run: who has lost the lease mirrors nothing.
        attempt.write(mlflow_run_id=logged.mlflow_run_id)
        version = training.mirror(model, snapshot, logged, learned)
        attempt.write(version=version)
    learnt.forget(str(attempt.run.pk))
    return version


def _log(attempt: Attempt, model: RegisteredModel, learned: Learnt) -> Logged:
    for pause in growing(FIRST_PAUSE, LONGEST_PAUSE):
        try:
            return training.register(
                model.name,
                learned,
                tags={
                    "everlearn.installation": installation(),
                    "everlearn.run": str(attempt.run.pk),
                    "everlearn.attempt": str(attempt.token),
                },
                mlflow_run_id=attempt.run.mlflow_run_id,
                on_run=lambda run_id: attempt.write(mlflow_run_id=run_id),
                taken=training.numbers_taken(model, attempt.run.mlflow_run_id),
            )
        except RegistryRefused:
            if not attempt.run.mlflow_run_id:
                raise
            # It has forgotten the run, as after a restore: log another one.
            attempt.write(mlflow_run_id="")
        except RegistryAway as away:
            logger.warning("%s waits: %s", attempt.run, away)
            attempt.write(step=WAITING, done=0, total=1, error=failures.told(away))
            time.sleep(pause)
    raise AssertionError("the pauses never end")


@cache
def installation() -> str:
    """Tells the MLflow runs of this installation from those of others that share the server."""
    return salted_hmac("everlearn.installation", "").hexdigest()[:16]


def close_orphans() -> None:
    """Mark as killed the MLflow runs that nobody goes on with, and remove what nobody needs.

    Raises RegistryAway.

    An attempt that was killed leaves its run open; the attempt after it goes on with that run
    if it is the one that was noted, and with a new one otherwise.
    """
    for key in learnt.kept_keys() - _active_keys():
        learnt.forget(key)
    for model in RegisteredModel.objects.filter(retired_at=None):
        for mlflow_run_id, tags in registry.open_runs(model.name).items():
            if tags.get("everlearn.installation") != installation():
                continue
            if not _goes_on(mlflow_run_id, tags):
                logger.warning("MLflow run %s of %s: killed", mlflow_run_id, model)
                registry.kill_run(mlflow_run_id)


def _active_keys() -> set[str]:
    active = RetrainingRun.objects.filter(status__in=RetrainingRun.ACTIVE)
    return {str(run_id) for run_id in active.values_list("pk", flat=True)}


def _goes_on(mlflow_run_id: str, tags: Mapping[str, str]) -> bool:
    number = tags.get("everlearn.run", "")
    if not number.isdecimal():
        return True  # of a training elsewhere that belongs to no run
    active = RetrainingRun.objects.filter(status__in=RetrainingRun.ACTIVE)
    run = active.filter(pk=int(number)).first()
    if run is None:
        return False
    if run.away:
        return True
    noted = run.mlflow_run_id == mlflow_run_id
    return noted or tags.get("everlearn.attempt") == str(run.attempts)
