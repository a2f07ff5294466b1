"""Where a request came from, and how often nobody in particular may ask from there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

from django.conf import settings
from django.utils import timezone

from models_app.refusals import TooOften

WINDOW = 60  # seconds
# An attacker with many networks may not fill the memory: those beyond so many share one count.
MOST_NETWORKS = 50_000
OTHERS = "others"

_NAT64 = IPv6Network("64:ff9b::/96")


def address_of(meta: Mapping[str, Any]) -> str:
    """The address that asks, by a request's META.

    Anybody can write X-Forwarded-For, so it counts for nothing unless EVERLEARN_TRUSTED_PROXIES
    says how many proxies of ours have each added to its end the address that they saw.
    """
    seen: str = meta["REMOTE_ADDR"]
    if settings.EVERLEARN_TRUSTED_PROXIES:
        hops = [hop.strip() for hop in meta.get("HTTP_X_FORWARDED_FOR", "").split(",")]
        told = hops[-min(settings.EVERLEARN_TRUSTED_PROXIES, len(hops))]
        return told if _is_address(told) else seen
    return seen


class IgnoredForwarding:
    """When X-Forwarded-For last came to this process while no proxy is trusted; for `doctor`."""

    def __init__(self) -> None:
        self.at: datetime | None = None

    def note(self, meta: Mapping[str, Any]) -> None:
        """Keep the time, in memory alone: the process says it with its next sign of life."""
        if "HTTP_X_FORWARDED_FOR" in meta and not settings.EVERLEARN_TRUSTED_PROXIES:
            self.at = timezone.now()


ignored_forwarding = IgnoredForwarding()


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """What is counted as one: an IPv6 subscriber has a whole /64 to take addresses from.

    An address that stands for an IPv4 one (mapped, 6to4, Teredo, NAT64) counts as that one, since
    each of these gives its holder many networks, or puts many holders into one network.
    """
    if ":" not in address or not _is_address(address):
        return address
    whole = IPv6Address(address.partition("%")[0])
    return str(_embedded(whole) or IPv6Address(int(whole) >> 64 << 64))


def _embedded(address: IPv6Address) -> IPv4Address | None:
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


class Crowd:
    """Counts what strangers ask, by address and minute, in this process alone.

    It is on the way to every anonymous prediction, so it is one addition: no query, no cache, no
    list of times. Threads may lose a count to each other, which a generous limit can bear.
    """

    def __init__(self) -> None:
        self.window = 0
        self.counts: dict[str, int] = {}

    def admit(self, address: str) -> None:
        """Count one request. Raises TooOften beyond EVERLEARN_ANONYMOUS_PER_MINUTE."""
        now = time.monotonic()
        if (window := int(now / WINDOW)) != self.window:
            self.window, self.counts = window, {}
        counts, asks = self.counts, network_of(address)
        if asks not in counts and len(counts) >= MOST_NETWORKS:
            asks = OTHERS
        counts[asks] = count = counts.get(asks, 0) + 1
        if count > settings.EVERLEARN_ANONYMOUS_PER_MINUTE:
            raise TooOften(
                f"More than {settings.EVERLEARN_ANONYMOUS_PER_MINUTE} requests without a key came "
                "from your address within a minute. Wait, or use a key.",
                wait=int(WINDOW - now % WINDOW) + 1,
            )


strangers = Crowd()
