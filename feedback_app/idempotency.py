"""The same request sent twice is carried out once, and answered as it was the first time.

What was answered is stored in the transaction that stores what the request made, so that a
process killed at any moment leaves both or neither; refusals are not remembered. While a
request is under way its key is locked by a means that ends with the process that holds it: an
advisory lock of PostgreSQL, or a locked file beside SQLite.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.files import locks
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone
from rest_framework.renderers import JSONRenderer

from feedback_app.durability import flushed
from feedback_app.models import Feedback, RememberedAnswer
from models_app import quotas
from models_app.learning.schema import Problem
from models_app.quota import Quota
from models_app.quotas import Consumer
from models_app.refusals import InvalidInput, KeyReused, StillUnderWay

PURGED_AT_ONCE = 1000
LONGEST_KEY = 255
# What the database needs for an answer beside its body.
ANSWER_BYTES = 600
_KEY = re.compile(rf"[ -~]{{1,{LONGEST_KEY}}}")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sending of a request: by whom, to which route, under which key, with which body."""

    client: str
    route: str
    key: str
    digest: str

    @classmethod
    def of(cls, key: str, *, client: str, route: str, body: object) -> Attempt:
        """Raises InvalidInput for a key that is none."""
        if not _KEY.fullmatch(key):
            detail = f"Idempotency-Key: 1 to {LONGEST_KEY} printable ASCII characters, once."
            raise InvalidInput([Problem("", "invalid_idempotency_key", detail)])
        canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
        return cls(client, route, key, hashlib.sha256(canonical.encode()).hexdigest())

    @property
    def name(self) -> bytes:
        """32 bytes that no other client, route or key has."""
        told = json.dumps([self.client, self.route, self.key])
        return hashlib.sha256(told.encode()).digest()


@dataclass(frozen=True, slots=True)
class Answer:
    """The status and the body of an answer; what it is about, when that is one word."""

    status: int
    body: Any
    feedback: Feedback | None = None
    replayed: bool = False


def answer_once(
    attempt: Attempt, carry_out: Callable[[], Answer], *, consumer: Consumer | None = None
) -> Answer:
    """Carry the request out, unless it was: then what was answered, with status 200.

    consumer: whose quota of stored bytes the answer that is kept uses. Raises QuotaExceeded,
    StillUnderWay, KeyReused when the key came with another body, and what `carry_out` raises;
    then nothing is stored.
    """
    if before := _recalled(attempt):
        return before
    with _alone(attempt):
        # It may have ended between the first look and the lock.
        if before := _recalled(attempt):
            return before
        answer = carry_out()
        body = JSONRenderer().render(answer.body)
        if consumer is not None:
            # A list of many wrong items is short, and what is said about them is not.
            quotas.take(consumer, Quota(stored_bytes=len(body) + ANSWER_BYTES))
        _of(attempt).delete()  # one that has expired
        RememberedAnswer.objects.create(
            client=attempt.client,
            route=attempt.route,
            key=attempt.key,
            digest=attempt.digest,
            body=body.decode(),
            feedback=answer.feedback,
        )
    return answer


def purge() -> int:
    """Forget some answers that were kept long enough; how many."""
    expired = RememberedAnswer.objects.filter(at__lte=_kept_since())
    if not (found := list(expired.values_list("pk", flat=True)[:PURGED_AT_ONCE])):
        return 0
    return RememberedAnswer.objects.filter(pk__in=found).delete()[0]


def _kept_since() -> datetime:
    kept_for = settings.EVERLEARN_RETAIN["replies"]
    return timezone.now() - kept_for if kept_for else datetime.min.replace(tzinfo=UTC)


def _of(attempt: Attempt) -> QuerySet[RememberedAnswer]:
    return RememberedAnswer.objects.filter(
        client=attempt.client, route=attempt.route, key=attempt.key
    )


def _recalled(attempt: Attempt) -> Answer | None:
    found = _of(attempt).filter(at__gt=_kept_since()).first()
    if found is None:
        return None
    if found.digest != attempt.digest:
        raise KeyReused("This Idempotency-Key came with another body before; use a new one.")
    return Answer(200, json.loads(found.body), replayed=True)


@contextmanager
def _alone(attempt: Attempt) -> Iterator[None]:
    """A transaction in which nobody else carries the same request out. Raises StillUnderWay."""
    if connection.vendor == "postgresql":
        with flushed():
            _lock_in_database(attempt)
            yield
        return
    with _locked_file(attempt), flushed():
        yield


def _lock_in_database(attempt: Attempt) -> None:
    number = int.from_bytes(attempt.name[:8], "big", signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [number])
        if not cursor.fetchone()[0]:
            raise _under_way()


@contextmanager
def _locked_file(attempt: Attempt) -> Iterator[None]:
    folder = Path(settings.EVERLEARN_HOME) / "locks"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / attempt.name.hex()
    with path.open("w") as file:
        # Removed means that whoever held it has just ended: the lock is on nothing any more.
        if not locks.lock(file, locks.LOCK_EX | locks.LOCK_NB) or not _is_still(path, file):
            raise _under_way()
        try:
            yield
        finally:
            path.unlink()


def _is_still(path: Path, file: IO[str]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _under_way() -> StillUnderWay:
    return StillUnderWay("A request with this Idempotency-Key is still under way; ask again.")
