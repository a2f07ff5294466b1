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
LOOKED_AT = 100  # lines
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


def codec_of(encoding: str) -> str:
    """The name of what decodes a file: UTF-8 may begin with a byte order mark."""
    return "utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding


def decoded(beginning: bytes, encoding: str) -> str:
    """The text that a file begins with; what is no character of the encoding is replaced."""
    return beginning.decode(codec_of(encoding), errors="replace")


def separator_of(beginning: bytes, encoding: str) -> str:
    """What separates the cells of a file that begins so: a comma, unless its lines show another.

    That is the first one by which all of the first lines have as many cells, more than one.
    """
    lines = decoded(beginning, encoding).splitlines(keepends=True)[:LOOKED_AT]
    for separator in (",", *OTHER_SEPARATORS):
        with suppress(csv.Error):
            sizes = {len(row) for row in csv.reader(lines, delimiter=separator) if row}
            if len(sizes) == 1 and sizes != {1}:
                return separator
    return ","


def has_blanks_after(text: str, separator: str) -> bool:
    """Whether blanks follow the separators of the first line, which are no part of its cells."""
    return f"{separator} " in next(iter(text.splitlines()), "")


def columns_of(text: str, separator: str) -> int:
    """How many cells the first line has that is not empty."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    return len(next((row for row in rows if row), []))


def refuse_header(beginning: bytes, text: str, separator: str) -> None:
    """Raise ValueError where the first line shows another separator, or a name twice."""
    if beginning.startswith(WIDE_TEXT) and "\0" in text:
        raise ValueError(
            'it is text in UTF-16; save it as CSV UTF-8, or declare encoding = "utf-16"'
        )
    header = next((line for line in text.splitlines() if line.strip()), "")
    names = _cells(header, separator)
    if len(names) == 1:
        for other, called in OTHER_SEPARATORS.items():
            if len(_cells(header, other)) > 1:
                shown = "\\t" if other == "\t" else other
                raise ValueError(
                    f"line 1: its cells are separated by {called}, not by commas; "
                    f'save it with commas, or declare separator = "{shown}"'
                )
    for name, times in Counter(name.strip() for name in names if name.strip()).items():
        if times > 1:
            raise ValueError(
                f"line 1: column {name[:SHOWN]!r} occurs {times} times; give each its own name"
            )


def lines_of(file: IO[bytes], separator: str, encoding: str, rows: int) -> range | list[int] | None:
    """The line on which each of `rows` rows begins; None where the file has another number."""
    file.seek(0)
    ends = sum(piece.count(b"\n") for piece in iter(lambda: file.read(PIECE), b""))
    if ends - rows in (0, 1):  # a header and a line each, with an end or none after the last
        return range(2, rows + 2)
    file.seek(0)
    lines = io.TextIOWrapper(file, encoding=encoding, errors="replace", newline="")
    try:
        found = [begins for begins, row in _numbered(csv.reader(lines, delimiter=separator)) if row]
    finally:
        lines.detach()  # the caller's file stays open
    return found[1:] if len(found) == rows + 1 else None


def undecodable(file: IO[bytes], encoding: str) -> str:
    """Where a file stops being text of its encoding."""
    file.seek(0)
    decoder = codecs.getincrementaldecoder(codec_of(encoding))()
    remedy = 'save the file as CSV UTF-8, or declare its encoding, as encoding = "cp1252"'
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
            return f"line {line}: the byte 0x{found:02x} is not {encoding.upper()} text; {remedy}"
        line += piece.count(b"\n")
    return f"line {line}: the file ends within a character; {remedy}"


def uneven(file: IO[bytes], separator: str, encoding: str) -> str:
    """The first line that has more cells than the header, other than empty ones; "" for none."""
    file.seek(0)
    lines = io.TextIOWrapper(file, encoding=codec_of(encoding), errors="replace", newline="")
    try:
        rows = csv.reader(lines, delimiter=separator)
        with suppress(csv.Error):
            for (first, header), (number, row) in _pairs(rows):
                if any(cell.strip() for cell in row[len(header) :]):
                    return (
                        f"line {number} has {len(row)} cells, line {first} has {len(header)}; "
                        "the header must come first, and cells with separators need quotes"
                    )
        return ""
    finally:
        lines.detach()  # the caller's file stays open


def _pairs(rows: Iterator[list[str]]) -> Iterator[tuple[tuple[int, list[str]], ...]]:
    """The header beside each row after it, with the lines on which they begin."""
    header = None
    for begins, row in _numbered(rows):
        if row:
            if header is None:
                header = (begins, row)
            else:
                yield header, (begins, row)


def _numbered(rows: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """Each row with the line on which it begins; empty lines are empty rows."""
    begins = 1
    for row in rows:
        yield begins, row
        begins = rows.line_num + 1  # type: ignore[attr-defined]


def _cells(line: str, separator: str) -> list[str]:
    try:
        return next(iter(islice(csv.reader([line], delimiter=separator), 1)), [])
    except csv.Error:
        return [line]
