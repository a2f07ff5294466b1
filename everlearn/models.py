"""Access from outside: API keys, and users as far as a key lets them act."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models
from rest_framework_api_key.models import AbstractAPIKey

from everlearn.access import SCOPES


class ApiKey(AbstractAPIKey):
    """A key to the API; only its hash is kept. What it may do are its scopes, no more."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="api_keys"
    )
    scopes = models.JSONField(default=list)
    last_used_at = models.DateTimeField(null=True, editable=False, help_text="To the minute.")

    class Meta(AbstractAPIKey.Meta):
        abstract = False
        constraints = (
            models.UniqueConstraint(
                fields=("name",), condition=models.Q(revoked=False), name="one_live_key_a_name"
            ),
        )


class KeyHolder(User):
    """A user who came with a key: may do what both the user and the key's scopes allow.

    Every permission check goes through has_perm, so no code below the views needs to know
    about scopes, and a superuser's key is no wider than it says.
    """

    granted: frozenset[str] = frozenset()

    class Meta:
        proxy = True
        default_permissions = ()

    def narrow_to(self, scopes: list[str]) -> None:
        """From now on, allow nothing outside `scopes`; what is no scope allows nothing."""
        self.granted = frozenset(name for scope in scopes for name in SCOPES.get(scope, ()))

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        return perm in self.granted and super().has_perm(perm, obj)
