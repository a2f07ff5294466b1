"""Predict files of rows in the background.

A job is a row, and goes on where it was left, whoever was killed: the predictions of some rows,
the file with their answers and how far the job is are committed together, or none of them is.
One job is worked on at a time, for a while; then it is the next one's turn.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from itertools import chain, islice
from typing import IO, Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.files.base import ContentFile, File
from django.core.files.storage import default_storage
from django.db import DatabaseError, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from feedback_app import batch_files, queueing
from feedback_app.batch_bodies import PIECE, UTF_8, checked_pieces
from feedback_app.batch_files import Row
from feedback_app.batch_results import Results
from feedback_app.models import BatchJob, BatchPart
from models_app import previewing, quotas, serving, storing
from models_app.following import Served
from models_app.learning.schema import Problem, Schema
from models_app.models import RegisteredModel
from models_app.quota import Quota
from models_app.quotas import Consumer
from models_app.refusals import Conflict, ModelFailed, NotReady, Refused, Unavailable
from models_app.usage import tracker

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=20)
# Reading a long file to where it was left takes a while too.
RENEW_EVERY = 5000  # rows
TURN = 30.0
CHUNK, LARGEST_CHUNK = 500, 4 * 2**20  # rows, and characters of all of them
MAX_ATTEMPTS = 5
LONGEST_ERROR = 1000
UNFORESEEN = "The job stopped at an unexpected error. The worker's log says more."

Status = BatchJob.Status


class LeaseLost(Exception):
    """The job was cancelled or is another worker's; nothing may be written any more."""


class Body(File[bytes]):
    """A body on its way to storage, looked at piece by piece.

    received: how many bytes came so far. Raises QuotaExceeded for more than its sender may store.
    """

    def __init__(self, pieces: Iterator[bytes], consumer: Consumer) -> None:
        super().__init__(None, name="rows")
        self.received = 0
        self._consumer = consumer
        self._pieces = pieces

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        for piece in self._pieces:
            self.received += len(piece)
            quotas.refuse_beyond(self._consumer, Quota(stored_bytes=self.received))
            yield piece


def submit(served: Served, stream: IO[bytes], *, form: BatchJob.Format, actor: User) -> BatchJob:
    """Store the rows and queue a job for them, answered by the version that serves now.

    Raises PermissionDenied, NotReady, InvalidInput and QuotaExceeded; then nothing is stored. The
    rows use the actor's quota as they are answered: a job with more than are left fails.
    """
    if not actor.has_perm("models_app.predict_registeredmodel"):
        raise PermissionDenied("Predicting a file needs predict_registeredmodel.")
    if served.bundle is None:
        raise NotReady(f"Nothing serves '{served.name}' yet: no version was promoted.")
    consumer = Consumer.account_of(actor)
    quotas.refuse_beyond(consumer, Quota(rows=1))
    job = BatchJob(
        registered_model_id=served.model_id,
        version_id=served.version_id,
        generation=served.generation,
        requested_by=actor,
        format=form,
    )
    body = Body(_checked(job, stream, served.bundle.schema), consumer)
    job.input = default_storage.save(f"batches/{job.pk}/rows.{form}", body)
    try:
        with quotas.spending(consumer, Quota(stored_bytes=body.received)):
            _queue(job)
    except BaseException:
        default_storage.delete(job.input)
        raise
    return job


def _checked(job: BatchJob, stream: IO[bytes], schema: Schema) -> Iterator[bytes]:
    """The pieces of a body as they are stored; of a CSV file the job learns the header at once."""
    head = stream.read(PIECE)
    if job.format != BatchJob.Format.CSV:
        return checked_pieces(stream, head)
    reading = _reading_of(job.registered_model_id)
    pieces = checked_pieces(stream, head, encoding=reading.get("encoding") or UTF_8)
    first = next(pieces)
    if first.strip():
        header = batch_files.header_of(
            first, schema, separator=reading.get("separator") or ",", cut=len(head) == PIECE
        )
        job.columns, job.separator = list(header.names), header.separator
    return chain([first], pieces)


def _reading_of(model_id: int) -> dict[str, Any]:
    """How the file that a model learns from is written; nothing of one that pandas reads."""
    reading: dict[str, Any] = RegisteredModel.objects.values_list("reading", flat=True).get(
        pk=model_id
    )
    return reading


def _queue(job: BatchJob) -> None:
    with storing.writing(), transaction.atomic():
        job.save(force_insert=True)
        # Should the message fail, the next pulse finds the job.
        transaction.on_commit(partial(queueing.wake_batch, job.pk), robust=True)


