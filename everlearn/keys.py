"""API keys: made, verified, revoked."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import cast

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from everlearn.access import SCOPES, permission_rows
from everlearn.models import ApiKey, KeyHolder
from models_app import storing
from models_app.refusals import Refused

logger = logging.getLogger(__name__)

LAST_USED_STEP = timedelta(minutes=1)
NAME = re.compile(r"[\w.@+-]{1,50}")


class KeyRefused(Refused):
    """A key was not made, not revoked, or not let in; the message says why."""

    default_code = "key_refused"


@transaction.atomic
def create_key(
    name: str, scopes: Sequence[str], *, actor: User, expires_in: timedelta | None = None
) -> str:
    """Make a key with a service account of its own, and return it: only a hash is stored.

    The account's permissions become exactly `scopes`. expires_in: from now; never, when None.
    Raises PermissionDenied or KeyRefused.
    """
    if not actor.has_perm("everlearn.add_apikey"):
        raise PermissionDenied("Making API keys needs add_apikey.")
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise KeyRefused(f"{', '.join(unknown) or 'no scope'}: scopes are {', '.join(SCOPES)}")
    if not NAME.fullmatch(name):
        raise KeyRefused("a key's name is 1 to 50 letters, digits, or any of @ . + - _")
    if ApiKey.objects.filter(name=name, revoked=False).exists():
        raise KeyRefused(f"a key named {name} is in use; revoke it first, or choose another name")
    if expires_in is not None and expires_in <= timedelta(0):
        raise KeyRefused("a key that expires must live for a while; write 30s, 15m, 6h or 90d")
    account = _service_account(name)
    account.user_permissions.set(permission_rows(scopes))
    made, key = ApiKey.objects.create_key(
        name=name,
        user=account,
        scopes=sorted(set(scopes)),
        expiry_date=expires_in and timezone.now() + expires_in,
    )
    logger.info("API key %s (%s…) was made by %s", name, made.prefix, actor)
    return key


def _service_account(name: str) -> User:
    account, created = User.objects.get_or_create(username=f"key-{name}")
    if created:
        account.set_unusable_password()
        account.save(update_fields=["password"])
    elif not ApiKey.objects.filter(user=account).exists():
        raise KeyRefused(f"{account.username} is a person's account; choose another name")
    return account


def revoke_key(name: str, *, actor: User) -> None:
    """End the live key of that name; every process refuses it within 5 s.

    Raises PermissionDenied or KeyRefused.
    """
    if not actor.has_perm("everlearn.change_apikey"):
        raise PermissionDenied("Revoking API keys needs change_apikey.")
    if not ApiKey.objects.filter(name=name, revoked=False).update(revoked=True):
        raise KeyRefused(f"no key named {name} is in use")
    logger.info("API key %s was revoked by %s", name, actor)


def verify(key: bytes) -> KeyHolder:
    """Whoever holds `key`, narrowed to its scopes. Raises KeyRefused."""
    try:
        found = cast(ApiKey, ApiKey.objects.get_from_key(key.decode("ascii")))
    except (ApiKey.DoesNotExist, UnicodeDecodeError):
        raise KeyRefused("The API key is wrong or revoked.") from None
    holder = KeyHolder.objects.get(pk=found.user_id)
    if found.has_expired or not holder.is_active:
        raise KeyRefused("The API key has expired or its account is inactive.")
    holder.narrow_to(found.scopes)
    _note_use(found)
    return holder


def _note_use(key: ApiKey) -> None:
    # To the minute, and conditional, so that a busy key costs a write a minute and no more.
    now = timezone.now()
    stale = Q(last_used_at=None) | Q(last_used_at__lt=now - LAST_USED_STEP)
    if key.last_used_at is None or key.last_used_at < now - LAST_USED_STEP:
        rows = ApiKey.objects.filter(stale, pk=key.pk)
        storing.in_passing(lambda: rows.update(last_used_at=now))
