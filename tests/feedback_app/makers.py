"""Rows of the feedback app for tests: plain functions, each default over-ridable."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from feedback_app.models import Feedback, RetrainingRun
from models_app.actors import system_user
from models_app.models import ModelVersion, Prediction, RegisteredModel
from tests.factories import LONG

# A version that MLflow has never heard of must not take the number of one that it registers.
BEYOND_MLFLOWS = 1_000_000


def make_prediction(version: ModelVersion, **fields: Any) -> Prediction:
    """The champion takes a long leaf for an oak, and is quite sure."""
    defaults: dict[str, Any] = {
        "registered_model": version.registered_model,
        "version": version,
        "generation": 1,
        "input": LONG,
        "value": "oak",
        "probabilities": {"elm": 0.01, "oak": 0.99},
    }
    return Prediction.objects.create(**{**defaults, **fields})


def make_feedback(model: RegisteredModel, **fields: Any) -> Feedback:
    """Accepted, from a source of its own."""
    defaults: dict[str, Any] = {
        "registered_model": model,
        "features": LONG,
        "value": "oak",
        "status": Feedback.Status.ACCEPTED,
        "source": f"user:{Feedback.objects.count()}",
    }
    given = {**defaults, **fields}
    if given["status"] == Feedback.Status.ACCEPTED:
        given.setdefault("accepted_at", given.get("at", timezone.now()))
    return Feedback.objects.create(**given)


def make_run(model: RegisteredModel, **fields: Any) -> RetrainingRun:
    """Queued by the system."""
    defaults: dict[str, Any] = {
        "registered_model": model,
        "trigger": RetrainingRun.Trigger.MANUAL,
        "requested_by": system_user("everlearn"),
    }
    return RetrainingRun.objects.create(**{**defaults, **fields})


def make_running(model: RegisteredModel, **fields: Any) -> RetrainingRun:
    """Claimed by a live worker."""
    now = timezone.now()
    defaults: dict[str, Any] = {
        "status": RetrainingRun.Status.RUNNING,
        "attempts": 1,
        "started_at": now,
        "leased_until": now + timedelta(seconds=30),
    }
    return make_run(model, **{**defaults, **fields})


def make_away(model: RegisteredModel, **fields: Any) -> RetrainingRun:
    """Frozen here and handed over to a workflow, of which nothing was heard yet."""
    defaults: dict[str, Any] = {
        "trigger": RetrainingRun.Trigger.EXTERNAL,
        "handed_over_at": timezone.now(),
        "step": "workflow",
    }
    return make_running(model, **{**defaults, **fields})
