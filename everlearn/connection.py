"""One connection of a client, as the web worker's loop sees it."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from enum import Enum, auto
from typing import Any

from everlearn.connection_limits import Limits
from everlearn.request_buffer import RequestBuffer
from everlearn.response_buffer import ResponseBuffer

PIECE = 64 * 1024


class State(Enum):
    """What a connection waits for. A thread has it while WORKING; the loop has it otherwise."""

    IDLE = auto()  # for a request to begin
    RECEIVING = auto()  # for the rest of a request
    WORKING = auto()  # for its answer
    SENDING = auto()  # for the client to take the answer
    CLOSING = auto()  # for the client to have read the last answer
    CLOSED = auto()


class Connection:
    """A client's socket, what it has sent and what it is still to be sent.

    since: when it began to wait for what it waits for, by the monotonic clock; deadline: until
    when it may. reusable: whether another request may follow the answer under way.
    """

    def __init__(
        self, config: Any, own: socket.socket, client: Any, server: Any, limits: Limits
    ) -> None:
        own.setblocking(False)
        self.socket = own
        self.client, self.server = client, server
        self.address: str = client[0] if isinstance(client, tuple) else ""
        self.incoming = RequestBuffer(config, client, limits)
        # gunicorn writes the answer to what it finds by this name.
        self.sock = ResponseBuffer(own, limits)
        self.state = State.IDLE
        self.since = self.deadline = 0.0
        self.watched = 0
        self.request: Any = None
        self.future: Any = None
        self.reusable = True
        self.delivered = 0
        self.lingered = 0

    @property
    def held(self) -> int:
        """How many bytes of requests and answers are kept for it."""
        taken = self.request.body_length if self.request is not None else 0
        return int(self.incoming.held + taken + self.sock.held)

    def receive(self) -> bytes | None:
        """What has come; b"" when the client sends no more, None when nothing is there."""
        try:
            return self.socket.recv(PIECE)
        except BlockingIOError:
            return None

    def say_no_more(self) -> None:
        """Tell the client that no further answer comes. Raises OSError when it is gone."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self, *, abort: bool = False) -> None:
        """Close it. abort: without sending what the system still holds for a slow reader."""
        self.state = State.CLOSED
        if self.request is not None:
            self.request.body.close()
        self.incoming.drop()
        self.sock.drop()
        if abort:
            with suppress(OSError):
                now = struct.pack("ii", 1, 0)
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
        self.socket.close()
