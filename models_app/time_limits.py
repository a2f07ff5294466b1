"""End what a model does for too long, and with it the thread that does it.

An ONNX graph looks at a flag between its steps, which one watching thread sets for all that are
late. Other code runs in a thread of its own, into which an exception is thrown; one deep in
foreign code notices that only when it comes back, so no more than a few may be left so.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from typing import Protocol, TypeVar

from models_app.refusals import ModelTooSlow

Result = TypeVar("Result")

LOOK_EVERY = 0.2
MOST_LEFT = 4


class Stoppable(Protocol):
    """As onnxruntime's RunOptions."""

    terminate: bool


class Watchdog:
    """Sets `terminate` on whatever is still watched after its time."""

    def __init__(self) -> None:
        self._watched: dict[int, tuple[float, Stoppable]] = {}
        self._keys = count()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def watch(self, run: Stoppable, seconds: float) -> int:
        """Begin to watch `run`; returns what `forget` takes."""
        # On the hot path: a counter and a dictionary, each atomic by itself.
        if self._thread is None or not self._thread.is_alive():
            self._start()
        key = next(self._keys)
        self._watched[key] = (time.monotonic() + seconds, run)
        return key

    def forget(self, key: int) -> None:
        """It has come to its end."""
        del self._watched[key]

    def _start(self) -> None:
        # Also after a fork, which no thread survives.
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            time.sleep(LOOK_EVERY)
            now = time.monotonic()
            for deadline, run in list(self._watched.values()):
                if now > deadline:
                    run.terminate = True


class _Stopped(BaseException):
    """Thrown into a thread that took too long; no `except Exception` may hold it up."""


class Helpers:
    """Threads that each carry out one call, and are ended when it takes too long."""

    def __init__(self, most_left: int = MOST_LEFT) -> None:
        self._most_left = most_left
        self._left: set[threading.Thread] = set()

    def carry_out(self, call: Callable[[], Result], seconds: float) -> Result:
        """What `call` returns or raises. Raises ModelTooSlow when that takes too long."""
        self._left = {thread for thread in self._left if thread.is_alive()}
        if len(self._left) >= self._most_left:
            raise ModelTooSlow("Earlier answers of this model are still not done.")
        outcome: Future[Result] = Future()
        thread = threading.Thread(target=_settle, args=(outcome, call), name="model", daemon=True)
        thread.start()
        try:
            return outcome.result(seconds)
        except TimeoutError:
            if outcome.done():
                raise  # the call's own
            self._left.add(thread)
            _throw_into(thread)
            raise too_slow(seconds) from None


def too_slow(seconds: float) -> ModelTooSlow:
    return ModelTooSlow(f"The model did not answer within {seconds:g} s.")


def _settle(outcome: Future[Result], call: Callable[[], Result]) -> None:
    try:
        outcome.set_result(call())
    except _Stopped:
        return
    except Exception as error:  # noqa: BLE001 - whatever it is, it is for the one who asked
        outcome.set_exception(error)


def _throw_into(thread: threading.Thread) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_Stopped)
    )


watchdog = Watchdog()
helpers = Helpers()
