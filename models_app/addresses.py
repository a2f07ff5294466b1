"""Which addresses data may be fetched from: never one in a private network that nobody allowed.

Web processes ask before an address is stored; `fetching` asks again where a socket is opened.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

from models_app.refusals import Refused

SCHEMES = ("http", "https", "s3")
# Addresses of these hold an IPv4 address that a gateway would reach for us.
TRANSLATED = (ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"), ip_network("2002::/16"))


class SourceRefused(Refused):
    """Data was not fetched: where it lies may not be asked, or it is more than is allowed."""

    default_code = "data_source_rejected"


def is_address(source: str) -> bool:
    """Whether `source` is an address rather than a path."""
    return "://" in source


def check_address(source: str) -> None:
    """Refuse an address that would never be fetched, before anybody stores it.

    Raises SourceRefused with the code `url_not_allowed`.
    """
    parts = parts_of(source)
    if parts.scheme == "s3":
        return
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_STREAM)
    except OSError:
        return  # it may be there when it is fetched, and is checked again then
    for *_, sockaddr in found:
        refuse_private(str(sockaddr[0]))


def parts_of(source: str) -> SplitResult:
    """The parts of an address of a kind that is fetched. Raises SourceRefused."""
    try:
        parts = urlsplit(source)
        named = bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        raise not_allowed("it is malformed") from None
    if parts.scheme not in SCHEMES:
        raise not_allowed(f"addresses begin with {', '.join(f'{one}://' for one in SCHEMES)}")
    if not named:
        raise not_allowed("it names no host")
    if parts.username is not None or parts.password is not None:
        raise not_allowed("it holds a user or a password")
    return parts


def refuse_private(address: str) -> None:
    """Raise SourceRefused unless `address` is public, or in a network that is allowed."""
    ip: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    if any(ip in network for network in settings.EVERLEARN_DATA_ALLOW):
        return
    translated = any(ip in network for network in TRANSLATED)
    if translated or ip.is_multicast or not ip.is_global:
        raise not_allowed(
            f"{ip} is not a public address; EVERLEARN_DATA_ALLOW names the networks that may be "
            "asked all the same"
        )


def not_allowed(why: str) -> SourceRefused:
    """The refusal of an address, for a reason that does not repeat it."""
    return SourceRefused(f"The data's address is not allowed: {why}.", code="url_not_allowed")
