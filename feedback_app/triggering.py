"""Ask for the runs that the models' policies want."""

from __future__ import annotations

import logging
from typing import Any

from django.db.models import Q
from django.utils import timezone

from feedback_app import retraining
from feedback_app.models import Feedback, RetrainingRun, SourceLook
from models_app.actors import system_user
from models_app.learning.triggers import (
    Due,
    Observed,
    SourceState,
    due,
    passes_over,
    waits_for_look,
)
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
            known = observed(model)
            wanted = due(model.retrain, known)
            if wanted is None:
                _note_slot(model, known)
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
    newest = _newest_with_snapshot(registered_model)
    version = newest.version if newest else None
    look = SourceLook.objects.filter(registered_model=registered_model).first() or SourceLook()
    considered_at = last.created_at if last else registered_model.created_at
    return Observed(
        now=timezone.now(),
        feedback=feedback_since_last_snapshot(registered_model),
        considered_at=max(considered_at, look.passed_over_at or considered_at),
        last_ended_at=last_ended.ended_at if last_ended else None,
        learnt_from=_state(newest.source if newest else None),
        outdated=version is None or version.recipe != registered_model.recipe,
        seen=_state(look.found),
        seen_at=look.at,
        waiting_since=look.waiting_since,
    )


def feedback_since_last_snapshot(registered_model: RegisteredModel) -> int:
    """Feedback accepted after the newest snapshot's rows were chosen, whenever it was said.

    Without what is about golden rows, on which no version trains.
    """
    accepted = Feedback.objects.filter(
        registered_model=registered_model, status=Feedback.Status.ACCEPTED, is_golden=False
    )
    newest = _newest_with_snapshot(registered_model)
    # A run takes feedback up to its start; a snapshot that came out as before keeps its age.
    if newest and newest.started_at:
        accepted = accepted.filter(accepted_at__gt=newest.started_at)
    return accepted.count()


def _newest_with_snapshot(registered_model: RegisteredModel) -> RetrainingRun | None:
    runs = RetrainingRun.objects.filter(registered_model=registered_model, snapshot__isnull=False)
    # What came trained from elsewhere has learnt nothing from the rows that it is judged on.
    judged_only = Q(trigger=Trigger.EXTERNAL, handed_over_at=None)
    return runs.exclude(judged_only).select_related("version").order_by("-pk").first()


def _state(kept: dict[str, Any] | None) -> SourceState | None:
    return SourceState(**kept) if kept else None


def _has_trigger(model: RegisteredModel) -> bool:
    return any(model.retrain.get(name) for name in ("schedule", "feedback", "new_rows"))


def _note_slot(model: RegisteredModel, known: Observed) -> None:
    """Remember of a slot of the schedule that it waits for a look, or found nothing new."""
    if passes_over(model.retrain, known):
        logger.info("%s: its schedule came round with no new data and no new feedback", model)
        SourceLook.objects.filter(registered_model=model).update(passed_over_at=known.now)
    elif known.waiting_since is None and waits_for_look(model.retrain, known):
        SourceLook.objects.update_or_create(
            registered_model=model, defaults={"waiting_since": known.now}
        )


def _request(model: RegisteredModel, wanted: Due) -> RetrainingRun | None:
    run, created = retraining.request(
        model,
        actor=system_user("everlearn"),
        trigger=RetrainingRun.Trigger(wanted.trigger),
        reason=wanted.reason,
    )
    return run if created else None
