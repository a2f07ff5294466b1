"""Failures that somebody guessing would have, counted by address in the database.

There all processes see them, and neither a cache that vanishes nor a restart forgets them. Only
the address counts: whom somebody pretends to be is never locked out by it.
"""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models import F
from django.utils import timezone

from models_app.refusals import TooOften
from models_app.strangers import network_of

WINDOW = timedelta(minutes=1)


class Kind(models.TextChoices):
    LOGIN = "login"
    LINK = "link"
    KEY = "key"


# Failures from one address in one window, after which it has to wait for the next.
ALLOWED = {Kind.LOGIN: 10, Kind.LINK: 30, Kind.KEY: 100}


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


def refuse_if_out(kind: Kind, address: str) -> None:
    """Raise TooOften when `address` failed too often lately; ask before looking at a guess."""
    now = timezone.now()
    standing = Strike.objects.filter(
        kind=kind, network=network_of(address), ends_at__gt=now, count__gte=ALLOWED[kind]
    ).first()
    if standing is not None:
        wait = int((standing.ends_at - now).total_seconds()) + 1
        raise TooOften(f"Too many failures from your address; try in {wait} s.", wait=wait)


def strike(kind: Kind, address: str) -> None:
    """Count one failure of `address`."""
    now = timezone.now()
    mine = Strike.objects.filter(kind=kind, network=network_of(address))
    if mine.filter(ends_at__gt=now).update(count=F("count") + 1):
        return
    Strike.objects.filter(ends_at__lte=now).delete()
    # Two that come first at once count as one.
    Strike.objects.bulk_create(
        [Strike(kind=kind, network=network_of(address), ends_at=now + WINDOW)],
        ignore_conflicts=True,
    )
