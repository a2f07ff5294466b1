"""Bodies of rows on their way to storage: checked piece by piece, and stored as UTF-8."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import IO

from models_app import csv_faults
from models_app.learning.schema import Problem
from models_app.refusals import InvalidInput

PIECE = 2**20
UTF_8 = "utf-8"

_REMEDY = "save the file as UTF-8 (Excel calls it CSV UTF-8)"


def checked_pieces(
    stream: IO[bytes], head: bytes, *, encoding: str = UTF_8, name: str = "The body"
) -> Iterator[bytes]:
    """The pieces of a body, `head` first, as UTF-8, whichever of two encodings it is in.

    It is UTF-8, or text of `encoding`: the first characters beyond ASCII tell. name: what to call
    the body. Raises InvalidInput where it is no text to store.
    """
    if kind := csv_faults.spreadsheet(head):
        raise _refusal("workbook", f"{name} is {kind}; save it as CSV UTF-8.")
    text, filled, piece = _Text(encoding, name), False, head
    while piece:
        decoded = text.decode(piece)
        filled = filled or bool(decoded.strip("\ufeff \t\r\n"))
        yield decoded.encode()
        piece = stream.read(PIECE)
    if rest := text.decode(b"", final=True):
        yield rest.encode()
    if not filled:
        raise _refusal("empty", "At least one row is expected.")


class _Text:
    """Decodes UTF-8, or from the first bytes on that are none, another encoding."""

    def __init__(self, encoding: str, name: str) -> None:
        self._decoder = codecs.getincrementaldecoder(UTF_8)()
        # What is left to be tried; "" once characters beyond ASCII told.
        self._other = "" if encoding.lower() in (UTF_8, "utf8", "utf-8-sig") else encoding
        self._tried = UTF_8 if not self._other else f"{UTF_8} or {encoding}"
        self._name, self._line = name, 1

    def decode(self, piece: bytes, *, final: bool = False) -> str:
        kept = self._decoder.getstate()[0]
        try:
            text = self._decoder.decode(piece, final)
        except UnicodeError as error:
            return self._otherwise(kept + piece, error, final=final)
        if "\0" in text:
            return self._otherwise(kept + piece, None, final=final)
        if not text.isascii():
            self._other = ""
        self._line += text.count("\n")
        return text

    def _otherwise(self, piece: bytes, error: UnicodeError | None, *, final: bool) -> str:
        decided = isinstance(error, UnicodeDecodeError) and not _is_ascii_before(error)
        if decided or not self._other:
            raise self._refusal(error)
        self._decoder, self._other = codecs.getincrementaldecoder(self._other)(), ""
        return self.decode(piece, final=final)

    def _refusal(self, error: UnicodeError | None) -> InvalidInput:
        if error is None:
            return _refusal("invalid_text", f"{self._name} holds a NUL character.")
        if not isinstance(error, UnicodeDecodeError):
            return _refusal("invalid_utf8", f"{self._name} is not {self._tried}; {_REMEDY}.")
        line = self._line + error.object[: error.start].count(b"\n")
        if error.reason == "unexpected end of data":
            told = f"{self._name} ends within a character, in line {line}."
        else:
            byte = f"line {line} has the byte 0x{error.object[error.start]:02x}"
            told = f"{self._name} is not {self._tried}: {byte}; {_REMEDY}."
        return _refusal("invalid_utf8", told)


def _is_ascii_before(error: UnicodeDecodeError) -> bool:
    return error.object[: error.start].isascii()


def _refusal(code: str, detail: str) -> InvalidInput:
    return InvalidInput([Problem("", code, detail)])
