"""Delete what is older than it is kept, a little at a time.

The rules are in `retention_rules`; EVERLEARN_RETAIN_… say how long each kind is kept. The worker
looks once a day. It deletes nothing before it has announced for a day how much that will be (in
the log, by `doctor` and in the admin), unless an operator saw the dry run of `manage.py prune`.
Every batch is a short transaction of its own, so whatever is killed meanwhile, the next look goes
on from there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from feedback_app.models import RetentionState
from feedback_app.retention_rules import RULES, Rule
from models_app import storing
from models_app.actors import system_user

logger = logging.getLogger(__name__)

EVERY = timedelta(days=1)
ANNOUNCED_FOR = timedelta(days=1)
# Of a process that was killed, so that another takes over; a batch takes a fraction of it.
LEASE = timedelta(minutes=2)
OFF = "off"

Progress = Callable[[int], None]


@dataclass
class Pace:
    """How many rows a transaction deletes, so that it takes a fraction of a second."""

    size: int = 200
    most: int = 1000
    longest: float = 0.2  # seconds

    def rest(self, took: float) -> None:
        """Let others write for as long as the last batch took, and choose the next one's size."""
        if took > self.longest:
            self.size = max(self.size // 2, 10)
        elif took < self.longest / 4:
            self.size = min(self.size * 2, self.most)
        time.sleep(min(max(took, 0.01), 1.0))


@dataclass(frozen=True, slots=True)
class Due:
    """How much of one kind is older than it is kept; before: None when it is kept for ever."""

    rule: Rule
    before: datetime | None
    count: int

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.rule.told}: kept for ever"
        return f"{self.rule.told}: {self.count:,} from before {self.before:%F %R} UTC"


def refuse_unless_allowed(actor: User) -> None:
    """Raise PermissionDenied for an actor who may not delete old rows."""
    if not actor.has_perm("models_app.delete_prediction"):
        raise PermissionDenied("Deleting old rows needs delete_prediction.")


def dry_run(*, actor: User) -> list[Due]:
    """Count what is due, and note that an operator saw it. Raises PermissionDenied."""
    refuse_unless_allowed(actor)
    found = [_look(rule) for rule in RULES]
    for due in found:
        state = _state(due.rule)
        _announce(state, due)
        RetentionState.objects.filter(pk=state.pk).update(confirmed=True)
    return found


def prune(*, actor: User, progress: Progress | None = None) -> dict[str, int]:
    """Delete everything that is due now; how much of each kind.

    progress: called after each batch with the number of rows in it. Raises PermissionDenied.
    """
    refuse_unless_allowed(actor)
    return {rule.kind: _delete(rule, actor, progress) for rule in RULES}


def apply_if_due() -> None:
    """Look at each kind once a day, and announce or delete what is due."""
    for rule in RULES:
        state = _claim(rule)
        if state is None:
            continue
        if _allowed(rule, state):
            _delete(rule, system_user("everlearn"))
        else:
            _announce(state, _look(rule))
        RetentionState.objects.filter(pk=state.pk).update(
            looked_at=timezone.now(), leased_until=None
        )


def announced() -> Iterator[str]:
    """What will be deleted and was not yet, a sentence each."""
    for state in RetentionState.objects.filter(due__gt=0):
        if state.announced_at is None:
            continue
        begins = state.announced_at + ANNOUNCED_FOR
        soon = state.confirmed or begins <= timezone.now()
        when = "at the next daily look" if soon else f"from {begins:%F %R} UTC on"
        yield f"{state.due:,} {state.kind} kept longer than {state.keeps}: deleted {when}"


def _state(rule: Rule) -> RetentionState:
    state, _ = RetentionState.objects.get_or_create(kind=rule.kind)
    return state


def _claim(rule: Rule) -> RetentionState | None:
    """Take one kind for this process, unless it was looked at today or another process has it."""
    now, state = timezone.now(), _state(rule)
    free = Q(leased_until=None) | Q(leased_until__lt=now)
    waits = Q(looked_at=None) | Q(looked_at__lte=now - EVERY)
    mine = RetentionState.objects.filter(free, waits, pk=state.pk)
    return state if mine.update(leased_until=now + LEASE) else None


def _before(rule: Rule) -> datetime | None:
    kept_for = rule.kept_for(settings.EVERLEARN_RETAIN)
    return None if kept_for is None else timezone.now() - kept_for


def _keeps(rule: Rule) -> str:
    kept_for = rule.kept_for(settings.EVERLEARN_RETAIN)
    return OFF if kept_for is None else f"{kept_for / timedelta(days=1):g}d"


def _look(rule: Rule) -> Due:
    before = _before(rule)
    return Due(rule, before, 0 if before is None else rule.count(before))


def _allowed(rule: Rule, state: RetentionState) -> bool:
    """Whether what is deleted now was announced for long enough, as it is now."""
    if not rule.announced:
        return True
    if state.announced_at is None or state.keeps != _keeps(rule):
        return False
    return state.confirmed or timezone.now() - state.announced_at >= ANNOUNCED_FOR


def _announce(state: RetentionState, due: Due) -> None:
    """Note what is due; another duration than before is announced anew."""
    keeps = _keeps(due.rule)
    if state.keeps != keeps or (due.count and state.announced_at is None):
        began = timezone.now() if due.count and due.rule.announced else None
        RetentionState.objects.filter(pk=state.pk).update(
            keeps=keeps, due=due.count, announced_at=began, confirmed=False
        )
        if began:
            logger.warning(
                "Retention: %s will be deleted from %s UTC on; EVERLEARN_RETAIN_%s=off keeps them.",
                due, f"{began + ANNOUNCED_FOR:%F %R}", due.rule.setting.upper(),
            )  # fmt: skip
    else:
        RetentionState.objects.filter(pk=state.pk).update(due=due.count)


def _delete(rule: Rule, actor: User, progress: Progress | None = None) -> int:
    """Delete all of one kind that is due, in short transactions with pauses between them."""
    before, state = _before(rule), _state(rule)
    if before is None:
        return 0
    pace, total = Pace(), 0
    batches = rule.candidates(before, lambda: pace.size)
    for batch in batches:
        began = time.monotonic()
        with storing.writing(), transaction.atomic():
            gone = rule.remove(batch)
            if gone:
                _note(state, gone)
        total += gone
        if progress and gone:
            progress(gone)
        pace.rest(time.monotonic() - began)
    RetentionState.objects.filter(pk=state.pk).update(due=0)
    if total:
        logger.info("Retention: %s %s were deleted for %s", f"{total:,}", rule.told, actor)
    return total


def _note(state: RetentionState, gone: int) -> None:
    now = timezone.now()
    RetentionState.objects.filter(pk=state.pk).update(
        deleted=F("deleted") + gone, deleted_at=now, leased_until=now + LEASE
    )
