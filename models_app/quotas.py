"""Who may use how much a day: each account, and each network that sends no key.

    an account              EVERLEARN_KEY_…_PER_DAY, or what a superuser set for its key
    an IPv4 address, a /64  EVERLEARN_ANONYMOUS_…_PER_DAY
    an IPv6 /48             SUBSCRIBER times that: one subscriber may hold all its /64s
    all networks together   as many as EVERLEARN_ANONYMOUS_TOTAL says, if it says so

Days are calendar days in UTC. Staff in a browser are counted and not limited.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.utils import timezone

from models_app import usage
from models_app.quota import MIB, WORDS, Quota
from models_app.refusals import QuotaExceeded
from models_app.strangers import address_of, network_of, strangers
from models_app.usage import ACCOUNT, ANONYMOUS, NETWORK, Shortage, tracker

SUBSCRIBER = 16
UNLIMITED = Quota()


@dataclass(frozen=True, slots=True)
class Consumer:
    """Whose quota a request uses: an account's, or the network's that it came from."""

    account: int | None = None
    limited: bool = True
    network: str = ""

    @classmethod
    def of(cls, user: User | AnonymousUser | None, meta: Mapping[str, Any]) -> Consumer:
        """The consumer behind a request. meta: the request's META."""
        if user is not None and user.is_authenticated:
            return cls.account_of(user)
        return cls.at(address_of(meta))

    @classmethod
    def account_of(cls, user: User) -> Consumer:
        return cls(account=user.pk, limited=not user.is_staff)

    @classmethod
    def at(cls, address: str) -> Consumer:
        return cls(network=network_of(address))

    @property
    def limits(self) -> Sequence[tuple[str, Quota]]:
        """The subjects that its use counts for, with the most that each may use a day."""
        if self.account is not None:
            quota = tracker.quota_of(self.account) if self.limited else UNLIMITED
            return ((f"{ACCOUNT}{self.account}", quota),)
        return _limits_of(
            self.network, settings.EVERLEARN_ANONYMOUS_QUOTA, settings.EVERLEARN_ANONYMOUS_TOTAL
        )


@lru_cache(maxsize=4096)
def _limits_of(network: str, each: Quota, total: int) -> tuple[tuple[str, Quota], ...]:
    """A network and the larger ones around it, with the most that each may use."""
    limits = [(f"{NETWORK}{network}", each)]
    if ":" in network:
        whole = IPv6Address(int(IPv6Address(network)) >> 80 << 80)
        limits = [
            (f"{NETWORK}{network}/64", each),
            (f"{NETWORK}{whole}/48", each.times(SUBSCRIBER)),
        ]
    if total:
        limits.append((ANONYMOUS, each.times(total)))
    return tuple(limits)


def admit(user: User | AnonymousUser | None, meta: Mapping[str, Any]) -> None:
    """Count one request. Raises TooOften and QuotaExceeded."""
    if user is None or not user.is_authenticated:
        strangers.admit(address_of(meta))
    take(Consumer.of(user, meta), Quota(requests=1))


def take(consumer: Consumer, amounts: Quota) -> None:
    """Count `amounts` as used, all or none of it. Raises QuotaExceeded."""
    if shortage := tracker.add(consumer.limits, amounts):
        raise _exceeded(shortage, amounts)


@contextmanager
def spending(consumer: Consumer | None, amounts: Quota) -> Iterator[None]:
    """Count `amounts` as used, unless the block raises. Raises QuotaExceeded.

    consumer: None for what the system does by itself, which is not counted.
    """
    if consumer is None:
        yield
        return
    day, limits = usage.today(), consumer.limits
    if shortage := tracker.add(limits, amounts):
        raise _exceeded(shortage, amounts)
    try:
        yield
    except BaseException:
        tracker.give_back(day, [subject for subject, _ in limits], amounts)
        raise


def refuse_beyond(consumer: Consumer, amounts: Quota) -> None:
    """Raise QuotaExceeded when so much is not left today; nothing is counted."""
    # Counted and given back on the same day, which may end between the two.
    day, limits = usage.today(), consumer.limits
    if shortage := tracker.add(limits, amounts):
        raise _exceeded(shortage, amounts)
    tracker.give_back(day, [subject for subject, _ in limits], amounts)


def seconds_left() -> int:
    """Until the next day begins and with it every quota, at least 1."""
    now = timezone.now()
    tomorrow = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return max(int((tomorrow - now).total_seconds()), 0) + 1


def _exceeded(shortage: Shortage, amounts: Quota) -> QuotaExceeded:
    rows = zip(WORDS, shortage.limit, shortage.used, amounts, strict=True)
    word, most, had, more = next(
        row for row in rows if row[1] and row[3] and row[2] + row[3] > row[1]
    )
    left = max(most - had, 0)
    detail = (
        f"{_owner(shortage.subject)} may use {most:,} {word} a day, of which {left:,} are left; "
        f"this request needs {more:,}. The next day begins at 00:00 UTC."
    )
    return QuotaExceeded(detail, wait=seconds_left())


def _owner(subject: str) -> str:
    if subject.startswith(ACCOUNT):
        return "This API key"
    if subject == ANONYMOUS:
        return "All clients without an API key together"
    return "Clients without an API key at one network"


def usual_of_keys() -> Quota:
    """What an API key may use a day unless it has quotas of its own."""
    usual: Quota = settings.EVERLEARN_KEY_QUOTA
    return usual


def told(amounts: Quota, limit: Quota) -> list[tuple[str, str, str]]:
    """Name, use and limit of each amount, for people."""
    names = ("requests", "predicted rows", "feedback", "stored, MiB")
    return [
        (name, f"{had / unit:,.0f}", f"{most / unit:,.0f}" if most else "no limit")
        for name, had, most, unit in zip(names, amounts, limit, (1, 1, 1, MIB), strict=True)
    ]
