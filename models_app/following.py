"""Know what serves: a thread in each web process follows the champions in the database.

A few times a second it reads every model's generation; when one has moved it loads the new
bundle first and swaps then, so that no request waits or fails. A bundle that cannot be loaded
leaves the old one serving. Where no thread runs (commands, tests) each question looks afresh.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from django.db import DatabaseError, close_old_connections, connections
from django.utils import timezone

from models_app import bundles
from models_app.bundles import Bundle
from models_app.models import RegisteredModel, WebProcess
from models_app.refusals import BundleRefused

logger = logging.getLogger(__name__)

LOOK_EVERY = 0.25
SAY_EVERY = 2.0
RETRY_AFTER = 5.0
ALIVE_WITHIN = timedelta(seconds=10)
# The one that serves and two before it: going back to those is instant.
KEPT_LOADED = 3


@dataclass(frozen=True, slots=True)
class _Failure:
    digest: str
    at: float
    why: str


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
        self._loaded: dict[str, OrderedDict[str, Bundle]] = {}
        self._failed: dict[str, _Failure] = {}
        self._looking = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._last_look = 0.0
        self._away = ""

    def served(self) -> Mapping[str, Served]:
        """Every model that is not retired, by name."""
        if self._thread is None:
            self.look()
        return self._served

    def degraded(self) -> list[str]:
        """What is wrong although this process still answers, a short reason each."""
        reasons = [f"reload_failed: {failure.why}" for failure in self._failed.values()]
        if self._away:
            reasons.append(f"database: {self._away}")
        return reasons

    def stalled(self) -> bool:
        """Whether the thread should be looking and has not for a while."""
        return self._thread is not None and time.monotonic() - self._last_look > 15

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
            self._failed = {name: why for name, why in self._failed.items() if name in found}
            self._last_look = time.monotonic()

    def _follow(self, asked: Served, digest: str | None) -> Served:
        """The model as it should be served, or as it was when that cannot be loaded."""
        now = self._served.get(asked.name)
        if now and _same(now, asked, digest):
            self._failed.pop(asked.name, None)
            return now
        if not digest:
            return asked
        try:
            bundle = self._bundle(asked.name, digest)
        except BundleRefused:
            if now and now.model_id == asked.model_id:
                return replace(now, public=asked.public, is_default=asked.is_default)
            return replace(asked, generation=0, version_id=0, number=0)
        self._failed.pop(asked.name, None)
        return replace(asked, bundle=bundle, loaded_at=timezone.now().isoformat())

    def _bundle(self, name: str, digest: str) -> Bundle:
        loaded = self._loaded.setdefault(name, OrderedDict())
        if digest not in loaded:
            before = self._failed.get(name)
            if before and before.digest == digest and time.monotonic() - before.at < RETRY_AFTER:
                raise BundleRefused(before.why)
            try:
                loaded[digest] = bundles.load(digest)
            except BundleRefused as refusal:
                logger.error("%s: %s", name, refusal.detail)
                self._failed[name] = _Failure(digest, time.monotonic(), refusal.detail)
                raise
        loaded.move_to_end(digest)
        while len(loaded) > KEPT_LOADED:
            loaded.popitem(last=False)
        return loaded[digest]

    def start(self) -> None:
        """Look once, then keep looking in a daemon thread; to be called after any fork."""
        self._try_to_look()
        self._thread = threading.Thread(target=self._run, name="following", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and remove this process from the live ones."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=LOOK_EVERY * 4)
        self._thread = None
        self._stopping.clear()
        WebProcess.objects.filter(host=socket.gethostname(), pid=os.getpid()).delete()

    def _run(self) -> None:
        said: tuple[float, Any] = (0.0, None)
        while not self._stopping.wait(LOOK_EVERY):
            self._try_to_look()
            generations = self._generations()
            if generations != said[1] or time.monotonic() - said[0] > SAY_EVERY:
                self._try_to_say(generations)
                said = (time.monotonic(), generations)
        connections.close_all()

    def _try_to_look(self) -> None:
        try:
            close_old_connections()
            self.look()
            self._away = ""
        except DatabaseError as error:
            self._away = str(error)
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
        try:
            WebProcess.objects.update_or_create(
                host=socket.gethostname(),
                pid=os.getpid(),
                defaults={"generations": generations, "seen_at": timezone.now()},
            )
            WebProcess.objects.filter(seen_at__lt=timezone.now() - 6 * ALIVE_WITHIN).delete()
        except DatabaseError as error:
            self._away = str(error)


def _same(now: Served, asked: Served, digest: str | None) -> bool:
    loaded = now.bundle.digest if now.bundle else None
    return loaded == (digest or None) and replace(now, bundle=None, loaded_at="") == asked


_follower = Follower()
served = _follower.served
degraded = _follower.degraded
stalled = _follower.stalled
start = _follower.start
stop = _follower.stop
