"""Say every half minute that the training goes on, and learn whether anybody still wants it."""

from __future__ import annotations

import _thread
import logging
import signal
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from feedback_app.standalone.service import ServiceRefused

logger = logging.getLogger(__name__)

EVERY = 30.0  # seconds; the service waits for 120
ACTIVE = ("queued", "running")


class Interrupted(BaseException):
    """Somebody wants this process to end."""


class Heartbeat:
    """Calls `tell`, which returns the run as the service has it, from a thread of its own.

    When the run has ended there, `ended` holds it and the main thread gets a SIGTERM.
    """

    def __init__(self, tell: Callable[[], dict[str, Any]], *, every: float = EVERY) -> None:
        self.ended: dict[str, Any] | None = None
        self._tell, self._every = tell, every
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._done.set()

    def _beat(self) -> None:
        while not self._done.wait(self._every):
            try:
                told = self._tell()
            except ServiceRefused as error:
                # What was learnt is good whether or not somebody heard of it half-way.
                logger.warning("not reported: %s", error)
                continue
            if told["status"] not in ACTIVE and not self._done.is_set():
                self.ended = told
                _thread.interrupt_main(signal.SIGTERM)
                return
