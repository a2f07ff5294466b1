"""JSON as the contract has it: what could mean two things, or break what stores it, is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import IO, Any, Never

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

MAX_DEPTH = 32

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NOT_A_BRACKET = bytes(set(range(256)) - set(b"[]{}"))
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_UNFIT = re.compile("[\x00\ud800-\udfff]")


class StrictJSONParser(BaseParser):
    """Parses a JSON object or array; refuses duplicate names, NaN, and text nobody can store."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        return parse(stream.read())


def parse(body: bytes) -> dict[str, Any] | list[Any]:
    """The object or array that `body` holds. Raises ParseError with a code of its own each."""
    text = _decode(body)
    _refuse_depth(body)
    try:
        parsed = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise ParseError(f"Not JSON: {_reason(error)}.") from error
    if not isinstance(parsed, dict | list):
        raise ParseError("The body must be a JSON object or array.", code="not_an_object")
    # Strict JSON has no raw control characters, and UTF-8 no surrogates: both need an escape.
    if b"\\u" in body:
        _refuse_unfit_text(parsed)
    return parsed


def _decode(body: bytes) -> str:
    if body.startswith(b"\xef\xbb\xbf"):
        raise ParseError("The body begins with a byte order mark.", code="byte_order_mark")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise ParseError(
            f"The body is not UTF-8 at byte {error.start}.", code="invalid_utf8"
        ) from error


def _refuse_depth(body: bytes) -> None:
    # Counted before parsing: how deep the parser itself can go depends on the Python.
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    brackets = _STRING.sub(b"", body).translate(None, _NOT_A_BRACKET)
    if max(accumulate(map(_STEP.__getitem__, brackets)), default=0) > MAX_DEPTH:
        raise ParseError(f"Nested deeper than {MAX_DEPTH}.", code="too_deep")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ParseError(f"The name {twice!r} occurs twice in one object.", code="duplicate_name")
    return members


def _refuse_constant(constant: str) -> Never:
    raise ParseError(f"{constant} is not JSON.", code="not_finite")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)


def _refuse_unfit_text(parsed: object) -> None:
    for text in _texts(parsed):
        if unfit := _UNFIT.search(text):
            code = "nul_character" if unfit[0] == "\0" else "lone_surrogate"
            raise ParseError("A text holds a NUL character or half of a surrogate pair.", code=code)


def _texts(parsed: object) -> Iterator[str]:
    waiting = [parsed]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict):
            waiting.extend((*part, *part.values()))
        elif isinstance(part, list):
            waiting.extend(part)


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, line {error.lineno} column {error.colno}"
    return "a number has too many digits"
