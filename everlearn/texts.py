"""Text that nobody could store or echo: NUL, half of a surrogate pair, broken UTF-8."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from models_app.learning.schema import Problem

LONGEST_NAME = 80
# Of an error's `attr`: it repeats names that were sent.
LONGEST_PLACE = 200

# PostgreSQL stores no NUL, and UTF-8 has no half of a surrogate pair.
UNFIT = re.compile("[\x00\ud800-\udfff]")
# A query or form without any of these is fit: no NUL and no byte beyond ASCII, escaped or not.
_PERHAPS_UNFIT = re.compile(rb"[\x00\x80-\xff]|%(?:00|[89a-fA-F])")
# Django refuses a form or query of more.
_MOST_FIELDS = 1001
_PIECE = 2**16


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
    for field in query.split(b"&", _MOST_FIELDS)[:_MOST_FIELDS]:
        if _is_unfit(field):
            # An escape is three bytes, and a character up to four of them.
            name = field.partition(b"=")[0][: 12 * LONGEST_NAME].replace(b"+", b" ")
            name = unquote_to_bytes(name)
            return legible(name.decode(errors="replace"))
    return None


def _is_unfit(field: bytes) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for piece in _pieces(field):
            raw = unquote_to_bytes(piece)
            decoder.decode(raw)
            if b"\0" in raw:
                return True
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return True
    return False


def _pieces(field: bytes) -> Iterator[bytes]:
    """The field in pieces that end within no escape: unquoting takes ten times its length."""
    start = 0
    while start < len(field):
        end = start + _PIECE
        if (escape := field.rfind(b"%", end - 2, end)) > start:
            end = escape
        yield field[start:end]
        start = end
