"""What only the database tells about being fit for production, and Django's system check of it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core import checks
from django.db import DatabaseError, connection
from django.db.models import QuerySet
from django.utils import timezone

from everlearn.configuration import ConfigurationError
from everlearn.safety import DEFAULT_PASSWORDS, Unsafe
from models_app.following import ALIVE_WITHIN
from models_app.models import WebProcess


def default_passwords() -> Iterator[Unsafe]:
    """The superusers whom anybody may log in as. Takes a second for each."""
    for user in User.objects.filter(is_superuser=True, is_active=True):
        guesses = {user.username, *DEFAULT_PASSWORDS}
        if user.has_usable_password() and any(map(user.check_password, guesses)):
            remedy = f"manage.py changepassword {user.username}"
            yield Unsafe(f"the password of {user.username}", "is a default", remedy)


def one_file_many_hosts() -> Iterator[Unsafe]:
    """SQLite with web processes of several hosts, so on a network volume, which loses rows."""
    if connection.vendor != "sqlite":
        return
    hosts = sorted(set(_live_processes().values_list("host", flat=True)))
    if len(hosts) > 1:
        why = f"is SQLite, shared by {', '.join(hosts)}: rows get lost"
        yield Unsafe("DATABASE_URL", why, "use postgres://…")


def refuse_unsafe_start() -> None:
    """Raise ConfigurationError when production would begin to serve with a default password, or
    on a file that another host serves from.
    """
    if settings.EVERLEARN_ENVIRONMENT != "production":
        return
    if found := [*default_passwords(), *_file_of_another_host()]:
        raise ConfigurationError("\neverlearn: ".join(f"{one} (production)" for one in found))


def _file_of_another_host() -> Iterator[Unsafe]:
    """Another host that serves from this SQLite file, once it gave a sign of life meanwhile."""
    first = others = _others()
    # One that was killed a moment ago, as a container that this one replaces, soon counts as dead.
    while others:
        if moved := [host for host, at in others.items() if at != first.get(host)]:
            why = f"is SQLite, and {', '.join(moved)} serves from it: rows get lost"
            yield Unsafe("DATABASE_URL", why, "use postgres://…")
            return
        time.sleep(0.2)
        others = _others()


def _others() -> dict[str, datetime]:
    """When each other host was last seen alive, where there must be none."""
    if connection.vendor != "sqlite":
        return {}
    seen = _live_processes().exclude(host=socket.gethostname()).order_by("seen_at")
    return dict(seen.values_list("host", "seen_at"))


def _live_processes() -> QuerySet[WebProcess]:
    return WebProcess.objects.filter(seen_at__gt=timezone.now() - ALIVE_WITHIN)


@checks.register(checks.Tags.database)
def check_passwords(
    *, databases: Sequence[str] | None = None, **_: Any
) -> list[checks.CheckMessage]:
    """For `manage.py check --database default`."""
    if settings.EVERLEARN_ENVIRONMENT != "production" or not databases:
        return []
    try:
        found = list(default_passwords())
    except DatabaseError:
        return []  # nobody is in it before the first migration
    return [
        checks.Error(f"{one.name} {one.why}", hint=one.remedy, id="everlearn.password")
        for one in found
    ]
