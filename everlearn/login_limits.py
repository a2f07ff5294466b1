"""How often logins may be tried; each attempt is counted before a password is looked at.

An attempt counts for the account from its network, for the network and for the account. After
some free attempts each further one waits twice as long as the one before, up to a longest wait,
and what was used up grows back. A network that the account logged in from before counts for
nothing but itself, so that guesses made elsewhere, or at other accounts, do not shut it out.

Not django-axes or allauth: axes counts once an attempt has failed, so that many at once get
through, and locks out rather than delays; allauth keeps its counts in a cache, which is a
process's own here by default.
"""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest
from django.utils import timezone
from django.utils.crypto import salted_hmac

from everlearn.models import KnownNetwork, LoginLimit
from models_app import storing
from models_app.refusals import TooOften
from models_app.strangers import network_of

KNOWN_FOR = timedelta(days=30)
# What Django's table has room for; anything longer is no account, and counts as one.
LONGEST_NAME = 150


@dataclass(frozen=True, slots=True)
class Limit:
    """free: attempts without a wait. longest: the longest wait, in seconds. regrows: after so
    many seconds one attempt is forgotten.
    """

    free: int
    longest: int
    regrows: int

    def wait(self, count: float, since: float) -> float:
        """Seconds to wait for one more, when `count` attempts stand, the last `since` s ago."""
        above = math.ceil(count) - self.free
        return min(2.0 ** (above + 1), self.longest) - since if above >= 0 else 0.0

    def left(self, count: float, since: float) -> float:
        """How many of `count` attempts still stand `since` seconds later."""
        # No more than it takes to wait the longest, or the wait would outlast the attack.
        most = self.free + math.log2(self.longest)
        return max(0.0, min(count, most) - since / self.regrows)


LIMITS = {
    "network": Limit(free=100, longest=10, regrows=6),
    "account": Limit(free=20, longest=60, regrows=60),
    "account and network": Limit(free=5, longest=900, regrows=900),
}


def count_attempt(account: str, address: str) -> None:
    """Count one attempt to log in as `account`, committed before this returns.

    Raises TooOften, and then it is not counted; Unavailable when the database cannot count.
    """
    now, limits = timezone.now(), _limits(account, address)
    # A look first, so that those who are refused write nothing.
    for row in LoginLimit.objects.filter(digest__in=limits):
        _refuse_early(row, limits[row.digest], now)
    with storing.writing(), transaction.atomic():
        # Always in the same order, so that no two wait for each other.
        for digest, limit in limits.items():
            _count(_locked(digest, now), limit, now)
    over = LoginLimit.objects.filter(ends_at__lte=now - timedelta(minutes=1))
    storing.in_passing(over.delete)


def succeeded(user: User, account: str, address: str) -> None:
    """Give back what a login cost that succeeded, and remember its network for 30 days."""
    # Only what it was counted under: or one's own logins would pay for guesses at others.
    counted, pair = _limits(account, address), _digest("account and network", account, address)
    LoginLimit.objects.filter(digest=pair).delete()
    LoginLimit.objects.filter(digest__in=counted).update(count=Greatest(F("count") - 1.0, 0.0))
    now = timezone.now()
    KnownNetwork.objects.filter(last_login_at__lt=now - KNOWN_FOR).delete()
    KnownNetwork.objects.update_or_create(
        digest=_digest("known", account, address), defaults={"user": user, "last_login_at": now}
    )


def _limits(account: str, address: str) -> dict[str, Limit]:
    """The limits that an attempt stands under, by digest."""
    known = KnownNetwork.objects.filter(
        digest=_digest("known", account, address), last_login_at__gt=timezone.now() - KNOWN_FOR
    ).exists()
    kinds = ["account and network"] if known else list(LIMITS)
    return {_digest(kind, account, address): LIMITS[kind] for kind in kinds}


def _digest(kind: str, account: str, address: str) -> str:
    name = unicodedata.normalize("NFKC", account[: LONGEST_NAME + 1]).casefold()
    parts = (
        kind,
        "" if kind == "network" else name,
        "" if kind == "account" else network_of(address),
    )
    return salted_hmac("everlearn.logins", "\0".join(parts), algorithm="sha256").hexdigest()


def _locked(digest: str, now: datetime) -> LoginLimit:
    rows = LoginLimit.objects.select_for_update().filter(digest=digest)
    while (row := rows.first()) is None:
        fresh = LoginLimit(digest=digest, counted_at=now, ends_at=now)
        LoginLimit.objects.bulk_create([fresh], ignore_conflicts=True)
    return row


def _count(row: LoginLimit, limit: Limit, now: datetime) -> None:
    _refuse_early(row, limit, now)
    count = limit.left(row.count, _since(row, now)) + 1
    row.count, row.counted_at = count, now
    row.ends_at = now + timedelta(seconds=count * limit.regrows)
    row.save(update_fields=["count", "counted_at", "ends_at"])


def _refuse_early(row: LoginLimit, limit: Limit, now: datetime) -> None:
    since = _since(row, now)
    wait = math.ceil(limit.wait(limit.left(row.count, since), since))
    if wait > 0:
        minutes = f" (about {round(wait / 60)} minutes)" if wait > 90 else ""
        raise TooOften(
            "Too many logins were tried, with this account or from your network. "
            f"Wait {wait} seconds{minutes}, then try again.",
            wait=wait,
        )


def _since(row: LoginLimit, now: datetime) -> float:
    # A clock that was set back, or another host's, counts as no time.
    return max(0.0, (now - row.counted_at).total_seconds())
