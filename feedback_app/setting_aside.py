"""Train once more without the newest feedback when rows made a training fail, and set them aside.

Feedback that came since the last training that worked is what changed. If the run works without
it, that feedback waits for a person as quarantined; if it fails again, the feedback stays as it is.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from django.db import transaction
from django.db.models import Count, QuerySet
from django.utils import timezone

from feedback_app import retraining
from feedback_app.attempt import Attempt
from feedback_app.models import Feedback, RetrainingRun
from models_app.models import TrainingSnapshot
from models_app.snapshot_sources import masked

logger = logging.getLogger(__name__)

BROKE_TRAINING = "broke_training"
CHANGED_AT_ONCE = 500
MOST_NAMED = 5
EVER = datetime(1970, 1, 1, tzinfo=UTC)

Status = RetrainingRun.Status


def leave_out_newest(attempt: Attempt, why: str) -> bool:
    """Have an attempt begin again without the feedback since the last training that worked.

    why: a code and a sentence. False, and nothing has changed, when the run has a version
    already, was tried so before, or when there is no such feedback. Raises LeaseLost.
    """
    values = _without_newest(attempt.run, why)
    if values:
        attempt.write(**values)
    return bool(values)


def retry_without_newest(run_id: int, token: int, why: str) -> bool:
    """The same for a run whose process has ended: queue it again, if it has an attempt left."""
    values = _without_newest(RetrainingRun.objects.get(pk=run_id), why)
    return bool(values) and retraining.queue_again(run_id, token, error=why, **values)


def _without_newest(run: RetrainingRun, why: str) -> dict[str, Any]:
    if run.version_id or run.feedback_until or run.handed_over_at:
        return {}
    until = _last_success(run)
    counted = _accepted(run, since=until).order_by().values_list("source")
    sources = counted.annotate(rows=Count("pk")).order_by("-rows", "source")
    if not sources:
        return {}
    named = [{"source": name, "rows": rows} for name, rows in sources]
    because = why[: retraining.LONGEST_ERROR]
    left_out = {"because": because, "sources": named}
    return {"snapshot": None, "feedback_until": until, "left_out": left_out}


def quarantine(attempt: Attempt, snapshot: TrainingSnapshot) -> None:
    """Quarantine the feedback that a run was trained without; once more changes nothing.

    Raises LeaseLost.
    """
    run = attempt.run
    if run.feedback_until is None:
        return
    with transaction.atomic():
        # First, since it locks the row of the run: an attempt without the lease changes nothing.
        attempt.progress("gate", 0, 1)
        words = list(_accepted(run, since=run.feedback_until).select_for_update())
        for word in words:
            word.status, word.accepted_at = Feedback.Status.QUARANTINED, None
            word.reasons = [*word.reasons, BROKE_TRAINING]
        fields = ["status", "accepted_at", "reasons"]
        Feedback.objects.bulk_update(words, fields, batch_size=CHANGED_AT_ONCE)
        _note(snapshot, (run.left_out or {}).get("sources", []))
    logger.warning("%s: %s rows of feedback set aside", run, len(words))


def told(run: RetrainingRun) -> str:
    """A sentence on what a run was trained without, or ""."""
    if not run.left_out:
        return ""
    named = run.left_out["sources"]
    rows = sum(one["rows"] for one in named)
    listed = ", ".join(f"{masked(one['source'])} ({one['rows']})" for one in named[:MOST_NAMED])
    more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    return (
        f"Trained without {rows} rows of feedback, because training with them failed. They came "
        f"from {listed}{more}, and wait for review with the reason {BROKE_TRAINING}. The failure "
        f"was: {run.left_out['because']}"
    )


def _last_success(run: RetrainingRun) -> datetime:
    """Up to when feedback had been in a training that gave a version."""
    runs = RetrainingRun.objects.filter(
        registered_model=run.registered_model_id, pk__lt=run.pk, version__isnull=False
    )
    # What came trained from elsewhere has learnt nothing from our rows.
    trained_here = runs.exclude(trigger=RetrainingRun.Trigger.EXTERNAL, handed_over_at=None)
    last = trained_here.exclude(started_at=None).order_by("-pk").first()
    return (last.feedback_until or last.started_at or EVER) if last else EVER


def _accepted(run: RetrainingRun, *, since: datetime) -> QuerySet[Feedback]:
    return Feedback.objects.filter(
        registered_model=run.registered_model_id,
        status=Feedback.Status.ACCEPTED,
        accepted_at__gt=since,
        accepted_at__lte=run.started_at or timezone.now(),
    )


def _note(snapshot: TrainingSnapshot, left_out: list[dict[str, Any]]) -> None:
    """Have the snapshot say what was set aside, beside what each source gave."""
    sources = {one["source"]: dict(one) for one in snapshot.sources or []}
    for one in left_out:
        sources.setdefault(one["source"], {"source": one["source"]})[BROKE_TRAINING] = one["rows"]
    snapshot.sources = list(sources.values())
    snapshot.save(update_fields=["sources"])
