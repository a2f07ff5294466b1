"""Decide what becomes of feedback: accepted, waiting for a person, or quarantined."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import Exists, OuterRef

from feedback_app import fitting, golden, sources
from feedback_app.models import GOLDEN_ROW, Feedback, FeedbackReview
from models_app import serving
from models_app.learning import bounds
from models_app.learning.fitting import fitted
from models_app.learning.rows import digest_instance
from models_app.models import RegisteredModel, TrainingSnapshot
from models_app.refusals import Refused

CONFIDENT = 0.95
# How often its typical error a number may lie beside what was predicted.
RESIDUAL_ERRORS = 6.0
# Whatever the error is, so far beside it may lie: a part of the width that the target may have.
RESIDUAL_FLOOR = 0.003
# In regression, while nothing at all is known of the base data.
WITHOUT_BOUNDS = {"kind": "number", "low": -1e15, "high": 1e15}
OUTSIDE = "outside_training_range"
RMSE = "neg_root_mean_squared_error"
# As many rows as a request for predictions has: more would take memory without bound.
ASKED_AT_ONCE = serving.MAX_INSTANCES

Status = Feedback.Status


class Opinion(NamedTuple):
    """What was answered, and with which probability where the model tells any."""

    answer: Any
    probability: float | None = None


@dataclass(frozen=True)
class Policy:
    """What the feedback of one model is held against; looked up once for many words."""

    model: RegisteredModel

    @property
    def review(self) -> str:
        return str(self.model.feedback.get("review", "suspicious"))

    @property
    def anonymous_waits(self) -> bool:
        """Whether a person looks at feedback without an account: nobody else looks at a version."""
        return self.model.promotion.get("mode") == "auto" and self.review != "none"

    @cached_property
    def golden(self) -> Mapping[str, Any]:
        """The right answers to the golden rows, by digest."""
        return golden.read(self.model.golden_digest).answers

    @cached_property
    def answered(self) -> str:
        """The target that the champion's answers are for; "" when nobody knows."""
        return golden.read(self.model.golden_digest).target

    @cached_property
    def bounds(self) -> dict[str, Any]:
        """The bounds of the newest base data; before any were kept, those of the golden rows."""
        kept = TrainingSnapshot.objects.filter(registered_model=self.model, bounds__isnull=False)
        found = kept.order_by("-pk").values_list("bounds", flat=True).first()
        if found is not None:
            return dict(found)
        if self.model.task != RegisteredModel.Task.REGRESSION:
            return {}
        numbers = [one for one in self.golden.values() if isinstance(one, int | float)]
        return {bounds.TARGET: bounds.number_bound(numbers) if numbers else WITHOUT_BOUNDS}

    @cached_property
    def largest_residual(self) -> float | None:
        """How far a number may lie beside what was predicted; None when no error is known."""
        champion = self.model.champion
        if champion is None or (error := champion.metrics.get(RMSE)) is None:
            return None
        target = self.bounds.get(bounds.TARGET)
        width = 0.0
        if target is not None and target is not WITHOUT_BOUNDS:
            width = target["high"] - target["low"]
        return max(RESIDUAL_ERRORS * abs(float(error)), RESIDUAL_FLOOR * width)


def screen(drafts: Sequence[Feedback], *, trusted: bool, anonymous: bool = False) -> None:
    """Set status and reasons of feedback that is not stored yet, as the models' policies say.

    trusted: the source could accept feedback itself, so only values outside of the bounds wait
    for a decision; where no review is wanted at all, only those far outside. anonymous: no account
    stands for it.
    """
    opinions = {} if trusted else _opinions(drafts)
    policies: dict[int, Policy] = {}
    for draft in drafts:
        model = draft.registered_model
        policy = policies.setdefault(model.pk, Policy(model))
        _decide(draft, policy, opinions.get(draft.pk), anonymous=anonymous)
        _note_golden(draft, policy, trusted=trusted)


