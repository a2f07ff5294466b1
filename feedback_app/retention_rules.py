"""What may be deleted for its age, and what never is.

Never deleted: a prediction that any feedback refers to; feedback that stands, waits for a person
or is in a snapshot; reviews, the ledger, erasures; models, versions, snapshots, golden rows and
bundles, whether they serve or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection
from django.db.models import Exists, Model, OuterRef, Q, QuerySet

from feedback_app.models import EXPIRED, BatchJob, Feedback
from models_app.models import Prediction, RegisteredModel
from models_app.strikes import Strike
from models_app.usage import DailyUsage

Ids = Sequence[Any]
Size = Callable[[], int]
# Not settings: they are over by themselves, and nobody looks at them again.
AT_ONCE, SOON = "at once", "soon"
FIXED = {AT_ONCE: timedelta(0), SOON: timedelta(days=1)}


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of row or file that is deleted when it is old.

    setting: what of EVERLEARN_RETAIN_… says how old, or a name in FIXED. candidates: ids of what
    is older, in batches of at most the size that it asks for each time. remove: deletes those
    of some ids that may be deleted, within a transaction, and says how many those were.
    """

    kind: str
    told: str
    setting: str
    count: Callable[[datetime], int]
    candidates: Callable[[datetime, Size], Iterator[Ids]]
    remove: Callable[[Ids], int]

    @property
    def announced(self) -> bool:
        """Whether deletion is announced for a day before it begins."""
        return self.setting not in FIXED

    def kept_for(self, settings_of: Mapping[str, timedelta | None]) -> timedelta | None:
        """How long it is kept; None: for ever."""
        return FIXED[self.setting] if self.setting in FIXED else settings_of[self.setting]


def _unreferenced(predictions: QuerySet[Prediction]) -> QuerySet[Prediction]:
    return predictions.filter(~Exists(Feedback.objects.filter(prediction=OuterRef("pk"))))


def _count_predictions(before: datetime) -> int:
    return _unreferenced(Prediction.objects.filter(at__lt=before)).count()


def _old_predictions(before: datetime, size: Size) -> Iterator[Ids]:
    """By model and time, as the index has them: each row is looked at once."""
    for model in RegisteredModel.objects.all():
        old = Prediction.objects.filter(registered_model=model, at__lt=before).order_by("at", "pk")
        page = old
        while rows := list(page.values_list("at", "pk")[: size()]):
            yield [pk for _, pk in rows]
            at, pk = rows[-1]
            page = old.filter(at__gte=at).filter(Q(at__gt=at) | Q(pk__gt=pk))


def _remove_predictions(ids: Ids) -> int:
    # Locked, so that feedback which comes right now either holds the row before us, and we skip
    # it, or waits and then finds no prediction.
    held = Prediction.objects.select_for_update(of=("self",), skip_locked=True)
    free = list(_unreferenced(held.filter(pk__in=ids)).values_list("pk", flat=True))
    return _delete_rows(Prediction, free)


def _given_up() -> QuerySet[Feedback]:
    """Words that count no more and never trained anything, with their content."""
    over = Feedback.objects.filter(
        status__in=(Feedback.Status.REJECTED, Feedback.Status.SUPERSEDED)
    ).exclude(source=EXPIRED)
    trained = Feedback.snapshots.through.objects.filter(feedback=OuterRef("pk"))
    return over.filter(~Exists(trained))


def _clear_feedback(ids: Ids) -> int:
    """Clear the content; the row stays, since reviews and other words refer to it."""
    free = _given_up().select_for_update(of=("self",), skip_locked=True).filter(pk__in=ids)
    found = list(free.values_list("pk", flat=True))
    Feedback.objects.filter(pk__in=found).update(
        features={}, value="", comment="", prediction=None, reasons=[EXPIRED], source=EXPIRED
    )
    return len(found)


def _delete_rows(kind: type[Model], ids: Ids) -> int:
    """Delete rows without loading them first; the database holds to its foreign keys."""
    if ids:
        kind._default_manager.filter(pk__in=ids)._raw_delete(connection.alias)  # noqa: SLF001 - Django's
    return len(ids)


def _simple(
    table: type[Model],
    told: str,
    setting: str,
    old: Callable[[datetime], Q],
) -> Rule:
    """A whole kind of row, which nothing refers to."""

    def rows(before: datetime) -> QuerySet[Any]:
        return table._default_manager.filter(old(before))  # noqa: SLF001 - Django's API

    def candidates(before: datetime, size: Size) -> Iterator[Ids]:
        page = rows(before).order_by("pk")
        while ids := list(page.values_list("pk", flat=True)[: size()]):
            yield ids
            page = rows(before).order_by("pk").filter(pk__gt=ids[-1])

    def remove(ids: Ids) -> int:
        return _delete_rows(table, ids)

    kind = str(table._meta.verbose_name_plural)  # noqa: SLF001 - Django's API
    return Rule(kind, told, setting, lambda before: rows(before).count(), candidates, remove)


def _old_words(before: datetime, size: Size) -> Iterator[Ids]:
    # Ids of feedback sort by time, so that the oldest come first.
    old = _given_up().filter(at__lt=before).order_by("pk")
    page = old
    while ids := list(page.values_list("pk", flat=True)[: size()]):
        yield ids
        page = old.filter(pk__gt=ids[-1])


def _files(kind: str, told: str, setting: str, folder: str, pattern: str) -> Rule:
    """Files below EVERLEARN_HOME that are in use no more."""

    def old(before: datetime) -> list[Path]:
        return [
            path
            for path in sorted((Path(settings.EVERLEARN_HOME) / folder).glob(pattern))
            if not path.is_symlink() and path.is_file() and _changed(path) < before.timestamp()
        ]

    def candidates(before: datetime, _: Size) -> Iterator[Ids]:
        if paths := old(before):
            yield paths

    def remove(paths: Ids) -> int:
        for path in paths:
            path.unlink(missing_ok=True)
        return len(paths)

    return Rule(kind, told, setting, lambda before: len(old(before)), candidates, remove)


def _changed(path: Path) -> float:
    return path.stat().st_mtime


RULES = (
    # First the words, since a prediction is kept for each that refers to it.
    Rule(
        "feedback", "rejected and superseded feedback", "feedback",
        lambda before: _given_up().filter(at__lt=before).count(), _old_words, _clear_feedback,
    ),
    Rule(
        "predictions", "predictions without feedback", "predictions",
        _count_predictions, _old_predictions, _remove_predictions,
    ),
    _simple(
        BatchJob, "batch jobs that ended", "predictions",
        lambda before: Q(ended_at__lt=before, input="", parts=None),
    ),
    _simple(
        DailyUsage, "days of the use of quotas", "usage",
        lambda before: Q(day__lt=before.date()),
    ),
    # Those that grew and were put aside; a log that is written to stays.
    _files("logs", "log files that were put aside", "logs", "logs", "*.log.*"),
    _files("partial files", "files of uploads that were cut off", SOON, "storage", "**/*.partial"),
    _simple(Strike, "counts of failed logins", SOON, lambda before: Q(ends_at__lt=before)),
    _simple(Session, "logins that expired", AT_ONCE, lambda before: Q(expire_date__lt=before)),
)  # fmt: skip
