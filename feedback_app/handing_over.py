"""Runs that a workflow elsewhere trains: handed over, reported on, and given up when it is lost.

The rows are frozen here before and judged here after, so that a workflow decides neither what
it is judged on nor what serves. Its reports are its heartbeat, and a hint to look into MLflow.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from typing import Any, Literal, TypedDict

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone

from feedback_app import queueing
from feedback_app.attempt import Attempt
from feedback_app.models import AWAY, RetrainingRun
from feedback_app.retraining import LONGEST_ERROR
from feedback_app.secrecy import without_secrets
from models_app import syncing
from models_app.models import ModelVersion
from models_app.refusals import Conflict, NotHandedOver

logger = logging.getLogger(__name__)

WORKFLOW = "workflow"
# A workflow reports every 30 s.
HEARTBEAT = timedelta(seconds=120)

Status = RetrainingRun.Status


class Progress(TypedDict):
    """How far a workflow is."""

    step: str
    done: int
    total: int


def is_for_a_workflow(run: RetrainingRun) -> bool:
    """Whether a run is trained elsewhere: a workflow announced it, or all are."""
    return announced(run) or settings.EVERLEARN_TRAINING_BACKEND == "github"


def announced(run: RetrainingRun) -> bool:
    """Whether the workflow that trains a run is there already and has asked for it."""
    return run.trigger == RetrainingRun.Trigger.EXTERNAL


def hand_over(attempt: Attempt) -> None:
    """Leave a frozen run to its workflow, which may have to wait for its turn elsewhere.

    Raises LeaseLost.
    """
    now = timezone.now()
    attempt.write(
        handed_over_at=now,
        leased_until=now + timedelta(seconds=settings.EVERLEARN_RUN_TIMEOUT),
        step=WORKFLOW,
        done=0,
        total=0,
        error="",
    )


@transaction.atomic
def report(
    run: RetrainingRun,
    *,
    actor: User,
    reporter: str,
    status: Literal["running", "failed", "registered"],
    progress: Progress | None = None,
    error: str = "",
) -> RetrainingRun:
    """Take a workflow's word on its run, and return the run as it is then.

    reporter: who trains it; the first who reports is the only one. A run that has ended, or
    that is judged already, stays as it is: a report that arrives twice does no harm. Raises
    PermissionDenied, NotHandedOver, and Conflict for another reporter.
    """
    if not actor.has_perm("feedback_app.change_retrainingrun"):
        raise PermissionDenied("Reporting on a run needs change_retrainingrun.")
    run = RetrainingRun.objects.select_for_update().get(pk=run.pk)
    if not run.active:
        return run
    refuse_unless_handed_over(run)
    if run.reporter not in ("", reporter):
        raise Conflict(f"{run} is trained by {run.reporter}", code="run_taken")
    if run.away:
        heard = _heard(reporter, progress)
        if status == "failed":
            heard |= _failed(f"{WORKFLOW}: {without_secrets(error) or 'no more was said'}")
            logger.error("%s failed: %s", run, heard["error"])
        RetrainingRun.objects.filter(pk=run.pk).update(**heard)
        run.refresh_from_db()
    if status == "registered":
        syncing.ask()
    return run


def refuse_unless_handed_over(run: RetrainingRun) -> None:
    """Raise NotHandedOver while a run is still here, Conflict when it ended here."""
    if run.handed_over_at is not None:
        return
    if not run.active:
        raise Conflict(f"{run} was not handed over: it is {run.status}", code="run_ended")
    raise NotHandedOver(f"{run} is not handed over yet: it is {run.step or run.status}.")


def take_back(run: RetrainingRun, version: ModelVersion) -> None:
    """Have a worker judge the version that a workflow made, or fail the run if it cannot serve.

    Nothing changes for a run that no workflow has any more.
    """
    away = RetrainingRun.objects.filter(AWAY, pk=run.pk, status=Status.RUNNING)
    made = {"version": version, "mlflow_run_id": version.mlflow_run_id}
    if not version.servable:
        if away.update(**made, **_failed(version.unservable_because)):
            logger.error("%s failed: %s", run, version.unservable_because)
        return
    claimable = {"status": Status.QUEUED, "not_before": timezone.now(), "leased_until": None}
    if away.update(**made, **claimable, step="", done=0, total=0):
        # Should the message fail, the next pulse finds the run.
        transaction.on_commit(partial(queueing.wake, run.pk), robust=True)


def fail_lost_runs() -> None:
    """Fail the runs from whose workflow nothing was heard for too long."""
    lost = RetrainingRun.objects.filter(
        AWAY, status=Status.RUNNING, leased_until__lt=timezone.now()
    )
    for run in lost:
        patience = HEARTBEAT.seconds if run.reporter else settings.EVERLEARN_RUN_TIMEOUT
        why = f"workflow_lost: nothing was heard from the workflow for {patience} s"
        # Asked again, since it may have reported meanwhile.
        if lost.filter(pk=run.pk).update(**_failed(why)):
            logger.error("%s failed: %s", run, why)


def _heard(reporter: str, progress: Progress | None) -> dict[str, Any]:
    return {
        "reporter": reporter,
        "leased_until": timezone.now() + HEARTBEAT,
        **(progress or {}),
    }


def _failed(why: str) -> dict[str, Any]:
    return {
        "status": Status.FAILED,
        "error": why[:LONGEST_ERROR],
        "ended_at": timezone.now(),
        "leased_until": None,
    }