def cancel(job: BatchJob, *, actor: User) -> BatchJob:
    """End a job that is queued or running; what was predicted stays in the log.

    Raises PermissionDenied, and Conflict for a job that ended otherwise.
    """
    if job.requested_by_id != actor.pk and not actor.has_perm("models_app.change_registeredmodel"):
        raise PermissionDenied("Only whoever asked for a job may cancel it.")
    _end(BatchJob.objects.filter(pk=job.pk, status__in=BatchJob.ACTIVE), Status.CANCELLED)
    job.refresh_from_db()
    if job.status != Status.CANCELLED:
        raise Conflict(f"The job has ended already: {job.status}.", code="job_ended")
    return job


def next_job() -> BatchJob | None:
    """The job whose turn it is, unless one is being worked on."""
    jobs = BatchJob.objects.filter(status__in=BatchJob.ACTIVE).defer("columns")
    active = list(jobs.order_by("turn_at", "pk"))
    now = timezone.now()
    if any(job.leased_until is not None and job.leased_until >= now for job in active):
        return None
    return active[0] if active else None


def claim(job_id: UUID) -> BatchJob | None:
    """Take a job for this worker; None when it is not free or another is being worked on."""
    fail_spent()
    now = timezone.now()
    free = Q(leased_until=None) | Q(leased_until__lt=now)
    with transaction.atomic():
        # Locked, so that two workers do not each find no other at work.
        waiting = BatchJob.objects.select_for_update().defer("columns")
        active = waiting.filter(status__in=BatchJob.ACTIVE)
        if any(job.leased_until is not None and job.leased_until >= now for job in active):
            return None
        taken = BatchJob.objects.filter(free, pk=job_id, status__in=BatchJob.ACTIVE).update(
            status=Status.RUNNING,
            started_at=Coalesce("started_at", now),
            leased_until=now + _lease(),
            token=F("token") + 1,
            # Counted before work begins, since a killed worker cannot report.
            attempts=F("attempts") + 1,
        )
    jobs = BatchJob.objects.select_related("registered_model", "version", "requested_by")
    return jobs.get(pk=job_id) if taken else None


def carry_out(job: BatchJob) -> str:
    """Work on a claimed job until it is done or its turn is over; a sentence for the log."""
    try:
        _refuse_ended(job)
        _advance(job)
    except LeaseLost:
        return f"{job}: its lease was lost"
    except (Unavailable, DatabaseError) as error:
        # The database is busy or away: that is nothing the job can help, nor is it tried out.
        _release(job, f"waits: {error}", attempts=F("attempts") - 1)
    except OSError as error:
        logger.warning("%s waits for the storage: %s", job, error)
        _release(job, f"storage: {error.strerror or 'a file could not be read or written'}")
    except Refused as refusal:
        _end(_held(job), Status.FAILED, f"{refusal.code}: {refusal.detail}")
    except Exception:
        logger.exception("%s failed", job)
        _end(_held(job), Status.FAILED, UNFORESEEN)
    job.refresh_from_db()
    return f"{job}: {job.status}, {job.done} of {job.total}"


def fail_spent() -> None:
    """Fail the jobs whose worker was lost again and again without getting a row further."""
    lost = BatchJob.objects.filter(status=Status.RUNNING, leased_until__lt=timezone.now())
    spent = lost | BatchJob.objects.filter(status=Status.QUEUED)
    why = f"worker_lost: tried {MAX_ATTEMPTS} times without getting any further"
    _end(spent.filter(attempts__gte=MAX_ATTEMPTS), Status.FAILED, why)


def purge() -> None:
    """Delete the files of jobs that ended long ago; the jobs and predictions stay."""
    kept_for = settings.EVERLEARN_RETAIN["batches"]
    if kept_for is None:
        return
    old = BatchJob.objects.filter(ended_at__lt=timezone.now() - kept_for).exclude(input="")
    for job in old[:10]:
        for name in (job.input, *job.parts.values_list("file", flat=True)):
            default_storage.delete(name)
        job.parts.all().delete()
        BatchJob.objects.filter(pk=job.pk).update(input="", columns=[])


def result_of(job: BatchJob) -> Iterator[bytes]:
    """The file of answers, piece by piece. Raises Conflict unless the job succeeded."""
    if job.status != Status.SUCCEEDED or not job.input:
        raise Conflict(
            "The job has no result: it is not done, or was too long ago.", code="no_result"
        )
    return _pieces(job)


def _pieces(job: BatchJob) -> Iterator[bytes]:
    yield _results(job).head
    for name in job.parts.values_list("file", flat=True).iterator():
        with default_storage.open(name) as file:
            yield file.read()


