"""Feedback that can no longer train, because the model was declared anew since it was given.

It is set aside with a reason that everybody may know, and counts for no trigger; when the model
takes it again, so does feedback. Decided when feedback comes, when `apply` changes a model, and for
what came meanwhile when rows are frozen. Web processes need this, so nothing here imports pandas.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from feedback_app.models import (
    FEATURES_CHANGED,
    GOLDEN_ROW,
    TARGET_CHANGED,
    Feedback,
    FeedbackReview,
)
from models_app.learning.fitting import misfitting
from models_app.models import RegisteredModel

CHANGED = (FEATURES_CHANGED, TARGET_CHANGED)
WAITS_FOR_A_PERSON = frozenset({"new_class", "review_all", "anonymous"})
FIELDS = ("status", "public_status", "reasons", "reason_details", "accepted_at")
CHANGED_AT_ONCE = 500
MOST_NAMED = 5

Status = Feedback.Status
# Accepted, or so as far as anybody but a reviewer can see.
COUNTED = Q(status=Status.ACCEPTED) | Q(public_status=Status.ACCEPTED)
# By reason what it is about: names of features, or the target that the answer was for.
Why = dict[str, list[str]]


def misfit(word: Feedback, *, target: str = "") -> Why:
    """Why a word cannot train as its model is declared now; empty when it can.

    target: what its answer is for, if that is known.
    """
    model, why = word.registered_model, Why()
    if names := misfitting(model.schema, word.features):
        why[FEATURES_CHANGED] = names[:MOST_NAMED]
    numbers = model.task == RegisteredModel.Task.REGRESSION
    if isinstance(word.value, str) == numbers or (target and target != model.target):
        why[TARGET_CHANGED] = [target or model.target]
    return why


def settle(model: RegisteredModel, *, target_before: str = "") -> int:
    """Set aside what can no longer train, and take back what can again; how many words changed.

    target_before: of the model, until it was declared anew.
    """
    standing = Feedback.objects.filter(
        registered_model=model, status__in=(Status.ACCEPTED, Status.PENDING, Status.QUARANTINED)
    )
    changed, last = 0, None
    with transaction.atomic():
        reviewed = _accepted_by_hand(model)
        while True:
            later = standing if last is None else standing.filter(pk__gt=last)
            words = list(later.select_for_update().order_by("pk")[:CHANGED_AT_ONCE])
            if not words:
                return changed
            last = words[-1].pk
            changed += _written(
                word for word in words if _settled(word, model, target_before, reviewed)
            )


def set_aside(misfits: Mapping[str, Collection[Any]]) -> None:
    """Have feedback wait that a training could not take. misfits: ids of words by reason."""
    for reason, ids in misfits.items():
        pks = list(ids)
        for first in range(0, len(pks), CHANGED_AT_ONCE):
            with transaction.atomic():
                held = Feedback.objects.select_for_update().filter(COUNTED)
                words = list(held.filter(pk__in=pks[first : first + CHANGED_AT_ONCE]))
                for word in words:
                    _wait(word, [*word.reasons, reason])
                _written(words)


def _settled(
    word: Feedback, model: RegisteredModel, target_before: str, reviewed: Collection[Any]
) -> bool:
    """Bring status and reasons in line with the model; whether that changed them."""
    word.registered_model = model
    details = dict(word.reason_details or {})
    said_for = details.get(TARGET_CHANGED, [target_before])[0]
    why = misfit(word, target=said_for)
    if set(why) == {reason for reason in word.reasons if reason in CHANGED}:
        return False
    reasons = [*(reason for reason in word.reasons if reason not in CHANGED), *why]
    kept = {reason: names for reason, names in details.items() if reason not in CHANGED}
    word.reason_details = {**kept, **why} or None
    if why:
        _wait(word, reasons)
    else:
        _take_back(word, reasons, by_hand=word.pk in reviewed)
    return True


def _wait(word: Feedback, reasons: list[str]) -> None:
    waits = word.status == Status.PENDING or WAITS_FOR_A_PERSON.intersection(reasons)
    word.status = Status.PENDING if waits else Status.QUARANTINED
    # Whatever it is about, golden or not: all such words look alike.
    word.public_status, word.accepted_at, word.reasons = "", None, reasons


def _take_back(word: Feedback, reasons: list[str], *, by_hand: bool) -> None:
    """The status that the word had, or would have, without the change of the model."""
    word.reasons, word.public_status = reasons, ""
    if by_hand or not reasons:
        word.status, word.accepted_at = Status.ACCEPTED, timezone.now()
    elif reasons == [GOLDEN_ROW]:
        word.status, word.public_status = Status.QUARANTINED, Status.ACCEPTED
    elif not WAITS_FOR_A_PERSON.intersection(reasons):
        word.status = Status.QUARANTINED


def _accepted_by_hand(model: RegisteredModel) -> frozenset[Any]:
    """The words that a person accepted last."""
    decided = FeedbackReview.objects.filter(stands__registered_model=model).order_by("pk")
    last = dict(decided.values_list("stands", "decision"))
    return frozenset(pk for pk, said in last.items() if said == FeedbackReview.Decision.ACCEPT)


def _written(words: Iterable[Feedback]) -> int:
    return Feedback.objects.bulk_update(list(words), FIELDS)
