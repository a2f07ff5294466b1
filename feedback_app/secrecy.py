"""What may not stand in an error that people read."""

from __future__ import annotations

import re

# Each begins where a word does and fits wherever it begins, so that the time is in proportion to
# the length: errors repeat what was sent.
_USER_IN_ADDRESS = re.compile(r"(?<!\w)(\w+://)[^\s/@'\"]+@")
_ADDRESS = re.compile(r"(?<!\w)\w+://[^\s'\"]*")


def without_secrets(text: str) -> str:
    """The text without the passwords and query strings of the addresses in it."""
    return _ADDRESS.sub(_without_query, _USER_IN_ADDRESS.sub(r"\1", text))


def _without_query(address: re.Match[str]) -> str:
    place, question_mark, _ = address[0].partition("?")
    return f"{place}{question_mark}…" if question_mark else place