def _results(job: BatchJob) -> Results:
    return Results(job.format, job.version.classes, job.columns, job.separator)


def _refuse_ended(job: BatchJob) -> None:
    if job.registered_model.retired_at is None and job.requested_by.is_active:
        return
    _end(_held(job), Status.CANCELLED, "The model was retired, or the account is inactive.")
    raise LeaseLost


def _advance(job: BatchJob) -> None:
    served = previewing.as_served(job.version, generation=job.generation)
    assert served.bundle is not None  # noqa: S101 - as_served raises without one
    schema, began = served.bundle.schema, time.monotonic()
    # Whoever lost the job meanwhile is told so, and not that its file is gone.
    _write(job, leased_until=timezone.now() + _lease())
    if not job.total:
        with default_storage.open(job.input) as file:
            job.total = sum(1 for _ in _renewing(job, file, schema))
        _write(job, total=job.total)
    # Before the first row, so that no client waits for half of a file.
    consumer = Consumer.account_of(job.requested_by)
    quotas.refuse_beyond(consumer, Quota(rows=job.total - job.done))
    with default_storage.open(job.input) as file:
        waiting = islice(_renewing(job, file, schema), job.done, None)
        for chunk in _chunks(waiting):
            _predict(job, served, chunk)
            # No thread of this process does so.
            tracker.sync()
            if time.monotonic() - began > TURN:
                _release(job, "")
                return
    _end(_held(job), Status.SUCCEEDED)
    # What was asked is in the log now, where it can be forgotten.
    default_storage.delete(job.input)


def _renewing(job: BatchJob, file: IO[bytes], schema: Schema) -> Iterator[Row]:
    """The rows of the job's file; the lease is kept while they are read."""
    rows = batch_files.rows(file, job.format, schema, separator=job.separator)
    for number, row in enumerate(rows, 1):
        if number % RENEW_EVERY == 0:
            _write(job, leased_until=timezone.now() + _lease())
        yield row


def _chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The rows, some at a time: fewer of long ones, as they are in memory several times."""
    chunk: list[Row] = []
    size = 0
    for row in rows:
        chunk.append(row)
        size += row.size
        if len(chunk) == CHUNK or size > LARGEST_CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _predict(job: BatchJob, served: Served, rows: Sequence[Row]) -> None:
    """Answer some rows; those that the model answers with nonsense are found by halving."""
    keep = partial(_keep, job, rows)
    good = [row.instance for row in rows if not row.problems]
    if not good:
        with storing.writing(), transaction.atomic():
            keep([])
        return
    try:
        serving.predict_rows(served, good, client=job.requested_by, keep=keep)
    except ModelFailed as failure:
        if len(rows) == 1:
            rows[0].problems.append(Problem("", failure.code, failure.detail))
            _predict(job, served, rows)
            return
        _predict(job, served, rows[: len(rows) // 2])
        _predict(job, served, rows[len(rows) // 2 :])


def _keep(job: BatchJob, rows: Sequence[Row], predictions: Sequence[dict[str, Any]]) -> None:
    """Store the answers to some rows, within the transaction that logs them."""
    content = _results(job).part(rows, predictions)
    # Named by the token too: whoever lost the lease overwrites nothing.
    name = f"batches/{job.pk}/{job.done:010}-{job.token}.{job.format}"
    stored = default_storage.save(name, ContentFile(content))
    try:
        BatchPart.objects.create(job=job, first=job.done, file=stored)
        _write(job, done=job.done + len(rows), attempts=0, leased_until=timezone.now() + _lease())
    except BaseException:
        default_storage.delete(stored)
        raise
    job.done += len(rows)


def _write(job: BatchJob, **values: Any) -> None:
    if not _held(job).update(**values):
        raise LeaseLost


def _release(job: BatchJob, why: str, **values: Any) -> None:
    """Let the job wait for its next turn."""
    now = timezone.now()
    _held(job).update(
        status=Status.QUEUED, leased_until=None, turn_at=now, error=why[:LONGEST_ERROR], **values
    )


def _end(jobs: QuerySet[BatchJob], status: BatchJob.Status, why: str = "") -> None:
    error = why[:LONGEST_ERROR]
    jobs.update(status=status, error=error, ended_at=timezone.now(), leased_until=None)


def _held(job: BatchJob) -> QuerySet[BatchJob]:
    """The job as the holder of its token may change it: no row once the lease is lost."""
    return BatchJob.objects.filter(pk=job.pk, token=job.token, status=Status.RUNNING)


def _lease() -> timedelta:
    return LEASE + timedelta(seconds=settings.EVERLEARN_PREDICT_TIMEOUT)
