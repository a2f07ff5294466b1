"""The web process as gunicorn runs it.

gunicorn's own threaded worker gives a thread to each connection that has begun to send, so that a
few slow clients take them all. Here one loop receives every request, and sends what a client is
slow to read; a thread is taken for a whole request, and only until its answer is made.
"""

from __future__ import annotations

import errno
import selectors
import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any

from gunicorn.http.errors import ParseException
from gunicorn.workers.gthread import ThreadWorker

from everlearn.connection import PIECE, Connection, State
from everlearn.connection_limits import Limits, NetworkCounts, more_time
from everlearn.request_id import log_answer, request_name
from everlearn.response_buffer import AT_ONCE
from everlearn.web_refusals import (
    BUSY,
    INCOMPLETE,
    TIMEOUT,
    TOO_MANY_CONNECTIONS,
    Refusal,
    name_given,
    refusal_of,
)
from models_app.tracing import tracing

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# Answered by a thread of its own, so that a supervisor does not take a busy process for a dead one.
ALWAYS_ANSWERED = "/health"
SWEEP_SECONDS = 0.5
NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
CLOSED_AT_ONCE = 16
EXPIRED_AT_ONCE = 32
UNSENT = 128 * 1024  # bytes that the system takes of an answer before it can send them
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class WebWorker(ThreadWorker):
    """Receives and sends in its loop; threads only answer."""

    limits = Limits()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.networks = NetworkCounts(self.connections_per_network())
        # Those that the loop has, the one that has waited longest first.
        self.waiting: dict[Connection, None] = {}
        # Those whose answer is made or waited for, in that order too.
        self.working: dict[Connection, None] = {}
        self.probing: dict[Connection, None] = {}
        self.evicted = self.unfinished = 0
        self._next_sweep = 0.0
        self.probes = ThreadPoolExecutor(max_workers=1)

    def connections_per_network(self) -> int:
        """How many connections a network may hold; 0 where all clients share a proxy's address."""
        from django.conf import settings  # noqa: PLC0415 - set up once the worker is made

        if settings.EVERLEARN_TRUSTED_PROXIES:
            return 0
        return int(settings.EVERLEARN_CONNECTIONS_PER_NETWORK)

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Refuse what this worker cannot do: TLS ends in a proxy."""
        if cfg.is_ssl:
            raise ValueError("TLS must end in a proxy in front: unset certfile and keyfile.")

    def run(self) -> None:
        """Serve until told to end; see gunicorn's own."""
        for listener in self.sockets:
            # What it accepts takes this over: else the system holds megabytes for a slow reader.
            with suppress(OSError, AttributeError):
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
        try:
            super().run()
        finally:
            self.probes.shutdown(wait=False)

    # Connections come

    def accept(self, listener: socket.socket) -> None:
        """Take a connection; the oldest that waits gives way when there is no room."""
        try:
            own, client = listener.accept()
        except OSError as error:
            if error.errno in NO_ROOM:
                self._evict(CLOSED_AT_ONCE)
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                raise
            return
        connection = Connection(self.cfg, own, client, listener.getsockname(), self.limits)
        if not self.networks.admit(connection.address):
            _say_at_once(connection, TOO_MANY_CONNECTIONS)
            connection.close()
            return
        self.nr_conns += 1
        self._wait(connection, State.IDLE, self.limits.first_byte)
        # One less than gunicorn would stop to accept at.
        self._evict(self.nr_conns - self.worker_connections + 1)

    def on_event(self, connection: Connection, _: socket.socket) -> None:
        """Do what a connection waits for."""
        try:
            if connection.state is State.WORKING:
                self._receive_ahead(connection)
            elif connection.state is State.SENDING:
                connection.sock.flush(AT_ONCE)
                self._after_answer(connection)
            elif connection.state is State.CLOSING:
                self._linger(connection)
            elif connection.state is not State.CLOSED:
                self._receive(connection)
        except OSError:
            self._close(connection)
        except Exception:
            # No connection may take all others with it.
            self.log.exception("A connection failed.")
            self._close(connection)

    # Requests come

    def _receive(self, connection: Connection) -> None:
        data = connection.receive()
        if data is None:
            return
        if not data:
            self._after_last_byte(connection)
            return
        connection.incoming.feed(data, time.monotonic())
        self._go_on(connection)

    def _receive_ahead(self, connection: Connection) -> None:
        """Keep what comes before the answer is made, up to a piece; the rest has to wait."""
        data = connection.receive()
        if data:
            connection.incoming.feed(data, time.monotonic())
        if data == b"" or connection.incoming.held >= PIECE:
            self._watch(connection, 0)

    def _after_last_byte(self, connection: Connection) -> None:
        if connection.incoming.head is not None:
            self._refuse(connection, INCOMPLETE)
        else:
            self._close(connection)

    def _go_on(self, connection: Connection) -> None:
        """Begin the next request, as far as it has come."""
        incoming, now = connection.incoming, time.monotonic()
        if connection.state is not State.RECEIVING:
            incoming.deadline = now + self.limits.head
        try:
            request = incoming.take(now)
        except ParseException as error:
            self._refuse(connection, refusal_of(error), why=type(error).__name__)
            return
        if request is not None:
            self._hand_over(connection, request)
            return
        if incoming.head is not None:
            self._tell_to_continue(connection)
        if not incoming.begun:
            self._wait(connection, State.IDLE, self.cfg.keepalive)
            return
        if connection.state is not State.RECEIVING:
            self._wait(connection, State.RECEIVING, 0)
        connection.deadline = incoming.deadline

    def _tell_to_continue(self, connection: Connection) -> None:
        head = connection.incoming.head
        if head._expected_100_continue:  # noqa: SLF001 - gunicorn offers no other way
            head._expected_100_continue = False  # noqa: SLF001
            connection.sock.sendall(CONTINUE)
            connection.sock.flush()

    def _hand_over(self, connection: Connection, request: Any) -> None:
        request._expected_100_continue = False  # noqa: SLF001 - all of it is here
        connection.request = request
        probe = request.path == ALWAYS_ANSWERED
        pool, under_way = (self.probes, self.probing) if probe else (self.tpool, self.working)
        if len(under_way) >= self.cfg.threads + self.limits.waiting:
            self._refuse(connection, BUSY)
            return
        self.waiting.pop(connection, None)
        under_way[connection] = None
        connection.state, connection.since = State.WORKING, time.monotonic()
        future = connection.future = pool.submit(self.handle, connection)
        future.add_done_callback(
            lambda done: self.method_queue.defer(self.finish_request, connection, done)
        )

    # Answers are made

    def handle(self, conn: Connection) -> bool:
        """Answer a whole request, in a thread; whether another may follow."""
        try:
            reusable = bool(self.handle_request(conn.request, conn))
            conn.sock.flush()
        except OSError as error:
            self.log.debug("The client went away: %s", type(error).__name__)
        except StopIteration:
            self.log.debug("The answer broke off.")
        except Exception as error:  # noqa: BLE001 - as gunicorn has it
            self.handle_error(conn.request, conn.sock, conn.client, error)
        else:
            return reusable
        return False

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Say so when the application failed before it answered."""
        refusal = refusal_of(exc)
        # Its name alone: what was sent may hold a key.
        self.log.warning(
            "%s from %s: %s", refusal.status.phrase, (addr or ("",))[0], type(exc).__name__
        )
        client.sendall(refusal.answer(request_name(name_given(req))))

    def finish_request(self, conn: Connection, fs: Future[bool]) -> None:
        """Go on with a connection whose answer is made, in the loop."""
        self.working.pop(conn, None)
        self.probing.pop(conn, None)
        try:
            if fs.cancelled():
                self._refuse(conn, BUSY)
                return
            conn.request.body.close()
            conn.request = conn.future = None
            conn.reusable = fs.result() and self.alive
            conn.sock.flush(AT_ONCE)
            self._after_answer(conn)
        except Exception as error:
            if not isinstance(error, OSError):
                self.log.exception("A connection failed.")
            self._close(conn)

    # Answers leave

    def _after_answer(self, connection: Connection) -> None:
        """Wait until all is sent, then for the next request or for the client to close."""
        if connection.sock.pending:
            if connection.state is not State.SENDING:
                connection.delivered = connection.sock.delivered()
                self._wait(connection, State.SENDING, self.limits.grace)
        elif connection.reusable:
            self._go_on(connection)
        else:
            connection.say_no_more()
            connection.incoming.drop()
            self._wait(connection, State.CLOSING, self.limits.linger)

    def _linger(self, connection: Connection) -> None:
        """Drop what still comes: a close in the face of it would take the answer away."""
        data = connection.receive()
        if data is None:
            return
        connection.lingered += len(data)
        if not data or connection.lingered > self.limits.lingering_bytes:
            self._close(connection)

    def _refuse(self, connection: Connection, refusal: Refusal, *, why: str = "") -> None:
        """Answer from the loop, and close once that is read."""
        head = connection.request or connection.incoming.head
        name = request_name(name_given(head))
        with tracing(request_id=name):
            if head:
                seconds = time.monotonic() - connection.since
                log_answer(head.method, head.path, refusal.status.value, seconds)
            elif why:
                # Its name alone: what was sent may hold a key.
                self.log.info("%s from %s: %s", refusal.status.phrase, connection.address, why)
            else:
                self.unfinished += 1
        connection.reusable = False
        connection.sock.sendall(refusal.answer(name))
        try:
            connection.sock.flush()
            self._after_answer(connection)
        except OSError:
            self._close(connection)

    # Connections go

    def murder_keepalived(self) -> None:
        """Close what has waited too long, twice a second; gunicorn calls it in each round."""
        now = time.monotonic()
        if now < self._next_sweep:
            return
        self._next_sweep = now + SWEEP_SECONDS
        late = [one for one in self.waiting if one.deadline <= now]
        for connection in late[:EXPIRED_AT_ONCE]:
            self._expire(connection, now)
        if len(late) > EXPIRED_AT_ONCE:
            # Others have their turn in between.
            self._next_sweep = now
            self.method_queue.defer(bool)
        for connection in list(self.working):
            if connection.since + self.limits.waiting_seconds > now:
                break
            connection.future.cancel()  # does nothing to one that is being answered
        self._give_room()
        # One line for all: a line for each would be one that any client can make us write.
        if self.evicted:
            self.log.warning("Too much is open: closed %d connections.", self.evicted)
        if self.unfinished:
            self.log.info("%d clients were too slow to send a head.", self.unfinished)
        self.evicted = self.unfinished = 0

    def _expire(self, connection: Connection, now: float) -> None:
        if connection.state is State.RECEIVING:
            self._refuse(connection, TIMEOUT)
            return
        if connection.state is State.SENDING:
            more, connection.delivered = -connection.delivered, connection.sock.delivered()
            more += connection.delivered
            pause = self.limits.answer_pause
            connection.deadline = more_time(self.limits, connection.deadline, more, now, pause)
            if connection.deadline > now:
                return
        self._close(connection, abort=connection.state is State.SENDING)

    def _give_room(self) -> None:
        """Close the oldest that hold much, while all hold too much together."""
        holding = [one for one in (*self.waiting, *self.working) if one.held]
        held = sum(one.held for one in holding)
        for connection in holding:
            if held <= self.limits.held:
                return
            held -= connection.held
            if connection.state is State.WORKING:
                connection.future.cancel()  # see above
            else:
                self._evict_one(connection)

    def _evict(self, count: int) -> None:
        """Close the `count` connections that have waited longest."""
        if count > 0:
            for connection in list(islice(self.waiting, count)):
                self._evict_one(connection)

    def _evict_one(self, connection: Connection) -> None:
        self.evicted += 1
        if connection.state is State.RECEIVING:
            _say_at_once(connection, BUSY)
        self._close(connection, abort=connection.state is State.SENDING)

    def _close(self, connection: Connection, *, abort: bool = False) -> None:
        if connection.state is State.CLOSED:
            return
        self._watch(connection, 0)
        self.waiting.pop(connection, None)
        self.networks.forget(connection.address)
        self.nr_conns -= 1
        connection.close(abort=abort)

    # The loop

    def _wait(self, connection: Connection, state: State, seconds: float) -> None:
        """Have a connection wait for that long, as the youngest of all."""
        connection.state, connection.since = state, time.monotonic()
        connection.deadline = connection.since + seconds
        self.waiting.pop(connection, None)
        self.waiting[connection] = None
        self._watch(connection, WRITE if state is State.SENDING else READ)

    def _watch(self, connection: Connection, events: int) -> None:
        if events == connection.watched:
            return
        if not events:
            self.poller.unregister(connection.socket)
        elif connection.watched:
            self.poller.modify(connection.socket, events, partial(self.on_event, connection))
        else:
            self.poller.register(connection.socket, events, partial(self.on_event, connection))
        connection.watched = events


def _say_at_once(connection: Connection, refusal: Refusal) -> None:
    """Answer as far as the client's system takes it, waiting for nothing."""
    with suppress(OSError):
        connection.sock.sendall(refusal.answer(request_name("")))
        connection.sock.flush()
        connection.say_no_more()
        connection.receive()
