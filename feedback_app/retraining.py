"""Retraining runs, from request to verdict.

A run is a row. Any worker may take it up where another left off: what a step made is kept on
the row before the next begins, and every write names the attempt that makes it, so that an
attempt which lost its lease changes nothing any more.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from feedback_app import queueing
from feedback_app.models import AWAY, RetrainingRun
from models_app import addresses
from models_app.models import ModelVersion, RegisteredModel
from models_app.refusals import Conflict, NotFound

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=40)
# As many again for a run that came back from a workflow.
MAX_ATTEMPTS = 3
FIRST_BACK_OFF = timedelta(seconds=5)
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=2), timedelta(seconds=60)
LONGEST_ERROR = 2000

Status = RetrainingRun.Status


def request(
    registered_model: RegisteredModel,
    *,
    actor: User,
    trigger: RetrainingRun.Trigger,
    reason: str = "",
    data: str = "",
    promote: bool = False,
    version: ModelVersion | None = None,
) -> tuple[RetrainingRun, bool]:
    """Queue a run and return it with True, or the model's active one with False.

    data: where the base data is, instead of where the model's declaration says. promote: have
    it promoted when the gate says PROMOTE. version: one that was made elsewhere already, to be
    judged. Raises PermissionDenied, NotFound when retired, SourceRefused for data at an address
    that may not be asked.
    """
    _refuse_unless_allowed(registered_model, actor, data)
    while True:
        try:
            with transaction.atomic():
                run = RetrainingRun.objects.create(
                    registered_model=registered_model,
                    requested_by=actor,
                    trigger=trigger,
                    reason=reason,
                    data=data,
                    promote=promote,
                    version=version,
                )
                # Should the message fail, the next pulse finds the run.
                transaction.on_commit(partial(queueing.wake, run.pk), robust=True)
            return run, True
        except IntegrityError:
            # The constraint lets one run a model be active; it may end before we look.
            if active := active_run(registered_model):
                return active, False


def _refuse_unless_allowed(registered_model: RegisteredModel, actor: User, data: str) -> None:
    if not actor.has_perm("feedback_app.add_retrainingrun"):
        raise PermissionDenied("Retraining needs add_retrainingrun.")
    if registered_model.retired_at is not None:
        raise NotFound(f"There is no model {registered_model.name!r}.")
    if addresses.is_address(data):
        addresses.check_address(data)


def active_run(registered_model: RegisteredModel) -> RetrainingRun | None:
    """The model's run that is queued or running, if any."""
    runs = RetrainingRun.objects.filter(registered_model=registered_model)
    return runs.filter(status__in=RetrainingRun.ACTIVE).first()


def cancel(run: RetrainingRun, *, actor: User) -> RetrainingRun:
    """End a run that is queued or running; the worker stops its training within seconds.

    Raises PermissionDenied, and Conflict for a run that ended otherwise.
    """
    if not actor.has_perm("feedback_app.change_retrainingrun"):
        raise PermissionDenied("Cancelling a run needs change_retrainingrun.")
    RetrainingRun.objects.filter(pk=run.pk, status__in=RetrainingRun.ACTIVE).update(
        status=Status.CANCELLED, ended_at=timezone.now(), leased_until=None
    )
    run.refresh_from_db()
    if run.status != Status.CANCELLED:
        raise Conflict(f"{run} has ended already: {run.status}", code="run_ended")
    return run


def claim(run_id: int) -> RetrainingRun | None:
    """Take a run for this worker; None when it is not free, or when as many run as may."""
    fail_spent_runs()
    with transaction.atomic():
        # Locked, so that two workers do not both count the last free place as theirs.
        active = list(
            RetrainingRun.objects.select_for_update()
            .filter(~AWAY, status__in=RetrainingRun.ACTIVE)
            .order_by("pk")
        )
        run = next((one for one in active if one.pk == run_id), None)
        if run is None:
            logger.info("run %s is not active, or a workflow has it", run_id)
            return None
        if _leased(active) >= settings.EVERLEARN_CONCURRENT_RUNS:
            return None
        if not run.claim(lease=LEASE):
            return None
    run.refresh_from_db()
    return run


def renew(run_id: int, token: int) -> bool:
    """Keep the lease on a run; False when it ended, was cancelled or belongs to another."""
    held = _held(run_id, token).update(leased_until=timezone.now() + LEASE)
    return held == 1


def is_held(run_id: int, token: int) -> bool:
    """Whether nobody has ended the run or taken it over, be its lease over or not."""
    return _held(run_id, token).exists()


