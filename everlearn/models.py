"""Access from outside: API keys, and users as far as a key lets them act."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models
from django.utils import timezone
from rest_framework_api_key.models import AbstractAPIKey

from everlearn.access import SCOPES


class ApiKey(AbstractAPIKey):
    """A key to the API; only its hash is kept. What it may do are its scopes, no more."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="api_keys"
    )
    scopes = models.JSONField(default=list)
    last_used_at = models.DateTimeField(null=True, editable=False, help_text="To the minute.")
    networks = models.JSONField(
        null=True, editable=False, help_text="The networks that it may be used from; empty: any."
    )
    # Null, because the release before does not write it.
    rolled_from = models.CharField(  # noqa: DJ001
        max_length=50,
        null=True,
        editable=False,
        db_index=True,
        help_text="The name that a newer key took over from this one.",
    )

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
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    class Meta:
        proxy = True
        default_permissions = ()

    def narrow_to(self, scopes: list[str]) -> None:
        """From now on, allow nothing outside `scopes`; what is no scope allows nothing."""
        self.granted = frozenset(name for scope in scopes for name in SCOPES.get(scope, ()))

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        return perm in self.granted and super().has_perm(perm, obj)


class LoginLimit(models.Model):
    """How often a login was tried lately: for one account, from one network, or for both."""

    # Of the kind, the account and the network: no name that was typed is kept.
    digest = models.CharField(max_length=64, unique=True)
    count = models.FloatField(default=0.0, help_text="Attempts that counted at counted_at.")
    counted_at = models.DateTimeField()
    ends_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.count:.0f} attempts until {self.counted_at}"


class KnownNetwork(models.Model):
    """A network from which an account logged in; guesses made elsewhere do not slow it."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="known_networks"
    )
    digest = models.CharField(max_length=64, unique=True)
    last_login_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"a network of {self.user}"


class UserSession(models.Model):
    """Where a login is in use; the session itself is Django's."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="sessions"
    )
    session_key = models.CharField(max_length=40, unique=True)
    address = models.CharField(max_length=64)
    user_agent = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    last_seen_at = models.DateTimeField(default=timezone.now, db_index=True)

    def __str__(self) -> str:
        return f"{self.user} from {self.address}"
