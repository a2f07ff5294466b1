"""What only the database tells about being fit for production, and Django's system check of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core import checks
from django.db import DatabaseError, connection
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
    alive = WebProcess.objects.filter(seen_at__gt=timezone.now() - ALIVE_WITHIN)
    hosts = sorted(set(alive.values_list("host", flat=True)))
    if len(hosts) > 1:
        why = f"is SQLite, shared by {', '.join(hosts)}: rows get lost"
        yield Unsafe("DATABASE_URL", why, "use postgres://…")


def refuse_unsafe_start() -> None:
    """Raise ConfigurationError when production would begin to serve with a default password."""
    if settings.EVERLEARN_ENVIRONMENT == "production" and (found := list(default_passwords())):
        raise ConfigurationError("\neverlearn: ".join(f"{one} (production)" for one in found))


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
