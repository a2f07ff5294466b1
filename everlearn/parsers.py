"""JSON as the contract has it: what could mean two things, or break what stores it, is refused."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from itertools import accumulate, islice
from typing import IO, Any, Never

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from everlearn.texts import UNFIT, legible, unfit_text
from models_app.learning.schema import MAX_PROBLEMS, Problem
from models_app.refusals import InvalidInput

MAX_DEPTH = 32

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NOT_A_BRACKET = bytes(set(range(256)) - set(b"[]{}"))
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
# Strict JSON has no raw control characters, and UTF-8 no surrogates: both need an escape.
_PERHAPS_UNFIT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")


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
    """The object or array that `body` holds.

    Raises ParseError for what is not JSON, and InvalidInput, which names the places, for
    duplicate names, numbers that are not finite, and text that cannot be stored.
    """
    text = _decode(body)
    _refuse_depth(body)
    try:
        parsed = _DECODER.decode(text)
        doubtful = _PERHAPS_UNFIT.search(body) is not None
    except _Doubtful:
        parsed, doubtful = {}, True
    except (ValueError, RecursionError) as error:
        raise ParseError(f"Not JSON: {_reason(error)}.") from error
    if doubtful and (problems := list(islice(_problems(text), MAX_PROBLEMS))):
        raise InvalidInput(problems)
    if not isinstance(parsed, dict | list):
        raise ParseError("The body must be a JSON object or array.", code="not_an_object")
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
        raise ParseError(f"Nested deeper than {MAX_DEPTH}.", code="json_too_deep")


class _Doubtful(Exception):
    """There is a duplicate name or a NaN somewhere; only a second look says where."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Doubtful
    return members


def _refuse_constant(_: str) -> Never:
    raise _Doubtful


class _Members(list[tuple[str, Any]]):
    """An object with all its members, also those whose name comes twice."""


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)
_DOUBTER = json.JSONDecoder(object_pairs_hook=_Members, parse_constant=float)


def _problems(text: str) -> Iterator[Problem]:
    """What is wrong within well-formed JSON, and where."""
    try:
        waiting: list[tuple[str, Any]] = [("", _DOUBTER.decode(text))]
    except ValueError as error:
        raise ParseError(f"Not JSON: {_reason(error)}.") from error
    while waiting:
        place, part = waiting.pop()
        if isinstance(part, str):
            if UNFIT.search(part):
                yield unfit_text(place)
        elif isinstance(part, float) and not math.isfinite(part):
            yield Problem(place, "not_finite", "NaN and infinity are not JSON.")
        elif isinstance(part, _Members):
            yield from _problems_of_names(place, part)
            waiting.extend((_within(place, name), value) for name, value in reversed(part))
        elif isinstance(part, list):
            numbered = reversed(list(enumerate(part)))
            waiting.extend((_within(place, index), value) for index, value in numbered)


def _problems_of_names(place: str, members: _Members) -> Iterator[Problem]:
    seen: set[str] = set()
    for name, _ in members:
        if UNFIT.search(name):
            yield unfit_text(_within(place, name))
        if name in seen:
            detail = "This name occurs twice in one object."
            yield Problem(_within(place, name), "duplicate_name", detail)
        seen.add(name)


def _within(place: str, name: str | int) -> str:
    name = legible(str(name))
    return f"{place}.{name}" if place else name


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, line {error.lineno} column {error.colno}"
    return "a number has too many digits"
