"""What each source of feedback gave to a snapshot, as people and API clients see it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

# How many sources are kept and shown by name; the others are summed up.
MOST_LISTED = 100
OTHERS = "others"
FORGOTTEN = "forgotten"
# Addresses are personal data: an API client sees the network around them.
PREFIXES = {4: 24, 6: 48}
COUNTS = ("offered", "reviewed", "kept", "trained", "judged", "unusable", "broke_training")


def masked(source: str) -> str:
    """A source without personal data: an account as it is, an address as its network."""
    kind, _, name = source.partition(":")
    if kind == "link":
        return "link"
    if kind != "address":
        return source
    try:
        address = ip_address(name)
    except ValueError:
        return "address"
    return f"address:{ip_network(f'{address}/{PREFIXES[address.version]}', strict=False)}"


def listed(sources: Iterable[Mapping[str, Any]], *, mask: bool = False) -> list[dict[str, Any]]:
    """One entry a source, largest first; at most 100, and one for all others.

    mask: addresses become their networks, and entries of one network become one.
    """
    merged: dict[str, dict[str, Any]] = {}
    for one in sources:
        name = masked(one["source"]) if mask else one["source"]
        merged[name] = _sum(name, [one, *([merged[name]] if name in merged else [])])
    ranked = sorted(
        merged.values(), key=lambda one: (one["source"] == OTHERS, -one["kept"], -one["offered"])
    )
    if len(ranked) <= MOST_LISTED:
        return ranked
    return [*ranked[: MOST_LISTED - 1], _sum(OTHERS, ranked[MOST_LISTED - 1 :])]


def renamed(sources: Sequence[Mapping[str, Any]], gone: Iterable[str]) -> list[dict[str, Any]]:
    """The same counts without the names of some sources."""
    names = set(gone)
    return [{**one, "source": FORGOTTEN} if one["source"] in names else {**one} for one in sources]


def _sum(name: str, entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    counts = {key: sum(int(one.get(key, 0)) for one in entries) for key in COUNTS}
    weight = sum(float(one.get("weight", 0.0)) for one in entries)
    return {"source": name, **counts, "weight": round(weight, 6)}
