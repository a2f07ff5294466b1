"""JSON as the contract has it: what could mean two things, or break what stores it, is refused."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import IO, Any, Never

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from everlearn.json_shape import measure
from everlearn.texts import LONGEST_PLACE, UNFIT, legible, unfit_text
from models_app.learning.schema import MAX_PROBLEMS, Problem
from models_app.refusals import InvalidInput, TooMuch

MAX_DEPTH = 32
# A parsed value takes up to 25 times as many bytes as its text, an empty object most of all.
MAX_CONTAINERS = 100_000
MAX_VALUES = 1_000_000
# Tables have up to 10,000 columns.
MAX_MEMBERS = 20_000
# A shorter body cannot pass a limit, unless it has many brackets.
SHORT = 2 * MAX_MEMBERS

# Strict JSON has no raw control characters, and UTF-8 no surrogates: both need an escape.
_PERHAPS_UNFIT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")

# Where a value stands: the place of what holds it, and its name or index there.
_Path = tuple[Any, str | int]


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

    Raises ParseError for what is not JSON or too deep, TooMuch for more values than any request
    needs, and InvalidInput, which names the places, for duplicate names, numbers that are not
    finite, text that cannot be stored, and an object of too many members.
    """
    text = _decode(body)
    _refuse_shape(body)
    try:
        parsed = _DECODER.decode(text)
        doubtful = _PERHAPS_UNFIT.search(body) is not None
    except _Doubtful:
        parsed, doubtful = {}, True
    except (ValueError, RecursionError) as error:
        raise ParseError(f"Not JSON: {_reason(error)}.") from error
    if doubtful:
        del parsed
        parsed = _undoubtful(text)
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


def _refuse_shape(body: bytes) -> None:
    # Before parsing: how deep the parser itself can go depends on the Python, and the memory that
    # values take is taken by then.
    if len(body) <= SHORT and body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    shape = measure(body, most_depth=MAX_DEPTH, most_values=MAX_VALUES)
    if shape.depth > MAX_DEPTH:
        raise ParseError(f"Nested deeper than {MAX_DEPTH}.", code="json_too_deep")
    if shape.containers > MAX_CONTAINERS:
        raise TooMuch(f"The body has more than {MAX_CONTAINERS} objects and arrays.")
    if shape.values > MAX_VALUES:
        raise TooMuch(f"The body has more than {MAX_VALUES} values.", code="too_many_values")
    if len(body) > SHORT and shape.largest_object() > MAX_MEMBERS:
        detail = f"An object has more than {MAX_MEMBERS} members."
        raise InvalidInput([Problem("", "too_many_fields", detail)])


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


def _undoubtful(text: str) -> Any:
    """The text parsed again, with all that is wrong told. Raises ParseError and InvalidInput."""
    try:
        # Within a list, so that a NaN or a text alone is looked at as any other.
        found = [_DOUBTER.decode(text)]
    except ValueError as error:
        raise ParseError(f"Not JSON: {_reason(error)}.") from error
    if problems := list(islice(_problems(None, enumerate(found)), MAX_PROBLEMS)):
        raise InvalidInput(problems)
    del found
    return _DECODER.decode(text)


def _problems(path: _Path | None, children: Iterable[tuple[str | int, Any]]) -> Iterator[Problem]:
    """What is wrong within well-formed JSON, and where; children: names or indices, and values."""
    seen: set[str] | None = set() if isinstance(children, _Members) else None
    for name, value in children:
        if seen is not None:
            yield from _problems_of_name((path, name), str(name), seen)
        if isinstance(value, str | float):
            if fault := _fault(value):
                yield Problem(_place((path, name)), *fault)
        elif isinstance(value, list):
            within = value if isinstance(value, _Members) else enumerate(value)
            yield from _problems((path, name), within)


def _fault(value: str | float) -> tuple[str, str] | None:
    if isinstance(value, str):
        return unfit_text("")[1:] if UNFIT.search(value) else None
    return None if math.isfinite(value) else ("not_finite", "NaN and infinity are not JSON.")


def _problems_of_name(path: _Path, name: str, seen: set[str]) -> Iterator[Problem]:
    if UNFIT.search(name):
        yield unfit_text(_place(path))
    if name in seen:
        detail = "This name occurs twice in one object."
        yield Problem(_place(path), "duplicate_name", detail)
    seen.add(name)


def _place(path: _Path | None) -> str:
    """The names on the way to a value, joined: all but the first, which is of the whole body."""
    names: list[str] = []
    while path is not None:
        path, name = path
        names.append(legible(str(name)))
    return ".".join(reversed(names[:-1]))[:LONGEST_PLACE]


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, line {error.lineno} column {error.colno}"
    return "a number has too many digits"
