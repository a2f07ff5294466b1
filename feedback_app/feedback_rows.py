"""The rows that accepted feedback gives a training set, and how much of it each source gave."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User

from feedback_app.models import Feedback, FeedbackReview
from feedback_app.sources import source_group
from feedback_app.training_rows import HELD_OUT, TRAIN, Row
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
    """The kept rows of feedback, oldest first, and what each source contributed."""

    rows: list[Row]
    contributions: list[Contribution]


def given(
    model: RegisteredModel,
    *,
    up_to: datetime,
    base: Sequence[Row],
    golden: Collection[str],
    seen: Collection[str] | None,
) -> Given:
    """The feedback accepted `up_to` a moment, each source within its share.

    base: the base rows that are not golden. golden: digests of the golden rows, which no
    feedback may train. seen: digests that the champion trained on; None without a champion, and
    then nothing is held out.
    """
    noted: dict[str, Contribution] = defaultdict(lambda: Contribution(""))
    offered = list(_offered(model, up_to, base, noted))
    rows = [row for row in offered if row.digest not in golden]
    share = model.feedback.get("max_share_per_source", MAX_SHARE_PER_SOURCE)
    weight = model.feedback.get("weight", 1.0)
    others = len(base) / weight if weight > 0 else 0.0
    mask = within_share(_sources(rows), others=others, share=share)
    kept = [row for row, is_kept in zip(rows, mask, strict=True) if is_kept]
    _hold_out(kept, golden, seen, share)
    _count(noted, rows, kept)
    return Given(kept, sorted(noted.values(), key=lambda one: (-one.kept, -one.offered)))


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


def _offered(
    model: RegisteredModel,
    up_to: datetime,
    base: Sequence[Row],
    noted: dict[str, Contribution],
) -> Iterator[Row]:
    """One row for each instance and answer, of the source that said it first."""
    trusted, fits = _Trusted.of(model), _Fits(model, base)
    weight = model.feedback.get("weight", 1.0)
    rows: dict[tuple[str, Any], Row] = {}
    for word in _accepted(model, up_to):
        reviewed = trusted.stands_for(word)
        if not fits(word, reviewed):
            _noted(noted, source_group(word.source)).unusable += 1
            continue
        digest, source = digest_instance(word.features), source_group(word.source)
        row = rows.get((digest, word.value))
        if row is None:
            row = Row(word.features, word.value, digest, weight, [], source=source)
        elif row.source == source:
            # Said again it is new again.
            del rows[digest, word.value]
        row.feedback.append(word.pk)
        row.trusted |= reviewed
        rows[digest, word.value] = row
    yield from rows.values()


def _accepted(model: RegisteredModel, up_to: datetime) -> Iterable[Feedback]:
    words = Feedback.objects.filter(
        registered_model=model, status=Feedback.Status.ACCEPTED, accepted_at__lte=up_to
    ).order_by("at", "pk")
    return words.only("pk", "source", "given_by", "features", "value")


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
        if model.task == RegisteredModel.Task.REGRESSION and base:
            targets = [float(row.target) for row in base]
            reach = TARGET_RANGES * (max(targets) - min(targets))
            self.low, self.high = min(targets) - reach, max(targets) + reach

    def __call__(self, word: Feedback, trusted: bool) -> bool:
        if next(self.schema.problems(word.features, "features"), None) is not None:
            return False
        texts = (value for value in word.features.values() if isinstance(value, str))
        if any(len(text) > self.longest for text in texts):
            return False
        if isinstance(word.value, str):
            return True
        if not isinstance(word.value, int | float) or not math.isfinite(word.value):
            return False
        low, high = (-LARGEST, LARGEST) if trusted else (self.low, self.high)
        return low <= word.value <= high


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