def runs_to_wake() -> list[int]:
    """Ids of the runs that a worker could take up now, as many as there are places for."""
    active = list(
        RetrainingRun.objects.filter(~AWAY, status__in=RetrainingRun.ACTIVE).order_by("pk")
    )
    places = max(0, settings.EVERLEARN_CONCURRENT_RUNS - _leased(active))
    return [run.pk for run in active if _free(run)][:places]


def fail_spent_runs() -> None:
    """Fail the runs whose worker was lost in their last attempt."""
    lost = RetrainingRun.objects.filter(
        ~AWAY, status=Status.RUNNING, leased_until__lt=timezone.now(), attempts__gte=MAX_ATTEMPTS
    )
    for run in lost:
        if run.attempts >= _most_attempts(run):
            why = (
                f"worker_lost: the worker was lost {MAX_ATTEMPTS} times. See its log for why, and "
                "train again when it stays up."
            )
            fail(run.pk, run.attempts, why)


def retry_or_fail(run_id: int, token: int, why: str) -> None:
    """End an attempt that died: queued again after a pause, or failed when it was the last.

    why: a code and a sentence, as `worker_lost: killed by signal 9`.
    """
    error = why[:LONGEST_ERROR]
    if token >= _most_attempts(RetrainingRun.objects.get(pk=run_id)):
        fail(run_id, token, error)
        return
    counted = token - RetrainingRun.objects.get(pk=run_id).waits
    pause = FIRST_BACK_OFF * 2 ** (counted - 1)
    _held(run_id, token).update(
        status=Status.QUEUED, not_before=timezone.now() + pause, leased_until=None, error=error
    )


def postpone(run_id: int, token: int, *, step: str, why: str) -> None:
    """Queue a run again that waits for another service; the wait holds no slot and no attempt.

    The pauses double from 2 s up to a minute. A run that has taken longer than
    EVERLEARN_RUN_TIMEOUT since it started fails with `why`.
    """
    run, now = RetrainingRun.objects.get(pk=run_id), timezone.now()
    limit = settings.EVERLEARN_RUN_TIMEOUT
    if run.started_at and now - run.started_at > timedelta(seconds=limit):
        fail(run_id, token, f"timeout: stopped after {limit} s; {why}")
        return
    # Beyond a handful of doublings only the limit counts.
    pause = min(FIRST_WAIT * 2 ** min(run.waits, 10), LONGEST_WAIT)
    _held(run_id, token).update(
        status=Status.QUEUED,
        not_before=now + pause,
        leased_until=None,
        waits=F("waits") + 1,
        step=step,
        done=0,
        total=1,
        error=why[:LONGEST_ERROR],
    )


def queue_again(run_id: int, token: int, **values: Any) -> bool:
    """End an attempt so that another one begins with other `values`, if there is one left.

    False, and nothing has changed, when it was the last one or lost its lease.
    """
    if token >= _most_attempts(RetrainingRun.objects.get(pk=run_id)):
        return False
    queued = _held(run_id, token).update(
        status=Status.QUEUED, not_before=timezone.now(), leased_until=None, **values
    )
    if queued:
        queueing.wake(run_id)
    return queued == 1


def fail(run_id: int, token: int, why: str) -> None:
    """End a run that another attempt would not help."""
    ended = _held(run_id, token).update(
        status=Status.FAILED,
        ended_at=timezone.now(),
        leased_until=None,
        error=why[:LONGEST_ERROR],
    )
    if ended:
        logger.error("run %s failed: %s", run_id, why[:LONGEST_ERROR])


def _held(run_id: int, token: int) -> QuerySet[RetrainingRun]:
    """The run as the holder of `token` may change it: no row once the lease is lost."""
    # Whoever handed a run over may still renew a lease or die: that is the workflow's no more.
    return RetrainingRun.objects.filter(~AWAY, pk=run_id, attempts=token, status=Status.RUNNING)


def _most_attempts(run: RetrainingRun) -> int:
    allowed = MAX_ATTEMPTS if run.handed_over_at is None else 2 * MAX_ATTEMPTS
    return allowed + run.waits


def _leased(active: list[RetrainingRun]) -> int:
    """How many of the active runs a live worker holds."""
    now = timezone.now()
    return sum(run.leased_until is not None and run.leased_until >= now for run in active)


def _free(run: RetrainingRun) -> bool:
    now = timezone.now()
    if run.leased_until is None:
        return run.not_before <= now
    return run.leased_until < now
