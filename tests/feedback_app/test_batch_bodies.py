from __future__ import annotations

import io

import pytest

from feedback_app.batch_bodies import checked_pieces
from models_app.refusals import InvalidInput


def stored(*pieces: bytes, encoding: str = "cp1252") -> str:
    """What is stored of a body that comes in these pieces."""

    class Stream(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return waiting.pop(0) if waiting else b""

    waiting = list(pieces)
    head = waiting.pop(0)
    return b"".join(checked_pieces(Stream(), head, encoding=encoding)).decode()


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"a\xff", "invalid_utf8"), (b"a\xc3", "invalid_utf8"), (b"a\0", "invalid_text"),
     (b" \n", "empty"), (b"", "empty")],
)  # fmt: skip
def test_what_is_no_text_is_refused(body: bytes, code: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        list(checked_pieces(io.BytesIO(), body))

    assert refusal.value.code == code


def test_a_character_may_lie_on_the_border_of_two_pieces() -> None:
    pieces = list(checked_pieces(io.BytesIO(b"\xa4!"), b"\xc3"))

    assert b"".join(pieces).decode() == "ä!"


@pytest.mark.parametrize(
    "pieces",
    [
        (b"K\xf6ln,1\n",),
        (b"Bonn,1\nK", b"\xf6ln,1\n"),
        (b"Bonn,1\nK\xf6", b"ln,1\n"),
        (b"Bonn,1\nK", b"\xf6"),
        (b"Bonn,1\nK\xc3",),
    ],
)
def test_what_is_not_utf_8_is_read_in_the_encoding_of_the_data(pieces: tuple[bytes, ...]) -> None:
    assert stored(*pieces) == b"".join(pieces).decode("cp1252")


@pytest.mark.parametrize("encoding", ["cp1252", "shift_jis", "utf-16", "utf-8-sig", "utf-8"])
def test_utf_8_is_read_whatever_the_encoding_of_the_data(encoding: str) -> None:
    whole = "\ufeffstadt,n\nKöln,1\n"

    assert stored(whole.encode()[:14], whole.encode()[14:], encoding=encoding) == whole


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "shift_jis", "koi8-r"])
def test_other_encodings_are_read_where_they_are_the_datas(encoding: str) -> None:
    text = "town,n\nBonn,1\n" + {"shift_jis": "東京", "koi8-r": "Москва"}.get(encoding, "Köln")
    body = text.encode(encoding)

    assert stored(body[:9], body[9:31], body[31:], encoding=encoding) == text


@pytest.mark.parametrize(
    ("pieces", "told"),
    [
        ((b"a\n", b"b\nK\xc3\xb6ln\nK\xf6ln\n"), "line 4 has the byte 0xf6; save the file"),
        ((b"K\xc3\xb6ln\n", b"a\nK\xf6ln\n"), "line 3 has the byte 0xf6"),
        ((b"a\n\x81\n",), "The body is not utf-8 or cp1252: line 2 has the byte 0x81"),
        ((b"K\xc3\xb6ln\nK\xc3",), "ends within a character, in line 2"),
    ],
)  # fmt: skip
def test_the_first_characters_beyond_ascii_tell_and_the_line_of_others_is_named(
    pieces: tuple[bytes, ...], told: str
) -> None:
    with pytest.raises(InvalidInput, match=told):
        stored(*pieces)


def test_a_workbook_is_called_one() -> None:
    with pytest.raises(
        InvalidInput, match=r"The body is an Excel workbook \(.xls\); save it as CSV"
    ):
        stored(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
