"""The system's own users: whoever changes something is a Django user, never nobody."""

from __future__ import annotations

from typing import Literal

from django.contrib.auth.models import User

from models_app.refusals import ReauthenticationRequired


def system_user(username: Literal["cli", "everlearn"]) -> User:
    """The user that commands (`cli`) and policies (`everlearn`) act as; nobody logs in as it."""
    user, created = User.objects.get_or_create(username=username, defaults={"is_superuser": True})
    if created:
        user.set_unusable_password()
        user.save(update_fields=["password"])
    return user


def refuse_old_password(actor: User) -> None:
    """Raise ReauthenticationRequired when `actor` came with a login whose password is old.

    Keys and commands have no login. What asks for this: keys, accounts and overrides.
    """
    if getattr(actor, "password_is_old", False):
        raise ReauthenticationRequired(
            "This needs a password that was typed a short while ago. "
            "Confirm your password at /admin/confirm-password/, then try again."
        )