def hold_anonymous(model: RegisteredModel) -> int:
    """Have anonymous feedback wait that was accepted before the model's policy wanted that.

    What a person accepted, and what a version has learnt already, stays. Returns how many wait now.
    """
    if not Policy(model).anonymous_waits:
        return 0
    reviewed = FeedbackReview.objects.filter(stands=OuterRef("pk"), decision="accept")
    accepted = Feedback.objects.filter(
        ~Exists(reviewed),
        registered_model=model,
        status=Status.ACCEPTED,
        source__startswith=sources.NETWORK,
        snapshots=None,
    )
    return accepted.update(status=Status.PENDING, reasons=["anonymous"], accepted_at=None)


def _decide(draft: Feedback, policy: Policy, opinion: Opinion | None, *, anonymous: bool) -> None:
    """The outcome that any row would have, golden or not."""
    reasons = [] if opinion is None else _disagreement(draft, opinion, policy)
    far = policy.review == "none"
    details: dict[str, list[str]] = {}
    if outside := bounds.outside(policy.bounds, draft.features, draft.value, far=far):
        reasons.append(OUTSIDE)
        details[OUTSIDE] = outside
    why = fitting.misfit(draft, target=policy.answered if draft.prediction_id else "")
    draft.reason_details = {**why, **details} or None
    if why:
        draft.status, draft.reasons = Status.QUARANTINED, [*why, *reasons]
    elif _is_new_class(draft):
        draft.status, draft.reasons = Status.PENDING, ["new_class", *reasons]
    elif policy.review == "all":
        draft.status, draft.reasons = Status.PENDING, ["review_all", *reasons]
    elif anonymous and policy.anonymous_waits:
        draft.status, draft.reasons = Status.PENDING, ["anonymous", *reasons]
    elif outside or (reasons and policy.review == "suspicious"):
        draft.status, draft.reasons = Status.QUARANTINED, reasons
    else:
        draft.status, draft.reasons = Status.ACCEPTED, []


def _note_golden(draft: Feedback, policy: Policy, *, trusted: bool) -> None:
    """Quarantine what contradicts a golden row, unseen by those who may not review.

    A status of its own would tell anybody which rows are golden, and what their answers are.
    """
    digest = digest_instance(fitted(draft.registered_model.schema, draft.features))
    draft.is_golden = digest in policy.golden
    if trusted or not draft.is_golden or policy.golden[digest] == draft.value:
        return
    if draft.status != Status.ACCEPTED:
        draft.reasons = [*draft.reasons, GOLDEN_ROW]
    elif policy.review == "suspicious":
        draft.public_status = draft.status
        draft.status, draft.reasons = Status.QUARANTINED, [GOLDEN_ROW]


def _is_new_class(draft: Feedback) -> bool:
    champion = draft.registered_model.champion
    return champion is not None and bool(champion.classes) and draft.value not in champion.classes


def _disagreement(draft: Feedback, opinion: Opinion, policy: Policy) -> list[str]:
    if draft.registered_model.task == RegisteredModel.Task.REGRESSION:
        most = policy.largest_residual
        beside = most is not None and abs(draft.value - opinion.answer) > most
        return ["large_residual"] if beside else []
    confident = opinion.probability is not None and opinion.probability >= CONFIDENT
    return ["confident_disagreement"] if confident and opinion.answer != draft.value else []


def _opinions(drafts: Iterable[Feedback]) -> dict[Any, Opinion]:
    """What was answered and with which probability, by the feedback's id."""
    opinions: dict[Any, Opinion] = {}
    unasked: dict[RegisteredModel, list[Feedback]] = defaultdict(list)
    for draft in drafts:
        if draft.prediction is None:
            unasked[draft.registered_model].append(draft)
        else:
            answer, probabilities = draft.prediction.value, draft.prediction.probabilities
            opinions[draft.pk] = Opinion(answer, (probabilities or {}).get(answer))
    for model, words in unasked.items():
        for first in range(0, len(words), ASKED_AT_ONCE):
            opinions |= _ask(model, words[first : first + ASKED_AT_ONCE])
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
    values = answers.values.tolist()
    if answers.probabilities is None:
        return {word.pk: Opinion(value) for word, value in zip(fitting, values, strict=True)}
    surest = answers.probabilities.max(axis=1).tolist()
    return {
        word.pk: Opinion(str(value), probability)
        for word, value, probability in zip(fitting, values, surest, strict=True)
    }
