"""Failures that somebody guessing would have, counted by address in the database.

There all processes see them, and neither a cache that vanishes nor a restart forgets them. Only
the address counts. Logins are limited by `everlearn.login_limits`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models
from django.db.models import F
from django.utils import timezone

from models_app.refusals import TooOften
from models_app.strangers import network_of

WINDOW = timedelta(minutes=1)


class Kind(models.TextChoices):
    LOGIN = "login"  # the release before counts these here
    LINK = "link"
    KEY = "key"


# Failures from one address in one window, after which it has to wait for the next.
ALLOWED = {Kind.LINK: 30, Kind.KEY: 100}


class Strike(models.Model):
    """How often one address failed at one kind of thing within the window that ends."""

    kind = models.CharField(max_length=8, choices=Kind)
    network = models.CharField(max_length=64)
    count = models.PositiveIntegerField(default=1)
    ends_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("kind", "network"), name="one_row_a_network"),
        )

    def __str__(self) -> str:
        return f"{self.count} times {self.kind} from {self.network}"


def count_failure(kind: Kind, address: str) -> None:
    """Count one failure of `address`. Raises TooOften beyond what is allowed in a window.

    However many fail at once, no more of them than are allowed return: the database counts.
    """
    now, network = timezone.now(), network_of(address)
    mine = Strike.objects.filter(kind=kind, network=network)
    if _counted(mine, kind, now):
        return
    standing = mine.first()
    if standing is None:
        Strike.objects.filter(ends_at__lte=now).delete()
        Strike.objects.bulk_create(
            [Strike(kind=kind, network=network, count=0, ends_at=now + WINDOW)],
            ignore_conflicts=True,
        )
        if _counted(mine, kind, now):
            return
    ends_at = standing.ends_at if standing else now + WINDOW
    wait = max(1, int((ends_at - now).total_seconds()) + 1)
    raise TooOften(f"Too many failures from your address. Try again in {wait} s.", wait=wait)


def _counted(mine: models.QuerySet[Strike], kind: Kind, now: datetime) -> bool:
    """Whether one more is within what is allowed, in this window or a new one."""
    within = mine.filter(ends_at__gt=now, count__lt=ALLOWED[kind])
    if within.update(count=F("count") + 1):
        return True
    return bool(mine.filter(ends_at__lte=now).update(count=1, ends_at=now + WINDOW))
