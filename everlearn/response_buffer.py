"""Answers on their way: a thread writes here, and never waits for a client that reads slowly."""

from __future__ import annotations

import os
import select
import socket
import sys
import tempfile
import termios
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from fcntl import ioctl
from typing import IO, Any

from everlearn.connection_limits import MIB, Limits, more_time

PIECE = 64 * 1024
AT_ONCE = 4 * PIECE  # for one connection, before another has its turn
HELD_IN_MEMORY = 256 * 1024
# Of an answer made while it is sent; beyond it the thread waits for the client.
HELD = 32 * MIB


@dataclass(slots=True)
class FilePart:
    """`left` bytes of a file, from `at` on."""

    file: int
    at: int
    left: int


class ResponseBuffer:
    """Stands in for the socket where gunicorn writes an answer.

    What the client's system does not take at once is kept, in a temporary file where it is much.
    One thread at a time may use it.
    """

    def __init__(self, connection: socket.socket, limits: Limits) -> None:
        self._socket, self._limits = connection, limits
        self._parts: deque[memoryview | FilePart] = deque()
        self._in_memory = 0
        self._spilled = 0
        self._spill: IO[bytes] | None = None
        self._files: list[int] = []
        self._sent = 0

    @property
    def pending(self) -> bool:
        """Whether anything is left to send."""
        return bool(self._parts)

    @property
    def held(self) -> int:
        """How many bytes wait here, but for those of files that are there anyway."""
        return self._in_memory + self._spilled

    def sendall(self, data: bytes) -> None:
        """Take `data`; it is sent with the next `flush`, or when much has gathered."""
        if not data:
            return
        self._parts.append(memoryview(data))
        self._in_memory += len(data)
        if self._in_memory >= PIECE:
            self.flush()
        if self._in_memory > HELD_IN_MEMORY:
            self._spill_tail()
        if self._spilled > HELD:
            self._send_waiting()

    def sendfile(self, file: IO[bytes], offset: int = 0, count: int | None = None) -> None:
        """Take `count` bytes of a file on disk, which may be closed meanwhile."""
        copy = os.dup(file.fileno())
        self._files.append(copy)
        left = os.fstat(copy).st_size - offset if count is None else count
        if left > 0:
            self._parts.append(FilePart(copy, offset, left))

    def flush(self, most: float = float("inf")) -> None:
        """Send what the client's system takes now, `most` bytes of it. Raises OSError."""
        while self._parts and most > 0:
            piece = self._next_piece()
            try:
                sent = self._socket.send(piece)
            except BlockingIOError:
                return
            most -= sent
            self._sent += sent
            self._drop(sent)
        if not self._parts and (self._files or self._spill):
            self.drop()

    def delivered(self) -> int:
        """How many bytes the client's system has acknowledged, as far as ours knows."""
        waiting = bytearray(4)
        with suppress(OSError):
            ioctl(self._socket, termios.TIOCOUTQ, waiting)
        return self._sent - int.from_bytes(waiting, sys.byteorder)

    def drop(self) -> None:
        """Give back what is held."""
        self._parts.clear()
        self._in_memory = self._spilled = 0
        for file in self._files:
            os.close(file)
        self._files.clear()
        if self._spill:
            self._spill.close()
            self._spill = None

    # gunicorn closes its socket after an answer that broke off; the worker does that here.
    def shutdown(self, how: int) -> None:
        raise OSError

    def close(self) -> None:
        pass

    def _next_piece(self) -> bytes | memoryview:
        part = self._parts[0]
        if isinstance(part, memoryview):
            # The head of an answer and its body leave together.
            if len(self._parts) > 1 and self._in_memory <= PIECE and not self._files:
                part = memoryview(b"".join(self._taken_from_the_end()))
                self._parts.append(part)
            return part
        piece = os.pread(part.file, min(PIECE, part.left), part.at)
        if not piece:
            raise OSError("The file became shorter.")
        return piece

    def _drop(self, sent: int) -> None:
        part = self._parts[0]
        if isinstance(part, memoryview):
            self._in_memory -= sent
            self._parts[0] = rest = part[sent:]
            if not rest:
                self._parts.popleft()
            return
        if self._spill and part.file == self._spill.fileno():
            self._spilled -= sent
        part.at += sent
        part.left -= sent
        if not part.left:
            self._parts.popleft()

    def _spill_tail(self) -> None:
        """Move what is in memory after the last part of a file to the temporary file."""
        tail = self._taken_from_the_end()
        if not tail:
            return
        if self._spill is None:
            self._spill = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - see drop
        at, data = self._spill.seek(0, os.SEEK_END), b"".join(tail)
        self._spill.write(data)
        self._in_memory -= len(data)
        self._spilled += len(data)
        last: Any = self._parts[-1] if self._parts else None
        if last and last.file == self._spill.fileno():
            last.left += len(data)
        else:
            self._parts.append(FilePart(self._spill.fileno(), at, len(data)))

    def _taken_from_the_end(self) -> list[memoryview]:
        """Take out what is in memory after the last part of a file, in its order."""
        tail: deque[memoryview] = deque()
        while self._parts and isinstance(part := self._parts[-1], memoryview):
            tail.appendleft(part)
            self._parts.pop()
        return list(tail)

    def _send_waiting(self) -> None:
        """Send all there is, at the client's pace. Raises TimeoutError when that is too slow."""
        before, deadline = self.delivered(), time.monotonic() + self._limits.grace
        while self._parts:
            self.flush()
            now, delivered = time.monotonic(), self.delivered()
            if delivered > before:
                pause = self._limits.answer_pause
                deadline = more_time(self._limits, deadline, delivered - before, now, pause)
            before = delivered
            if now > deadline:
                raise TimeoutError
            _wait_until_writable(self._socket)


def _wait_until_writable(connection: socket.socket) -> None:
    poll = select.poll()
    poll.register(connection, select.POLLOUT)
    poll.poll(500)
