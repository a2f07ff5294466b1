"""Forget a person: what a subject was asked, answered and said goes, that it happened stays.

First everything in the database goes in one transaction, in which the erasure's row is made;
then the rows in stored snapshots. Whatever is killed meanwhile, the erasure's row says what is
left to do, and asking again goes on from there.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac

from feedback_app import snapshots
from feedback_app.durability import flushed
from feedback_app.feedback_rows import digest_said
from feedback_app.models import (
    FORGOTTEN,
    Erasure,
    Feedback,
    FeedbackReview,
    RememberedAnswer,
    RetrainingRun,
)
from feedback_app.sources import source_group
from models_app.learning.rows import digest_instance
from models_app.models import Prediction, RegisteredModel, TrainingSnapshot
from models_app.refusals import NotFound, Unavailable
from models_app.snapshot_sources import renamed

CHANGED_AT_ONCE = 500
LOOK_EVERY = 0.5


def predictions_of(subject: str, client: str = "") -> QuerySet[Prediction]:
    """What was predicted about a subject, for one client or for all.

    client: the name of an API key, or a user's. Raises NotFound when there is no such client.
    """
    found = Prediction.objects.filter(subject=subject).exclude(subject="")
    if not client:
        return found
    users = User.objects.filter(username__in=(f"key-{client}", client))
    if not users:
        raise NotFound(f"There is no client {client!r}.")
    return found.filter(client__in=users)


def refuse_unless_allowed(actor: User) -> None:
    """Raise PermissionDenied for whoever may neither export nor forget."""
    if not actor.has_perm("models_app.forget_subject"):
        raise PermissionDenied("Exporting and forgetting people needs forget_subject.")


def hash_of(subject: str) -> str:
    """What an erasure says of its subject: the same again for who asks, nothing to others."""
    return salted_hmac("feedback_app.erasing", subject, algorithm="sha256").hexdigest()


def forget(subject: str, *, actor: User, client: str = "", patience: timedelta) -> list[Erasure]:
    """Forget a subject, and finish what was begun before; the erasures that are done now.

    patience: how long to wait for runs that learn from the rows right now. Raises
    PermissionDenied, NotFound when nothing is known of the subject, and Unavailable when such a
    run goes on; then what is left is done when this is asked again.
    """
    refuse_unless_allowed(actor)
    _clear_database(subject, actor, client)
    begun = list(Erasure.objects.filter(subject_hash=hash_of(subject), finished_at=None))
    if not begun:
        raise NotFound(f"Nothing is known of {subject!r}.")
    for erasure in begun:
        finish(erasure, patience=patience)
    return begun


def forget_again(hashes: Iterable[str], *, actor: User) -> int:
    """Forget whom the hashes of earlier erasures are of, in rows that came back; how many.

    Where a run may hold rows of it, it stays unfinished. Raises PermissionDenied.
    """
    refuse_unless_allowed(actor)
    wanted = set(hashes)
    there = Prediction.objects.exclude(subject="").order_by().values_list("subject", flat=True)
    back = [subject for subject in there.distinct().iterator() if hash_of(subject) in wanted]
    for subject in back:
        with suppress(Unavailable):
            forget(subject, actor=actor, patience=timedelta(0))
    return len(back)


def _clear_database(subject: str, actor: User, client: str) -> None:
    """All or nothing; nothing when nothing is known of the subject."""
    asked = predictions_of(subject, client)
    with _overwriting(), flushed():
        ids = list(asked.select_for_update().order_by("pk").values_list("pk", flat=True))
        if not ids:
            return
        now = timezone.now()
        pending: dict[str, list[Any]] = defaultdict(list)
        words = 0
        for start in range(0, len(ids), CHANGED_AT_ONCE):
            part = ids[start : start + CHANGED_AT_ONCE]
            words += _clear_feedback(part, pending)
            Prediction.objects.filter(pk__in=part).update(
                input={}, value="", probabilities=None, subject="", forgotten_at=now
            )
        Erasure.objects.create(
            subject_hash=hash_of(subject), client=client, actor=actor, at=now,
            predictions=len(ids), feedback=words, pending=pending,
        )  # fmt: skip


@contextmanager
def _overwriting() -> Iterator[None]:
    """Have SQLite overwrite what is cleared, and not keep it in free pages and its log."""
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA secure_delete = ON")
        yield
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _clear_feedback(predictions: list[Any], pending: dict[str, list[Any]]) -> int:
    """Clear what was said about predictions; note the rows that snapshots may hold of it."""
    words = list(Feedback.objects.select_for_update().filter(prediction__in=predictions))
    _rename_sources(words)
    digests = _Digests()
    for word in words:
        rows = pending[str(word.registered_model_id)]
        rows += [row for row in map(list, digests.rows_of(word)) if row not in rows]
        if word.status != Feedback.Status.SUPERSEDED:
            word.status = Feedback.Status.REJECTED
        word.features, word.value, word.comment, word.accepted_at = {}, "", "", None
        word.public_status, word.reason_details = "", None
        # An address may be the person's own; one word a source may stand.
        word.source, word.reasons = f"forgotten:{word.pk}", [FORGOTTEN]
    fields = [
        "status", "public_status", "features", "value", "comment", "accepted_at", "source",
        "reasons", "reason_details",
    ]  # fmt: skip
    Feedback.objects.bulk_update(words, fields, batch_size=CHANGED_AT_ONCE)
    FeedbackReview.objects.filter(feedback__in=words).update(reason="")
    RememberedAnswer.objects.filter(feedback__in=words).delete()
    return len(words)


def _rename_sources(words: list[Feedback]) -> None:
    """Take addresses that may be the person's own out of what is said of training sets."""
    addresses = {name for word in words for name in (word.source, source_group(word.source))}
    gone = [name for name in addresses if name.startswith("address:")]
    models = {word.registered_model_id for word in words}
    if not gone:
        return
    about = TrainingSnapshot.objects.filter(registered_model__in=models, sources__isnull=False)
    for snapshot in about.select_for_update():
        snapshot.sources = renamed(snapshot.sources or [], gone)
        snapshot.save(update_fields=["sources"])
    runs = RetrainingRun.objects.filter(registered_model__in=models, left_out__isnull=False)
    for run in runs.select_for_update():
        left_out = dict(run.left_out or {})
        left_out["sources"] = renamed(left_out["sources"], gone)
        RetrainingRun.objects.filter(pk=run.pk).update(left_out=left_out)


