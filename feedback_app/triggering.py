"""Ask for the runs that the models' policies want."""

from __future__ import annotations

import logging

from django.db.models import Q
from django.utils import timezone

from feedback_app import retraining
from feedback_app.models import Feedback, RetrainingRun
from models_app.actors import system_user
from models_app.learning.triggers import Due, Observed, due
from models_app.models import RegisteredModel

logger = logging.getLogger(__name__)

Trigger = RetrainingRun.Trigger


def request_due_runs() -> list[RetrainingRun]:
    """Queue a run for each model whose policy asks for one now; returns the new runs.

    Everything is derived from rows, so that no message has to arrive for a run to be due.
    """
    queued = []
    for model in RegisteredModel.objects.filter(retired_at=None):
        if not _has_trigger(model) or retraining.active_run(model):
            continue
        try:
            wanted = due(model.retrain, observed(model))
        except ValueError as error:
            logger.error("%s: its retraining policy cannot be read: %s", model, error)
            continue
        if wanted and (run := _request(model, wanted)):
            queued.append(run)
    return queued


def observed(registered_model: RegisteredModel) -> Observed:
    """What the triggers of a model depend on, as it is now."""
    runs = RetrainingRun.objects.filter(registered_model=registered_model)
    last = runs.order_by("-pk").first()
    # What others ask for cools nothing down: the first training must not silence the triggers.
    triggered = runs.exclude(trigger__in=(Trigger.MANUAL, Trigger.EXTERNAL))
    last_ended = triggered.exclude(ended_at=None).order_by("-ended_at").first()
    return Observed(
        now=timezone.now(),
        feedback=feedback_since_last_snapshot(registered_model),
        considered_at=last.created_at if last else registered_model.created_at,
        last_ended_at=last_ended.ended_at if last_ended else None,
    )


def feedback_since_last_snapshot(registered_model: RegisteredModel) -> int:
    """Feedback accepted after the newest snapshot's rows were chosen, whenever it was said."""
    accepted = Feedback.objects.filter(
        registered_model=registered_model, status=Feedback.Status.ACCEPTED
    )
    with_snapshot = RetrainingRun.objects.filter(
        registered_model=registered_model, snapshot__isnull=False
    )
    # What came trained from elsewhere has learnt nothing from the rows that it is judged on.
    judged_only = Q(trigger=Trigger.EXTERNAL, handed_over_at=None)
    newest = with_snapshot.exclude(judged_only).order_by("-pk").first()
    # A run takes feedback up to its start; a snapshot that came out as before keeps its age.
    if newest and newest.started_at:
        accepted = accepted.filter(accepted_at__gt=newest.started_at)
    return accepted.count()


def _has_trigger(model: RegisteredModel) -> bool:
    return any(model.retrain.get(name) for name in ("schedule", "feedback"))


def _request(model: RegisteredModel, wanted: Due) -> RetrainingRun | None:
    run, created = retraining.request(
        model,
        actor=system_user("everlearn"),
        trigger=RetrainingRun.Trigger(wanted.trigger),
        reason=wanted.reason,
    )
    return run if created else None
