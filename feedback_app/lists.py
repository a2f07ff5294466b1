"""Feedback that arrives as a list: each item is answered for itself, in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import PermissionDenied
from drf_standardized_errors.formatter import flatten_errors
from rest_framework.exceptions import ValidationError

from feedback_app import intake
from feedback_app.intake import MAX_WORDS, Outcome, Speaker, Word
from feedback_app.models import Feedback
from feedback_app.serializers import FeedbackRequest
from models_app.refusals import Gone, InvalidInput, NotFound, Refused, TooMuch

JsonObject = dict[str, Any]


def word_of(item: object, *, default_model: str = "") -> Word:
    """One item of a body. Raises ValidationError.

    default_model: which model features belong to when the item names none.
    """
    given = FeedbackRequest(data=item)
    given.is_valid(raise_exception=True)
    said: JsonObject = {"model": default_model} | given.validated_data
    return Word(**said)


def record_list(
    items: Sequence[object], *, speaker: Speaker, default_model: str = ""
) -> list[JsonObject]:
    """Store what can be stored and answer for each item. Raises TooMuch."""
    if len(items) > MAX_WORDS:
        raise TooMuch(f"{len(items)} items were sent, {MAX_WORDS} are allowed at a time.")
    parsed = [_word_or_errors(item, default_model) for item in items]
    words = [word for word in parsed if isinstance(word, Word)]
    reviewer, outcomes = speaker.trusted, iter(intake.record_many(words, speaker=speaker))
    return [
        {"index": index}
        | (
            _result(next(outcomes), reviewer)
            if isinstance(word, Word)
            else {"code": 400, "errors": word}
        )
        for index, word in enumerate(parsed)
    ]


def _word_or_errors(item: object, default_model: str) -> Word | list[JsonObject]:
    try:
        return word_of(item, default_model=default_model)
    except ValidationError as error:
        return [
            {"code": one.code, "detail": one.detail, "attr": one.attr}
            for one in flatten_errors(error.detail)
        ]


def _result(outcome: Outcome, reviewer: bool) -> JsonObject:
    if isinstance(outcome, Feedback):
        status = outcome.status_for(reviewer=reviewer)
        return {"code": 201, "id": outcome.pk, "status": status}
    return {"code": _status(outcome), "errors": _errors(outcome)}


def _status(outcome: Refused | PermissionDenied) -> int:
    if isinstance(outcome, PermissionDenied):
        return 403
    if isinstance(outcome, Gone):
        return 410
    return 404 if isinstance(outcome, NotFound) else 400


def _errors(outcome: Refused | PermissionDenied) -> list[JsonObject]:
    if isinstance(outcome, InvalidInput):
        return [
            {"code": one.code, "detail": one.detail, "attr": one.attr} for one in outcome.problems
        ]
    if isinstance(outcome, Refused):
        return [{"code": outcome.code, "detail": outcome.detail, "attr": outcome.attr}]
    return [{"code": "permission_denied", "detail": str(outcome), "attr": None}]
