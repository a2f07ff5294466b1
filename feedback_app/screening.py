"""Decide what becomes of feedback: accepted, waiting for a person, or quarantined."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from django.conf import settings

from feedback_app import golden
from feedback_app.models import Feedback
from models_app import serving
from models_app.learning.rows import digest_instance
from models_app.models import RegisteredModel
from models_app.refusals import Refused

CONFIDENT = 0.95

Status = Feedback.Status
Opinion = tuple[str, float]


def screen(drafts: Sequence[Feedback], *, trusted: bool) -> None:
    """Set status and reasons of feedback that is not stored yet, as the models' policies say.

    trusted: the source could accept feedback itself, so nothing that it says is suspicious.
    """
    opinions = {} if trusted else _opinions(drafts)
    for draft in drafts:
        reasons = [] if trusted else _suspicions(draft, opinions.get(draft.pk))
        draft.status, draft.reasons = _outcome(draft, reasons)


def _outcome(draft: Feedback, suspicions: list[str]) -> tuple[Feedback.Status, list[str]]:
    review = draft.registered_model.feedback.get("review", "suspicious")
    if _is_new_class(draft):
        return Status.PENDING, ["new_class", *suspicions]
    if review == "all":
        return Status.PENDING, ["review_all", *suspicions]
    if review == "suspicious" and suspicions:
        return Status.QUARANTINED, suspicions
    return Status.ACCEPTED, []


def _is_new_class(draft: Feedback) -> bool:
    champion = draft.registered_model.champion
    return champion is not None and bool(champion.classes) and draft.value not in champion.classes


def _suspicions(draft: Feedback, opinion: Opinion | None) -> list[str]:
    reasons = []
    if opinion and opinion[0] != draft.value and opinion[1] >= CONFIDENT:
        reasons.append("confident_disagreement")
    known = golden.read(draft.registered_model.golden_digest).answers
    if known and known.get(digest_instance(draft.features), draft.value) != draft.value:
        reasons.append("golden_row")
    return reasons


def _opinions(drafts: Iterable[Feedback]) -> dict[Any, Opinion]:
    """What was answered and with which probability, by the feedback's id."""
    opinions: dict[Any, Opinion] = {}
    unasked: dict[RegisteredModel, list[Feedback]] = defaultdict(list)
    for draft in drafts:
        if draft.prediction is None:
            unasked[draft.registered_model].append(draft)
        elif draft.prediction.probabilities:
            answer = draft.prediction.value
            opinions[draft.pk] = answer, draft.prediction.probabilities[answer]
    for model, words in unasked.items():
        opinions |= _ask(model, words)
    return opinions


def _ask(model: RegisteredModel, words: list[Feedback]) -> dict[Any, Opinion]:
    """The champion's opinions on features that nobody had asked it about."""
    try:
        bundle = serving.registered(model.name).bundle
    except Refused:
        return {}
    if bundle is None:
        return {}
    fitting = [
        word
        for word in words
        if next(bundle.schema.problems(word.features, "features"), None) is None
    ]
    columns = bundle.schema.columns([word.features for word in fitting])
    try:
        answers = bundle.answer(columns, within=settings.EVERLEARN_PREDICT_TIMEOUT)
    except Refused:
        return {}
    if answers.probabilities is None:
        return {}
    return {
        word.pk: (str(value), float(probabilities.max()))
        for word, value, probabilities in zip(
            fitting, answers.values, answers.probabilities, strict=True
        )
    }