def finish(erasure: Erasure, *, patience: timedelta) -> None:
    """Remove the rows of an erasure from stored snapshots. Raises Unavailable."""
    for model_id, rows in erasure.pending.items():
        _wait_for_runs(int(model_id), erasure, patience)
        wanted = {(digest, value) for digest, value in rows}
        for snapshot in TrainingSnapshot.objects.filter(
            registered_model=model_id, feedback_rows__gt=0
        ):
            _redact(snapshot, wanted)
    erasure.pending, erasure.finished_at = {}, timezone.now()
    erasure.save(update_fields=["pending", "finished_at"])


def _redact(snapshot: TrainingSnapshot, wanted: set[tuple[str, Any]]) -> None:
    """Other people's same words about the same features keep their row."""
    words, digests = Feedback.objects.filter(snapshots=snapshot), _Digests()
    fields = ("registered_model", "prediction", "features", "value", "reasons")
    kept = {
        row
        for word in words.only(*fields).iterator()
        if FORGOTTEN not in word.reasons
        for row in digests.rows_of(word)
    }
    if snapshots.redact(snapshot, wanted - kept):
        snapshot.redacted_at = timezone.now()
        snapshot.save(update_fields=["redacted_at"])


class _Digests:
    """By what the rows of feedback are told apart in stored snapshots."""

    def __init__(self) -> None:
        self.names_of: dict[int, set[tuple[str, ...]]] = {}

    def rows_of(self, word: Feedback) -> set[tuple[str, Any]]:
        """Digest and target of each row that a snapshot may hold of a word.

        Features that the model has no more are in earlier snapshots and not in later ones.
        """
        known = {name: value for name, value in word.features.items() if value is not None}
        parts = [
            {name: known[name] for name in names if name in known}
            for names in self._names(word.registered_model_id)
        ]
        digests = set(map(digest_instance, parts))
        digests |= {digest_instance(word.features), digest_said(word)}
        return {(digest, word.value) for digest in digests}

    def _names(self, model_id: int) -> set[tuple[str, ...]]:
        """The features of the model, now and of each version."""
        if model_id not in self.names_of:
            model = RegisteredModel.objects.get(pk=model_id)
            schemas = [model.features, *model.versions.values_list("features", flat=True)]
            self.names_of[model_id] = {
                tuple(feature["name"] for feature in schema) for schema in schemas
            }
        return self.names_of[model_id]


def _wait_for_runs(model_id: int, erasure: Erasure, patience: timedelta) -> None:
    """Until no run goes on that may have read the rows before they were cleared."""
    active = RetrainingRun.objects.filter(
        registered_model=model_id,
        status=RetrainingRun.Status.RUNNING,
        started_at__lte=erasure.at,
    )
    give_up = time.monotonic() + patience.total_seconds()
    while run := active.first():
        if time.monotonic() > give_up:
            raise Unavailable(
                f"The database has forgotten, but {run} may hold rows of it: ask again when it "
                "has ended."
            )
        time.sleep(LOOK_EVERY)
