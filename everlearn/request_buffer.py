"""What a connection has sent, until it is a whole request: no thread waits for the rest."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from typing import IO, Any

from gunicorn.http.body import ChunkedReader as GunicornChunkedReader
from gunicorn.util import unquote_to_wsgi_str

from everlearn.body_limits import limit_of
from everlearn.connection_limits import Limits, more_time
from everlearn.http_framing import (
    BodyTooLarge,
    ChunkedReader,
    LengthReader,
    end_of_head,
    parsed_head,
)

# Longer bodies go to a temporary file.
HELD_IN_MEMORY = 64 * 1024


class RequestBuffer:
    """Cuts requests out of the bytes of one connection.

    deadline: when, by the monotonic clock, the request under way must have come further; its
    owner sets that of the head.
    head: the parsed head of the request under way, once that is whole.
    """

    def __init__(self, config: Any, client: Any, limits: Limits) -> None:
        self.head: Any = None
        self.deadline = 0.0
        self._config, self._client, self._limits = config, client, limits
        self._received = bytearray()
        self._scanned = 0
        self._parsed = 0
        self._last_moment = 0.0
        self._body: IO[bytes] | None = None
        self._reader: ChunkedReader | LengthReader | None = None

    def feed(self, data: bytes, now: float) -> None:
        """Add what was received."""
        if self._reader:
            deadline = more_time(
                self._limits, self.deadline, len(data), now, self._limits.body_pause
            )
            self.deadline = min(deadline, self._last_moment)
        self._received += data

    @property
    def begun(self) -> bool:
        """Whether any byte of a request that is not whole has come."""
        return bool(self._received) or self.head is not None

    @property
    def held(self) -> int:
        """How many bytes wait here for the rest of their request."""
        return len(self._received) + (self._reader.length if self._reader else 0)

    def take(self, now: float) -> Any:
        """The next request, with its body to read from; None while it is not whole.

        Raises gunicorn's ParseException, of which BodyTooLarge is one, for what is refused: the
        connection cannot be used again then.
        """
        if self.head is None and not (self._received and self._take_head(now)):
            return None
        if self._reader and not self._reader.take(self._received):
            return None
        return self._whole()

    def drop(self) -> None:
        """Give back what is held: no more requests are wanted."""
        self._received.clear()
        if self._body:
            self._body.close()

    def _take_head(self, now: float) -> bool:
        end = end_of_head(self._received, self._scanned, self._config.limit_request_line)
        if end < 0:
            self._scanned = len(self._received)
            return False
        self._parsed += 1
        head = bytes(self._received[:end])
        self.head = parsed_head(self._config, head, self._client, self._parsed)
        del self._received[:end]
        self._begin_body(now)
        return True

    def _begin_body(self, now: float) -> None:
        reader = self.head.body.reader
        if isinstance(reader, GunicornChunkedReader):
            make: Callable[..., ChunkedReader | LengthReader] = ChunkedReader
            length, of_reader = 0, self._limit()
        elif reader.length:
            make, length, of_reader = LengthReader, reader.length, reader.length
            if length > (limit := self._limit()):
                raise BodyTooLarge(limit)
        else:
            return
        self._body = io.BytesIO() if 0 < length <= HELD_IN_MEMORY else _spool()
        self._reader = make(self._body, of_reader)
        self.deadline = now + self._limits.grace
        self._last_moment = now + self._limits.body

    def _limit(self) -> int:
        # As the application will see it.
        return limit_of(unquote_to_wsgi_str(self.head.path))

    def _whole(self) -> Any:
        request, body, reader = self.head, self._body, self._reader
        if isinstance(reader, ChunkedReader):
            others = [header for header in request.headers if header[0] != "TRANSFER-ENCODING"]
            request.headers = [*others, ("CONTENT-LENGTH", str(reader.length))]
        if body:
            body.seek(0)
        request.body = body or io.BytesIO()
        request.body_length = reader.length if reader else 0
        self.head = self._body = self._reader = None
        self._scanned = 0
        return request


def _spool() -> IO[bytes]:
    return tempfile.SpooledTemporaryFile(HELD_IN_MEMORY)
