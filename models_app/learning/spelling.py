"""Refusing a name that nobody knows, helpfully."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_SHOWN = 80


def unknown_name(what: str, name: str, valid: Iterable[str]) -> str:
    """A sentence that refuses an unknown name, with the nearest valid one when one is near."""
    shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…"
    nearest = difflib.get_close_matches(name[:_SHOWN], list(valid), n=1, cutoff=0.5)
    hint = f"; did you mean '{nearest[0]}'?" if nearest else "."
    return f"There is no {what} '{shown}'{hint}"
