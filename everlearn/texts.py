"""Text that nobody could store or echo: NUL, half of a surrogate pair, broken UTF-8."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from models_app.learning.schema import Problem

LONGEST_NAME = 80
# Of an error's `attr`: it repeats names that were sent.
LONGEST_PLACE = 200

# PostgreSQL stores no NUL, and UTF-8 has no half of a surrogate pair.
UNFIT = re.compile("[\x00\ud800-\udfff]")
# A query or form without any of these is fit: no NUL and no byte beyond ASCII, escaped or not.
_PERHAPS_UNFIT = re.compile(rb"[\x00\x80-\xff]|%(?:00|[89a-fA-F])")
# Django refuses more; what is beyond is looked at as one.
_MOST_FIELDS = 1000


def unfit_text(place: str) -> Problem:
    """The one refusal of such text, wherever it stood."""
    detail = "A text holds a NUL character, half of a surrogate pair, or bytes that are not UTF-8."
    return Problem(place, "invalid_text", detail)


def legible(name: str) -> str:
    """A name from outside, fit to be repeated in an answer."""
    return UNFIT.sub("\ufffd", name[:LONGEST_NAME])


def unfit_field(query: bytes) -> str | None:
    """The name of the first field of a query or form that holds such text, if any does."""
    if not _PERHAPS_UNFIT.search(query):
        return None
    for field in query.split(b"&", _MOST_FIELDS):
        if _is_unfit(unquote_to_bytes(field)):
            name = unquote_to_bytes(field.partition(b"=")[0].replace(b"+", b" "))
            return legible(name.decode(errors="replace"))
    return None


def _is_unfit(raw: bytes) -> bool:
    if b"\0" in raw:
        return True
    try:
        raw.decode()
    except UnicodeDecodeError:
        return True
    return False
