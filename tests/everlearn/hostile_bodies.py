"""Bodies that cost the most for their length, each of about as many bytes as one asks for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from itertools import count
from typing import Any

Body = Callable[[int], bytes]

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=x"
CSV = "text/csv"
NDJSON = "application/x-ndjson"


def filled(unit: bytes, *, within: bytes = b"[]", between: bytes = b",") -> Body:
    """`unit` over and over, separated, between two brackets."""

    def body(size: int) -> bytes:
        times = max(1, (size - len(within)) // (len(unit) + len(between)))
        return within[:1] + between.join([unit] * times) + within[1:]

    return body


def around(before: bytes, unit: bytes, after: bytes = b"") -> Body:
    """`unit` over and over, with something before and after."""
    return lambda size: (
        before + unit * (max(0, size - len(before) - len(after)) // len(unit)) + after
    )


def items(item: Mapping[str, Any]) -> Body:
    """A list of equal items, 10,000 at most: each as long as the size asks for."""
    unit = json.dumps(item).encode()
    return lambda size: b"[" + b",".join([unit] * min(10_000, max(1, size // len(unit)))) + b"]"


def names(member: str) -> Body:
    """One object of different names."""

    def body(size: int) -> bytes:
        return b"{" + b",".join(_up_to(size, (member % n for n in count()))) + b"}"

    return body


def _up_to(size: int, texts: Iterable[str]) -> list[bytes]:
    found, length = [], 0
    for text in texts:
        found.append(text.encode())
        length += len(text) + 1
        if length >= size:
            break
    return found


def _within_instances(size: int) -> bytes:
    return b'{"instances": [' + names('"length%x": 1')(size) + b"]}"


PART = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
UNKNOWN = {f"lengt{index:02d}": 1 for index in range(60)}

BODIES: dict[str, tuple[str, Body]] = {
    "an unclosed string of escapes": (JSON, around(b"[" * 33 + b'"', b'\\"')),
    "an unclosed string of backslashes": (JSON, around(b"[" * 33 + b'"', b"\\")),
    "quotes": (JSON, around(b"[" * 33, b'"')),
    "short strings that never close": (JSON, around(b"[" * 33, b'"ab')),
    "opening brackets": (JSON, around(b"", b"[")),
    "deep and wide": (JSON, filled(b"[" * 31 + b"]" * 31)),
    "empty objects": (JSON, filled(b"{}")),
    "empty lists": (JSON, filled(b"[]")),
    "small objects": (JSON, filled(b'{"a":1}')),
    "ones": (JSON, filled(b"1")),
    "NaN and many ones": (JSON, lambda size: b"[NaN," + filled(b"1")(size - 5)[1:]),
    "equal names": (JSON, filled(b'"a":1', within=b"{}")),
    "different names": (JSON, names('"%x":1')),
    "names near a valid one": (JSON, names('"instance%x":1')),
    "unknown features": (JSON, _within_instances),
    "long names": (JSON, filled(b'"' + b"n" * 50_000 + b'":1', within=b"{}")),
    "escaped NULs": (JSON, filled(b'"\\u0000"')),
    "one text of escapes": (JSON, around(b'["', b"\\ud83c\\udf77", b'"]')),
    "a long number": (JSON, around(b"[", b"9", b"]")),
    "long numbers": (JSON, filled(b"9" * 4299)),
    "a long fraction": (JSON, around(b"[0.", b"9", b"]")),
    "unknown members of items": (JSON, items({f"mode{n:02d}": 1 for n in range(60)})),
    "unknown features of items": (
        JSON, items({"model": "leaves", "features": UNKNOWN, "value": "oak"}),
    ),
    "items of nothing": (JSON, items({})),
    "items of an unknown model": (JSON, items({"model": "x", "features": {}, "value": "oak"})),
    "a long text": (JSON, around(b'{"reason":"', b"x", b'"}')),
    "spaces": (JSON, around(b"{", b" ", b"}")),
    "fields": (FORM, around(b"a=%80", b"&a")),
    "escapes in a field": (FORM, around(b"a=", b"%C3%A4")),
    "nothing but ampersands": (FORM, around(b"%00", b"&")),
    "parts": (MULTIPART, around(b"", PART)),
    "boundaries": (MULTIPART, around(b"--x", b"\r\n--")),
    "a header of columns": (CSV, lambda size: b",".join(_up_to(size, map(str, count())))),
    "empty cells": (CSV, around(b"length,width\n", b",")),
    "a giant cell": (CSV, around(b'length,width\n"', b"x")),
    "rows of nothing": (NDJSON, around(b"", b"{}\n")),
}  # fmt: skip


@cache
def made(name: str, size: int) -> bytes:
    """The body of that name; made once, as it is sent to many routes."""
    return BODIES[name][1](size)
