"""Say why a file cannot be read as CSV: the line, what was found there, and the remedy.

The file itself is read by pandas, whose own messages name neither.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import IO

OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
PIECE = 2**20
SHOWN = 80
# Each is how files of a kind begin: of Excel's older workbooks, and of two encodings of text.
OLD_WORKBOOK = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
WIDE_TEXT = (b"\xff\xfe", b"\xfe\xff")


def spreadsheet(beginning: bytes) -> str:
    """What kind of workbook a file is that begins so; "" when it is none."""
    if beginning.startswith(OLD_WORKBOOK):
        return "an Excel workbook (.xls)"
    if not beginning.startswith(b"PK\x03\x04"):
        return ""
    if b"opendocument.spreadsheet" in beginning[:200]:
        return "an OpenDocument spreadsheet (.ods)"
    # Office writes the list of its parts first; other programs may write a part first.
    parts = (b"[Content_Types].xml", b"xl/workbook", b"xl/worksheets")
    return "an Excel workbook (.xlsx)" if any(part in beginning for part in parts) else ""


def refuse_header(beginning: bytes) -> None:
    """Raise ValueError where the first line shows another separator, or a name twice."""
    if beginning.startswith(WIDE_TEXT):
        raise ValueError("it is text in UTF-16; save it as CSV UTF-8")
    text = beginning.decode("utf-8-sig", errors="replace")
    header = next((line for line in text.splitlines() if line.strip()), "")
    names = _cells(header)
    if len(names) == 1:
        for separator, called in OTHER_SEPARATORS.items():
            if len(_cells(header, separator)) > 1:
                raise ValueError(
                    f"line 1: its cells are separated by {called}, not by commas; "
                    "save it with commas"
                )
    for name, times in Counter(name.strip() for name in names if name.strip()).items():
        if times > 1:
            raise ValueError(
                f"line 1: column {name[:SHOWN]!r} occurs {times} times; give each its own name"
            )


def undecodable(file: IO[bytes]) -> str:
    """Where a file stops being UTF-8."""
    file.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    line = 1
    for piece in iter(lambda: file.read(PIECE), b""):
        kept = len(decoder.getstate()[0])
        try:
            decoder.decode(piece)
        except UnicodeDecodeError as error:
            # The decoder had kept the first bytes of a character that the piece before cut.
            at = max(0, error.start - kept)
            line += piece[:at].count(b"\n")
            found = error.object[error.start]
            return (
                f"line {line}: the byte 0x{found:02x} is not UTF-8 text; save the file as CSV UTF-8"
            )
        line += piece.count(b"\n")
    return f"line {line}: the file ends within a character; save it as CSV UTF-8"


def uneven(file: IO[bytes]) -> str:
    """The first line that has more cells than the header; "" when none is found."""
    file.seek(0)
    lines = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="")
    try:
        rows = csv.reader(lines)
        with suppress(csv.Error):
            for (first, header), (number, row) in _pairs(rows):
                if len(row) > len(header):
                    return (
                        f"line {number} has {len(row)} cells, line {first} has {len(header)}; "
                        "the header must come first, and cells with commas need quotes"
                    )
        return ""
    finally:
        lines.detach()  # the caller's file stays open


def _pairs(rows: Iterator[list[str]]) -> Iterator[tuple[tuple[int, list[str]], ...]]:
    """The header beside each row after it, with the lines on which they begin."""
    begins, header = 1, None
    for row in rows:
        if row:
            if header is None:
                header = (begins, row)
            else:
                yield header, (begins, row)
        begins = rows.line_num + 1  # type: ignore[attr-defined]


def _cells(line: str, separator: str = ",") -> list[str]:
    try:
        return next(iter(islice(csv.reader([line], delimiter=separator), 1)), [])
    except csv.Error:
        return [line]
