"""Refusals of files: the line, what was found there, and what to do."""

from __future__ import annotations

import zipfile
from io import BytesIO

import pytest

from models_app import table_files


def workbook(part: str, content: str = "") -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(part, content)
        archive.writestr("xl/workbook.xml", "")
    return file.getvalue()


REFUSED = {
    "semicolons": (
        b"size;weight;kind\n5,25;60,4;oak\n",
        "line 1: its cells are separated by semicolons, not by commas; save it with commas",
    ),
    "tabs": (b"size\tkind\n5\toak\n", "line 1: its cells are separated by tabs"),
    "bars": (b"\xef\xbb\xbfsize|kind\n5|oak\n", "line 1: its cells are separated by vertical"),
    "a name twice": (
        b"a,b,cls,cls\n1,2,u,u\n",
        "line 1: column 'cls' occurs 2 times; give each its own name",
    ),
    "a name twice but for blanks": (b"a,cls, cls\n1,u,u\n", "column 'cls' occurs 2 times"),
    "Windows text": (
        b"stadt,n\nBonn,1\nK\xf6ln,0\n",
        "line 3: the byte 0xf6 is not UTF-8 text; save the file as CSV UTF-8",
    ),
    "Windows text far down": (
        b"stadt,n\n" + b"Bonn,1\n" * 400_000 + b"K\xf6ln,0\n",
        "line 400002: the byte 0xf6",
    ),
    "half a character": (b"stadt,n\nBonn,K\xc3", "within a character"),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), "UTF-16; save it as CSV UTF-8"),
    "a title": (
        b"Monthly export of plants\n\nsize,weight,kind\n4.98,60.1,oak\n",
        "line 3 has 3 cells, line 1 has 1; the header must come first",
    ),
    "a comma too many": (
        b"size,kind\n4.98,oak\n4,98,oak\n",
        "line 3 has 3 cells, line 1 has 2",
    ),
    "after a cell of two lines": (b'note,kind\n"a\nb",oak\nc,d,e\n', "line 4 has 3 cells"),
    "a workbook": (workbook("[Content_Types].xml"), "an Excel workbook (.xlsx); save it as CSV"),
    "a workbook of another program": (workbook("xl/styles.xml"), "an Excel workbook (.xlsx)"),
    "an old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "Excel workbook (.xls)"),
    "OpenDocument": (
        workbook("mimetype", "application/vnd.oasis.opendocument.spreadsheet"),
        "an OpenDocument spreadsheet (.ods)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_read_is_refused_with_line_and_remedy(name: str) -> None:
    content, expected = REFUSED[name]

    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the message is what is tested
        table_files.parse(BytesIO(content))

    assert expected in str(refused.value)


@pytest.mark.parametrize(
    "content",
    [
        b"only\n1\n2\n",
        b'"a;b"\n1\n',
        b"size; weight,kind\n1,oak\n",
        b"a,,\n1,2,3\n",
        b'note,kind\n"a, ""b""\nc",oak\n',
        b"\xef\xbb\xbfsize,kind\n5,oak\n",
    ],
)
def test_what_only_looks_like_a_fault_is_read(content: bytes) -> None:
    assert len(table_files.parse(BytesIO(content))) >= 1
