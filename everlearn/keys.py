"""API keys: made, verified, limited to networks, revoked; `key_rolling` replaces them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import cast

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from everlearn import audit
from everlearn.access import SCOPES, permission_rows
from everlearn.models import ApiKey, KeyHolder
from models_app import storing
from models_app.actors import refuse_old_password
from models_app.refusals import Refused

LAST_USED_STEP = timedelta(minutes=1)
NAME = re.compile(r"[\w.@+-]{1,50}")
MOST_NETWORKS = 50


class KeyRefused(Refused):
    """A key was not made, not revoked, or not let in; the message says why."""

    default_code = "key_refused"


@transaction.atomic
def create_key(
    name: str,
    scopes: Sequence[str],
    *,
    actor: User,
    expires_in: timedelta | None = None,
    networks: Sequence[str] = (),
) -> str:
    """Make a key with a service account of its own, and return it: only a hash is stored.

    The account's permissions become exactly `scopes`. expires_in: from now; never, when None.
    networks: addresses or CIDR networks that it may be used from; from anywhere, when empty.
    Raises PermissionDenied, ReauthenticationRequired or KeyRefused.
    """
    if not actor.has_perm("everlearn.add_apikey"):
        raise PermissionDenied("Making API keys needs add_apikey.")
    refuse_old_password(actor)
    _refuse_unfit(name, scopes, expires_in)
    allowed = _checked_networks(networks)
    account = _service_account(name)
    account.user_permissions.set(permission_rows(scopes))
    try:
        made, key = ApiKey.objects.create_key(
            name=name,
            user=account,
            scopes=sorted(set(scopes)),
            expiry_date=expires_in and timezone.now() + expires_in,
            networks=allowed or None,
        )
    except IntegrityError:
        raise KeyRefused(f"a key named {name} was made meanwhile") from None
    audit.record(
        "key_created",
        account=name,
        actor=actor,
        detail=f"{made.prefix} for {', '.join(scopes)} from {_written(allowed)}",
    )
    return key


def _refuse_unfit(name: str, scopes: Sequence[str], expires_in: timedelta | None) -> None:
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise KeyRefused(f"{', '.join(unknown) or 'no scope'}: scopes are {', '.join(SCOPES)}")
    if not NAME.fullmatch(name):
        raise KeyRefused("a key's name is 1 to 50 letters, digits, or any of @ . + - _")
    if ApiKey.objects.filter(name=name, revoked=False).exists():
        raise KeyRefused(f"a key named {name} is in use; revoke it first, or choose another name")
    if expires_in is not None and expires_in <= timedelta(0):
        raise KeyRefused("a key that expires must live for a while; write 30s, 15m, 6h or 90d")


def _service_account(name: str) -> User:
    account, created = User.objects.get_or_create(username=f"key-{name}")
    if created:
        account.set_unusable_password()
        account.save(update_fields=["password"])
    elif not ApiKey.objects.filter(user=account).exists():
        raise KeyRefused(f"{account.username} is a person's account; choose another name")
    return account


def revoke_key(name: str, *, actor: User) -> None:
    """End the live key of that name, and those that it was rolled from and that still work.

    Every process refuses them within 5 s. The name of one that was rolled ends that one alone.
    Raises PermissionDenied, ReauthenticationRequired or KeyRefused.
    """
    _refuse_unless_changing(actor, "Revoking API keys")
    named = ApiKey.objects.filter(Q(name=name) | Q(rolled_from=name), revoked=False)
    if not named.update(revoked=True):
        raise KeyRefused(f"no key named {name} is in use")
    audit.record("key_revoked", account=name, actor=actor)


def limit_to_networks(name: str, networks: Sequence[str], *, actor: User) -> None:
    """Have the live key of that name accepted from `networks` alone; from anywhere, when empty.

    It holds in every process within 5 s, and for what the key was rolled from too. Raises
    PermissionDenied, ReauthenticationRequired or KeyRefused.
    """
    _refuse_unless_changing(actor, "Changing API keys")
    allowed = _checked_networks(networks)
    named = ApiKey.objects.filter(Q(name=name) | Q(rolled_from=name), revoked=False)
    if not named.update(networks=allowed or None):
        raise KeyRefused(f"no key named {name} is in use")
    detail = f"may be used from {_written(allowed)}"
    audit.record("key_networks_changed", account=name, actor=actor, detail=detail)


def _refuse_unless_changing(actor: User, doing: str) -> None:
    if not actor.has_perm("everlearn.change_apikey"):
        raise PermissionDenied(f"{doing} needs change_apikey.")
    refuse_old_password(actor)


def _checked_networks(networks: Sequence[str]) -> list[str]:
    if len(networks) > MOST_NETWORKS:
        raise KeyRefused(f"a key is limited to at most {MOST_NETWORKS} networks")
    try:
        return [str(ip_network(one.strip())) for one in networks]
    except ValueError as error:
        raise KeyRefused(f"{error}; write a network as 192.0.2.0/24 or 2001:db8::/48") from None


def _written(networks: Sequence[str]) -> str:
    return ", ".join(networks) or "any network"


def is_allowed(address: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Whether a request from `address` may use a key that is limited to `networks`."""
    try:
        asks = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    # An IPv4 client of a socket for both kinds arrives as ::ffff:192.0.2.1.
    asks = getattr(asks, "ipv4_mapped", None) or asks
    return any(asks in network for network in networks)


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
    holder.networks = tuple(ip_network(one) for one in found.networks or ())
    _note_use(found)
    return holder


def _note_use(key: ApiKey) -> None:
    # To the minute, and conditional, so that a busy key costs a write a minute and no more.
    now = timezone.now()
    stale = Q(last_used_at=None) | Q(last_used_at__lt=now - LAST_USED_STEP)
    if key.last_used_at is None or key.last_used_at < now - LAST_USED_STEP:
        rows = ApiKey.objects.filter(stale, pk=key.pk)
        storing.in_passing(lambda: rows.update(last_used_at=now))
