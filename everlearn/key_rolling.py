"""A new API key in place of one that is in use, with a time in which both work."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone

from everlearn import audit
from everlearn.keys import KeyRefused
from everlearn.models import ApiKey
from models_app.actors import refuse_old_password

LONGEST_OVERLAP = timedelta(days=90)
# What a new key does not take over from the one that it replaces.
OF_ONE_KEY = {
    "id", "prefix", "hashed_key", "created", "name", "revoked", "expiry_date", "last_used_at",
    "rolled_from",
}  # fmt: skip


@transaction.atomic
def roll_key(name: str, *, actor: User, overlap: timedelta) -> str:
    """Make a key of that name with the rights and limits of the live one, and return it.

    The old one works for `overlap` longer, or until it would have expired. A key that expires
    is replaced by one that lives as long. Raises PermissionDenied, ReauthenticationRequired or
    KeyRefused.
    """
    if not actor.has_perms(("everlearn.add_apikey", "everlearn.change_apikey")):
        raise PermissionDenied("Rolling API keys needs add_apikey and change_apikey.")
    refuse_old_password(actor)
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise KeyRefused(f"two keys work side by side for at most {LONGEST_OVERLAP.days} days")
    now = timezone.now()
    live = ApiKey.objects.select_for_update().filter(name=name, revoked=False, rolled_from=None)
    old = live.first()
    if old is None or old.has_expired:
        raise KeyRefused(f"no key named {name} is in use")
    lifetime = old.expiry_date and old.expiry_date - old.created
    _retire(old, until=min(old.expiry_date or now + overlap, now + overlap))
    kept = {
        field.attname: getattr(old, field.attname)
        for field in ApiKey._meta.concrete_fields  # noqa: SLF001 - Django's API
        if field.name not in OF_ONE_KEY
    }
    made, key = ApiKey.objects.create_key(
        name=name, expiry_date=lifetime and now + lifetime, **kept
    )
    detail = f"{old.prefix} by {made.prefix}, both work until {old.expiry_date:%F %R}"
    audit.record("key_rolled", account=name, actor=actor, detail=detail)
    return key


def _retire(old: ApiKey, *, until: datetime) -> None:
    # A live name is unique. With a space in it, this is a name that no key can be made with.
    old.rolled_from, old.name = old.name, f"{old.name[:40]} {old.prefix}"
    old.expiry_date = until
    old.save(update_fields=["rolled_from", "name", "expiry_date"])
