"""A person's decision on feedback: it may train, perhaps with another answer, or it may not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from feedback_app.durability import flushed
from feedback_app.fitting import MOST_NAMED
from feedback_app.intake import answer_as_stored, hold_predictions
from feedback_app.models import EXPIRED, FEATURES_CHANGED, Feedback, FeedbackReview
from models_app.learning.fitting import misfitting
from models_app.learning.schema import Problem
from models_app.refusals import Conflict, Gone, InvalidInput

Decision = Literal["accept", "reject"]
Status = Feedback.Status

ENDS_AS = {"accept": Status.ACCEPTED, "reject": Status.REJECTED}


def may_review(user: User | AnonymousUser) -> bool:
    """Whether a user may review feedback, and so see why it waits."""
    return user.has_perm("feedback_app.review_feedback")


def review(
    feedback: Feedback, *, actor: User, decision: Decision, reason: str, value: object = None
) -> Feedback:
    """Accept or reject one word of feedback, and return the word that stands now.

    value: the right answer, when the word is worth keeping but wrong; the word then gives way
    to another of the same source that says so. What has been decided so already stays as it is.
    Raises PermissionDenied, InvalidInput, Conflict for a word that another superseded, and Gone
    for one that was forgotten.
    """
    (reviewed,) = review_many(
        [feedback], actor=actor, decision=decision, reason=reason, value=value
    )
    return reviewed


def review_many(
    words: Sequence[Feedback],
    *,
    actor: User,
    decision: Decision,
    reason: str,
    value: object = None,
) -> list[Feedback]:
    """`review` each of them, or none: one refusal leaves all as they were."""
    if not may_review(actor):
        raise PermissionDenied("Reviewing feedback needs review_feedback.")
    if value is not None and decision != "accept":
        detail = "A corrected value goes with accept; what is rejected has none."
        raise InvalidInput([Problem("value", "unexpected", detail)])
    with flushed():
        hold_predictions(word.prediction_id for word in words)
        held = Feedback.objects.select_for_update(of=("self",)).select_related("registered_model")
        found = held.filter(pk__in=[word.pk for word in words]).order_by("pk")
        return [_review(word, actor, decision, reason, value) for word in found]


def _review(
    word: Feedback, actor: User, decision: Decision, reason: str, value: object
) -> Feedback:
    before = word.status
    if EXPIRED in word.reasons:
        raise Gone(f"The content of {word} is no longer kept.")
    if before == Status.SUPERSEDED:
        detail = f"{word} no longer counts: a later word took its place."
        raise Conflict(detail, code="feedback_superseded")
    said = word.value if value is None else answer_as_stored(word.registered_model, value)
    if decision == "accept":
        # An earlier release stored numbers that no version can compute with.
        answer_as_stored(word.registered_model, said)
        _refuse_misfit(word)
    if said == word.value and before == ENDS_AS[decision]:
        return word
    stands = _decide(word, decision) if said == word.value else _correct(word, said)
    FeedbackReview.objects.create(
        feedback=word,
        stands=stands,
        decision=decision,
        previous_status=before,
        reviewer=actor,
        reason=reason,
    )
    return stands


def _refuse_misfit(word: Feedback) -> None:
    """Raise Conflict for features that the model takes no more: no version could learn them."""
    if names := misfitting(word.registered_model.schema, word.features):
        detail = (
            f"{word} cannot train: since it was given, {word.registered_model} was declared with "
            f"other features, and it does not fit {', '.join(names[:MOST_NAMED])}. Reject it, or "
            "make what is missing optional and apply that."
        )
        raise Conflict(detail, code=FEATURES_CHANGED)


def _decide(word: Feedback, decision: Decision) -> Feedback:
    word.status = ENDS_AS[decision]
    # From now on, however long ago it was said, it counts as new to the next training.
    word.accepted_at = timezone.now() if decision == "accept" else None
    word.save(update_fields=["status", "accepted_at"])
    return word


def _correct(word: Feedback, said: str | float) -> Feedback:
    """Another word in the place of `word`, for whose source it still counts."""
    corrected = Feedback(
        registered_model=word.registered_model,
        prediction_id=word.prediction_id,
        features=word.features,
        value=said,
        status=Status.ACCEPTED,
        comment=word.comment,
        source=word.source,
        is_golden=word.is_golden,
        given_by_id=word.given_by_id,
        accepted_at=timezone.now(),
    )
    word.status, word.superseded_by, word.public_status = Status.SUPERSEDED, corrected, ""
    # The old word first: only one of a source may stand at any moment.
    word.save(update_fields=["status", "superseded_by", "public_status"])
    corrected.save(force_insert=True)
    return corrected
