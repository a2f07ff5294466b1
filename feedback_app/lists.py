"""Feedback that arrives as a list: each item is answered for itself, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied
from drf_standardized_errors.formatter import flatten_errors
from rest_framework.exceptions import ValidationError

from feedback_app import intake
from feedback_app.intake import MAX_WORDS, Outcome, Speaker, Word
from feedback_app.models import Feedback
from feedback_app.serializers import FeedbackRequest
from models_app.learning.schema import MAX_PROBLEMS
from models_app.refusals import Gone, InvalidInput, NotFound, Refused, TooMuch

JsonObject = dict[str, Any]

# Says of an item only that it was refused, once the request has reported as many as it may.
TOO_MANY = {
    "code": "too_many_problems",
    "detail": f"Refused too; {MAX_PROBLEMS} problems are told.",
    "attr": None,
}


@dataclass(slots=True)
class Report:
    """The problems of one request, however many items it has: the first 100 are told."""

    left: int = MAX_PROBLEMS

    def of(self, errors: Sequence[JsonObject]) -> list[JsonObject]:
        """As many of one item's errors as may still be told, or that there are more."""
        told = list(errors[: self.left])
        self.left -= len(told)
        return told or [TOO_MANY]


def word_of(item: object, *, default_model: str = "") -> Word:
    """One item of a body. Raises ValidationError.

    default_model: which model features belong to when the item names none.
    """
    return _word(item, FeedbackRequest(), default_model)


def record_list(
    items: Sequence[object], *, speaker: Speaker, default_model: str = ""
) -> list[JsonObject]:
    """Store what can be stored and answer for each item. Raises TooMuch.

    Of all items together 100 problems are told; those that are refused beyond have one short
    error each.
    """
    if len(items) > MAX_WORDS:
        raise TooMuch(f"{len(items)} items were sent, {MAX_WORDS} are allowed at a time.")
    report = Report()
    # One for all items: making its fields takes longer than what they do.
    request = FeedbackRequest()
    parsed = [_word_or_errors(item, request, default_model, report) for item in items]
    words = [word for word in parsed if isinstance(word, Word)]
    outcomes = iter(intake.record_many(words, speaker=speaker, most_problems=report.left))
    reviewer = speaker.trusted
    return [
        {"index": index}
        | (
            _result(next(outcomes), report, reviewer=reviewer)
            if isinstance(word, Word)
            else {"code": 400, "errors": word}
        )
        for index, word in enumerate(parsed)
    ]


def _word(item: object, request: FeedbackRequest, default_model: str) -> Word:
    said: JsonObject = {"model": default_model} | request.run_validation(item)
    return Word(**said)


def _word_or_errors(
    item: object, request: FeedbackRequest, default_model: str, report: Report
) -> Word | list[JsonObject]:
    if not report.left and not (isinstance(item, dict) and "value" in item):
        # To find out why takes far longer than to send such an item.
        return [TOO_MANY]
    request.problems_left = report.left
    try:
        return _word(item, request, default_model)
    except ValidationError as error:
        return report.of(
            [
                {"code": one.code, "detail": one.detail, "attr": one.attr}
                for one in flatten_errors(error.detail)
            ]
        )


def _result(outcome: Outcome, report: Report, *, reviewer: bool) -> JsonObject:
    if isinstance(outcome, Feedback):
        status = outcome.status_for(reviewer=reviewer)
        return {"code": 201, "id": outcome.pk, "status": status}
    return {"code": _status(outcome), "errors": report.of(_errors(outcome))}


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
