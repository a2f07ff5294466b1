"""Refusing a name that nobody knows, helpfully, at a cost that the refused do not choose."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice

# Of the problems of one request; looking for a hint takes many times longer than refusing.
MAX_HINTS = 10
# Neither a longer name nor more valid ones are compared: that takes their product.
LONGEST_HINTED = 64
MOST_COMPARED = 300

_SHOWN = 80


def unknown_name(what: str, name: str, valid: Iterable[str], *, hint: bool = True) -> str:
    """A sentence that refuses an unknown name, with the nearest valid one when one is near.

    hint: whether to look for that one, among the first 300 valid names of a similar length.
    """
    shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…"
    nearest = _nearest(name, valid) if hint and len(name) <= LONGEST_HINTED else []
    told = f"; did you mean '{nearest[0]}'?" if nearest else "."
    return f"There is no {what} '{shown}'{told}"


def _nearest(name: str, valid: Iterable[str]) -> list[str]:
    # What is more than three times as long or as short is no nearer than 0.5.
    alike = (one for one in valid if len(one) <= 3 * len(name) <= 9 * len(one))
    return difflib.get_close_matches(name, islice(alike, MOST_COMPARED), n=1, cutoff=0.5)
