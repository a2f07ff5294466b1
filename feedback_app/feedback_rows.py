"""The rows that accepted feedback gives a training set, and how much of it each source gave."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Q

from feedback_app.models import FEATURES_CHANGED, TARGET_CHANGED, Feedback, FeedbackReview
from feedback_app.screening import OUTSIDE
from feedback_app.sources import source_group
from feedback_app.training_rows import HELD_OUT, TRAIN, Row
from models_app.learning.fitting import fitted, misfitting
from models_app.learning.kinds import LONGEST_TEXT
from models_app.learning.rows import digest_instance
from models_app.learning.source_shares import TRUSTED, held_out, within_share
from models_app.models import RegisteredModel
from models_app.snapshot_sources import listed

HELD_OUT_SHARE = 0.3
MAX_SHARE_PER_SOURCE = 0.2
# Versions compute in float32, where the square of anything larger is infinite.
LARGEST = 1e18
# Targets so many ranges of the base data outside of it are no longer believed, without a person.
TARGET_RANGES = 10


@dataclass(slots=True)
class Contribution:
    """What one source gave to a snapshot, in rows.

    offered: accepted rows that could train, golden ones left out. reviewed: of these, accepted by
    a person or said by a source that may review. kept: within the source's share; trained and
    judged are its parts. unusable: rows that no training can use. weight: its part of the weight
    of all training rows, 0 to 1.
    """

    source: str
    offered: int = 0
    reviewed: int = 0
    kept: int = 0
    trained: int = 0
    judged: int = 0
    unusable: int = 0
    weight: float = 0.0


@dataclass(frozen=True, slots=True)
class Given:
    """The kept rows of feedback, oldest first, and what each source contributed.

    misfits: ids of the accepted words that no training can take, by the reason to give.
    """

    rows: list[Row]
    contributions: list[Contribution]
    misfits: dict[str, list[Any]]


def given(
    model: RegisteredModel,
    *,
    up_to: datetime,
    base: Sequence[Row],
    classes: Collection[str],
    golden: Collection[str],
    seen: Collection[str] | None,
) -> Given:
    """The feedback accepted `up_to` a moment, each source within its share.

    base: the base rows that are not golden. classes: of all base rows. golden: digests of the
    golden rows, which no feedback may train. seen: digests that the champion trained on; None
    without a champion, and then nothing is held out.
    """
    offer = _Offer(model, base, classes)
    offer.take(_accepted(model, up_to))
    rows = [row for row in offer.rows.values() if not row.is_among(golden)]
    share = model.feedback.get("max_share_per_source", MAX_SHARE_PER_SOURCE)
    weight = model.feedback.get("weight", 1.0)
    others = len(base) / weight if weight > 0 else 0.0
    mask = within_share(_sources(rows), others=others, share=share)
    kept = [row for row, is_kept in zip(rows, mask, strict=True) if is_kept]
    _hold_out(kept, golden, seen, share)
    _count(offer.noted, rows, kept)
    contributions = sorted(offer.noted.values(), key=lambda one: (-one.kept, -one.offered))
    return Given(kept, contributions, offer.misfits)


def digest_said(word: Feedback) -> str:
    """What tells feedback from other rows where rows repeat: which prediction it is about.

    Without one each word is an observation of its own.
    """
    return hashlib.sha256(f"feedback {word.prediction_id or word.pk}".encode()).hexdigest()


def weighed(contributions: Iterable[Contribution], rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The contributions as a snapshot keeps them, with each one's part of the training weight."""
    total, by_source = 0.0, dict[str, float]()
    for row in rows:
        if row.role == TRAIN:
            total += row.weight
            by_source[row.source] = by_source.get(row.source, 0.0) + row.weight
    found = list(contributions)
    for one in found:
        one.weight = by_source.get(one.source, 0.0) / total if total else 0.0
    return listed(asdict(one) for one in found)


class _Offer:
    """One row for each instance and answer, of the source that said it first.

    Where base rows repeat few instances, one for each prediction and answer instead.
    """

    def __init__(
        self, model: RegisteredModel, base: Sequence[Row], classes: Collection[str]
    ) -> None:
        self.schema, self.classes = model.schema, classes
        self.weight = model.feedback.get("weight", 1.0)
        self.repeated = any(row.repeats for row in base)
        self.trusted, self.fits = _Trusted.of(model), _Fits(model, base)
        self.rows: dict[tuple[str, Any], Row] = {}
        self.noted: dict[str, Contribution] = defaultdict(lambda: Contribution(""))
        self.misfits: dict[str, list[Any]] = defaultdict(list)

    def take(self, words: Iterable[Feedback]) -> None:
        """Make the rows of words, oldest first."""
        for word in words:
            reviewed = self.trusted.stands_for(word)
            if reason := self.fits.fault(word, trusted=reviewed):
                self._leave_out(word, reason)
            elif word.status == Feedback.Status.ACCEPTED:
                self._add(word, reviewed)
        self._leave_out_lost_classes()

    def _add(self, word: Feedback, reviewed: bool) -> None:
        instance, source = fitted(self.schema, word.features), source_group(word.source)
        repeats = digest_instance(instance) if self.repeated else ""
        digest = digest_said(word) if self.repeated else digest_instance(instance)
        row = self.rows.get((digest, word.value))
        if row is None:
            row = Row(instance, word.value, digest, self.weight, [], source=source, repeats=repeats)
        elif row.source == source:
            # Said again it is new again.
            del self.rows[digest, word.value]
        row.feedback.append(word.pk)
        row.trusted |= reviewed
        self.rows[digest, word.value] = row

    def _leave_out(self, word: Feedback, reason: str) -> None:
        self.misfits[reason].append(word.pk)
        if word.status == Feedback.Status.ACCEPTED:
            _noted(self.noted, source_group(word.source)).unusable += 1

    def _leave_out_lost_classes(self) -> None:
        """A class that neither base data nor a person stands for is as good as never seen."""
        known = {*self.classes, *(row.target for row in self.rows.values() if row.trusted)}
        lost = [key for key, row in self.rows.items() if isinstance(row.target, str)]
        for key in lost:
            if key[1] not in known:
                row = self.rows.pop(key)
                self.misfits["new_class"] += row.feedback
                _noted(self.noted, row.source).unusable += len(row.feedback)


