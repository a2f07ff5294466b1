"""The system's own users: whoever changes something is a Django user, never nobody."""

from __future__ import annotations

from typing import Literal

from django.contrib.auth.models import User


def system_user(username: Literal["cli", "everlearn"]) -> User:
    """The user that commands (`cli`) and policies (`everlearn`) act as; nobody logs in as it."""
    user, created = User.objects.get_or_create(username=username, defaults={"is_superuser": True})
    if created:
        user.set_unusable_password()
        user.save(update_fields=["password"])
    return user
