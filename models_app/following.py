"""Know what serves: a thread in each web process follows the champions in the database.

A few times a second it reads every model's generation; when one has moved it has the new
bundle loaded first and swaps then, so that no request waits or fails. A bundle that cannot be
loaded, or not yet, leaves the old one serving. Should the thread die, the next question starts
another. Where none runs (commands, tests) each question looks afresh.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from django.db import DatabaseError, InterfaceError, close_old_connections, connections
from django.utils import timezone

from models_app import storing
from models_app.bundles import Bundle
from models_app.loading import Loader
from models_app.models import RegisteredModel, WebProcess
from models_app.neighbours import Neighbours
from models_app.refusals import BundleRefused, NotReady, Unavailable
from models_app.strangers import ignored_forwarding
from models_app.usage import tracker

logger = logging.getLogger(__name__)

LOOK_EVERY = 0.25
SAY_EVERY = 2.0
ALIVE_WITHIN = timedelta(seconds=10)
STALLED = 10.0
# A load takes milliseconds. One that takes longer than the first is left to itself while others
# are looked after; but a process that has nothing yet waits, since it could only say so.
LOAD_PATIENCE = 1.0
FIRST_LOAD_PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Served:
    """One model as this process serves it; while nothing does, `bundle` is None."""

    model_id: int
    name: str
    target: str
    public: bool
    is_default: bool
    generation: int
    version_id: int = 0
    number: int = 0
    bundle: Bundle | None = None
    loaded_at: str = ""


class Follower:
    """What this process serves, and the thread that keeps it up to date."""

    def __init__(self) -> None:
        self._served: Mapping[str, Served] = MappingProxyType({})
        self._loader = Loader()
        self._neighbours = Neighbours()
        self._looking = threading.Lock()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._last_look = 0.0
        self._cannot_read = False

    def served(self) -> Mapping[str, Served]:
        """Every model that is not retired, by name. Raises NotReady before the first look."""
        if self._thread is None:
            self.look()
        elif not self._thread.is_alive():
            self._start_thread()
        if not self._last_look:
            raise NotReady("This process could not read yet what serves.")
        return self._served

    def ready(self) -> bool:
        """Whether this process can answer, and log what it answers."""
        if self._thread is None:
            self.look()
        elif not self._thread.is_alive():
            self._start_thread()
            return False
        elif time.monotonic() - self._last_look > STALLED:
            return False
        loaded = any(served.bundle for served in self._served.values())
        # A busy database is waited for; one that takes no row lets nothing be answered.
        writable = storing.trouble() in {"", storing.BUSY}
        return loaded and not self._cannot_read and writable

    def degraded(self) -> list[str]:
        """What does not do its part, whether or not this process can answer all the same."""
        if self._thread is None:
            self._neighbours = Neighbours()
            self._neighbours.look()
        failing = ["reload_failed"] * self._loader.failing
        away = ["database"] * (self._cannot_read or bool(storing.trouble()))
        return failing + away + self._neighbours.away()

    def look(self) -> None:
        """Read the champions and load what is new; looks take turns, so none undoes a later one."""
        with self._looking:
            rows = RegisteredModel.objects.filter(retired_at=None).values_list(
                "pk", "name", "target", "public", "is_default", "generation",
                "champion_id", "champion__number", "champion__bundle_digest",
            )  # fmt: skip
            asked = [(Served(*row[:6], row[6] or 0, row[7] or 0), row[8]) for row in rows]
            found = {served.name: self._follow(served, digest) for served, digest in asked}
            self._served = MappingProxyType(found)
            self._loader.forget_all_but(found)
            self._last_look = time.monotonic()

    def _follow(self, asked: Served, digest: str | None) -> Served:
        """The model as it should be served, or as it was while that cannot be loaded."""
        now = self._served.get(asked.name)
        if now and _same(now, asked, digest):
            self._loader.settle(asked.name)
            return now
        if not digest:
            return asked
        try:
            patience = FIRST_LOAD_PATIENCE if self._thread is None else LOAD_PATIENCE
            bundle = self._loader.load(asked.name, digest, patience=patience)
        except BundleRefused:
            if now and now.model_id == asked.model_id:
                return replace(now, public=asked.public, is_default=asked.is_default)
            return replace(asked, generation=0, version_id=0, number=0)
        return replace(asked, bundle=bundle, loaded_at=timezone.now().isoformat())

    def start(self) -> None:
        """Look once, then keep looking in a daemon thread; to be called after any fork."""
        self._neighbours = Neighbours()
        self._try_to_look()
        self._start_thread()

    def _start_thread(self) -> None:
        with self._starting:
            if self._thread is not None and self._thread.is_alive():
                return
            if self._thread is not None:
                logger.error("the thread that follows what serves died: started again")
            self._thread = threading.Thread(
                target=self._run, args=(self._stopping,), name="following", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """End the thread and remove this process from the live ones."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=LOOK_EVERY * 4)
        self._thread = None
        # A new one: a thread that is slow to notice ends all the same.
        self._stopping = threading.Event()
        _store_usage()
        with suppress(DatabaseError):  # it is forgotten anyway after a while of silence
            WebProcess.objects.filter(host=socket.gethostname(), pid=os.getpid()).delete()

    def _run(self, stopping: threading.Event) -> None:
        try:
            self._follow_until(stopping)
        finally:
            connections.close_all()

    def _follow_until(self, stopping: threading.Event) -> None:
        said: tuple[float, Any] = (0.0, None)
        while not stopping.wait(LOOK_EVERY):
            self._try_to_look()
            generations = self._generations()
            if generations != said[1] or time.monotonic() - said[0] > SAY_EVERY:
                self._try_to_say(generations)
                _store_usage()
                said = (time.monotonic(), generations)

    def _try_to_look(self) -> None:
        try:
            close_old_connections()
            self.look()
            self._cannot_read = False
        except (DatabaseError, InterfaceError) as error:
            if not self._cannot_read:
                logger.warning("cannot read what serves, so it stays as it is: %s", error)
            self._cannot_read = True
        except Exception:
            # Without this thread the process would serve an old version for ever.
            logger.exception("following failed; trying again")

    def _generations(self) -> dict[str, dict[str, Any]]:
        return {
            name: {"generation": served.generation, "loaded_at": served.loaded_at}
            for name, served in self._served.items()
            if served.bundle
        }

    def _try_to_say(self, generations: dict[str, dict[str, Any]]) -> None:
        storing.look_for_room()
        try:
            # What hinders this write hinders predictions too; `storing` takes note of it.
            with storing.writing():
                WebProcess.objects.update_or_create(
                    host=socket.gethostname(),
                    pid=os.getpid(),
                    defaults={
                        "generations": generations,
                        "seen_at": timezone.now(),
                        "forwarded_at": ignored_forwarding.at,
                    },
                )
                WebProcess.objects.filter(seen_at__lt=timezone.now() - 6 * ALIVE_WITHIN).delete()
            self._neighbours.look()
        except (DatabaseError, InterfaceError, Unavailable) as error:
            logger.warning("cannot say what this process serves: %s", error)


def _store_usage() -> None:
    try:
        tracker.sync()
    except Exception:
        # Without this thread the process would serve an old version for ever.
        logger.exception("the use of quotas was not stored; trying again")


def _same(now: Served, asked: Served, digest: str | None) -> bool:
    loaded = now.bundle.digest if now.bundle else None
    return loaded == (digest or None) and replace(now, bundle=None, loaded_at="") == asked


_follower = Follower()
served = _follower.served
degraded = _follower.degraded
ready = _follower.ready
start = _follower.start
stop = _follower.stop
