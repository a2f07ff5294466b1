"""Where a request begins and ends.

gunicorn parses the head. This is stricter where it is lenient: what two programs may read
differently lets a client smuggle a request past a proxy in front, so it is refused.
"""

from __future__ import annotations

import re
from typing import IO, Any

from gunicorn.http.errors import (
    InvalidHeader,
    InvalidRequestLine,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader

END_OF_HEAD = b"\r\n\r\n"
LONGEST_HEAD = 64 * 1024
LONGEST_CHUNK_LINE = 256

# A line ends with CR LF; neither stands alone, nor does any other control character but a tab.
_UNFIT = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r(?=[^\n])")
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;%b(?:=(?:%b|%b))?)*" % (_TOKEN, _TOKEN, _QUOTED))


class ChunkError(ParseException):  # type: ignore[misc]  # gunicorn has no types
    """A chunk is malformed."""


class BodyTooLarge(ParseException):  # type: ignore[misc]  # gunicorn has no types
    """A body is longer than its route takes. limit: that many bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


def end_of_head(data: bytearray, scanned: int, longest_line: int) -> int:
    """Where the head that `data` begins with ends; -1 when it is not whole.

    scanned: how much of it was looked at before. longest_line: bytes of the request line.
    Raises ParseException as soon as it can become no head.
    """
    end = data.find(END_OF_HEAD, max(0, scanned - 3))
    upto = end + len(END_OF_HEAD) if end >= 0 else len(data)
    longest_line = longest_line or LONGEST_HEAD
    # Before any complaint about its characters: a line that is too long has an answer of its own.
    if data.find(b"\r\n", 0, longest_line + 2) < 0 and upto > longest_line + 1:
        raise LimitRequestLine(upto, longest_line)
    if _UNFIT.search(data, max(0, scanned - 1), upto):
        raise InvalidRequestLine("control character")
    if upto > LONGEST_HEAD:
        raise LimitRequestHeaders("the whole head")
    return upto if end >= 0 else -1


def parsed_head(config: Any, head: bytes, client: Any, number: int) -> Any:
    """gunicorn's Request for a whole head. Raises ParseException."""
    if b"\t" in head[: head.index(b"\r\n")]:
        raise InvalidRequestLine("tab")
    request = Request(config, IterUnreader([head]), client, number)
    codings = [value for name, value in request.headers if name == "TRANSFER-ENCODING"]
    if codings and [coding.lower() for coding in codings] != ["chunked"]:
        raise InvalidHeader("TRANSFER-ENCODING")
    return request


class ChunkedReader:
    """Takes a body in chunks out of what was received, and writes their data to a file.

    Raises ChunkError, and BodyTooLarge as soon as more than `limit` bytes are announced.
    """

    def __init__(self, body: IO[bytes], limit: int) -> None:
        self.length = 0
        self._body = body
        self._limit = limit
        self._left = -1  # of the chunk under way; -1 before its size is known
        self._last = False

    def take(self, received: bytearray) -> bool:
        """Remove from `received` what belongs to the body; whether the body is whole."""
        at = 0
        try:
            while (after := self._step(received, at)) >= 0:
                at = after
                if self._last and self._left < 0:
                    return True
        finally:
            del received[:at]
        return False

    def _step(self, received: bytearray, at: int) -> int:
        """Read one size, piece or end of a chunk; where it ends, or -1 when more must come."""
        if self._left < 0:
            return self._read_size(received, at)
        if self._left == 0:
            return self._read_end(received, at)
        piece = received[at : at + self._left]
        if not piece:
            return -1
        self._body.write(piece)
        self.length += len(piece)
        self._left -= len(piece)
        return at + len(piece)

    def _read_size(self, received: bytearray, at: int) -> int:
        end = received.find(b"\r\n", at, at + LONGEST_CHUNK_LINE + 2)
        if end < 0:
            if len(received) - at > LONGEST_CHUNK_LINE or _UNFIT.search(received, at):
                raise ChunkError("chunk size")
            return -1
        line = _CHUNK_LINE.fullmatch(received, at, end)
        if line is None:
            raise ChunkError("chunk size")
        self._left = int(line[1], 16)
        self._last = self._left == 0
        if self.length + self._left > self._limit:
            raise BodyTooLarge(self._limit)
        return end + 2

    def _read_end(self, received: bytearray, at: int) -> int:
        end = bytes(received[at : at + 2])  # after the last chunk too: no trailers are taken
        if not b"\r\n".startswith(end):
            raise ChunkError("end of a chunk")
        if len(end) < 2:
            return -1
        self._left = -1
        return at + 2


class LengthReader:
    """Takes a body of a known length out of what was received, and writes it to a file."""

    def __init__(self, body: IO[bytes], length: int) -> None:
        self.length = 0
        self._body = body
        self._left = length

    def take(self, received: bytearray) -> bool:
        """Remove from `received` what belongs to the body; whether the body is whole."""
        if self._left:
            piece = received[: self._left]
            del received[: len(piece)]
            self._body.write(piece)
            self.length += len(piece)
            self._left -= len(piece)
        return not self._left