def _accepted(model: RegisteredModel, up_to: datetime) -> Iterable[Feedback]:
    """What may train, and what those who may not review take for it, oldest first."""
    counted = Q(status=Feedback.Status.ACCEPTED, accepted_at__lte=up_to)
    words = Feedback.objects.filter(
        counted | Q(public_status=Feedback.Status.ACCEPTED), registered_model=model
    ).order_by("at", "pk")
    fields = ("pk", "source", "given_by", "features", "value", "status", "prediction_id")
    return words.only(*fields)


@dataclass(frozen=True, slots=True)
class _Trusted:
    """For which words a person stands: accepted by hand, or said by those who may accept."""

    reviewed: frozenset[Any]
    users: frozenset[int]

    @classmethod
    def of(cls, model: RegisteredModel) -> _Trusted:
        accepted = FeedbackReview.objects.filter(
            feedback__registered_model=model, decision=FeedbackReview.Decision.ACCEPT
        )
        said = Feedback.objects.filter(registered_model=model, given_by__isnull=False)
        # As of now: what a key said that was revoked since is no longer taken on trust.
        users = User.objects.filter(pk__in=said.order_by().values("given_by").distinct())
        may = (user.pk for user in users if user.has_perm("feedback_app.review_feedback"))
        return cls(frozenset(accepted.values_list("stands_id", flat=True)), frozenset(may))

    def stands_for(self, word: Feedback) -> bool:
        return word.pk in self.reviewed or word.given_by_id in self.users


class _Fits:
    """Whether a word can train: the schema still fits, and a float32 can hold what it says."""

    def __init__(self, model: RegisteredModel, base: Sequence[Row]) -> None:
        self.schema = model.schema
        texts = (v for row in base for v in row.instance.values() if isinstance(v, str))
        self.longest = max([LONGEST_TEXT, *(2 * len(text) for text in texts)])
        self.low, self.high = -LARGEST, LARGEST
        self.numbers = model.task == RegisteredModel.Task.REGRESSION
        if self.numbers and base:
            targets = [float(row.target) for row in base]
            reach = TARGET_RANGES * (max(targets) - min(targets))
            self.low, self.high = min(targets) - reach, max(targets) + reach

    def fault(self, word: Feedback, *, trusted: bool) -> str:
        """The reason why a word cannot train; "" when it can."""
        if misfitting(self.schema, word.features):
            return FEATURES_CHANGED
        if isinstance(word.value, str) == self.numbers:
            return TARGET_CHANGED
        texts = (value for value in word.features.values() if isinstance(value, str))
        if any(len(text) > self.longest for text in texts):
            return OUTSIDE
        return "" if isinstance(word.value, str) or self._within(word.value, trusted) else OUTSIDE

    def _within(self, value: float, trusted: bool) -> bool:
        low, high = (-LARGEST, LARGEST) if trusted else (self.low, self.high)
        return math.isfinite(value) and low <= value <= high


def _sources(rows: Iterable[Row]) -> list[str]:
    return [TRUSTED if row.trusted else row.source for row in rows]


def _hold_out(
    kept: Sequence[Row], golden: Collection[str], seen: Collection[str] | None, share: float
) -> None:
    """Give the rows that judge their role: of what the champion has not seen."""
    fresh = [] if seen is None else [row for row in kept if row.digest not in seen]
    mask = held_out(_sources(fresh), part=HELD_OUT_SHARE, golden_rows=len(golden), share=share)
    digests = {row.digest for row, is_held in zip(fresh, mask, strict=True) if is_held}
    for row in kept:
        row.role = HELD_OUT if row.digest in digests else TRAIN


def _count(noted: dict[str, Contribution], rows: Iterable[Row], kept: Iterable[Row]) -> None:
    for row in rows:
        one = _noted(noted, row.source)
        one.offered += 1
        one.reviewed += row.trusted
    for row in kept:
        one = _noted(noted, row.source)
        one.kept += 1
        one.trained += row.role == TRAIN
        one.judged += row.role == HELD_OUT


def _noted(noted: dict[str, Contribution], source: str) -> Contribution:
    one = noted[source]
    one.source = source
    return one
