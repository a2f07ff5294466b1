"""Have every web process serve what should serve, and say so only when each of them does."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from models_app import syncing
from models_app.following import ALIVE_WITHIN
from models_app.models import RegisteredModel, WebProcess
from models_app.refusals import Unavailable

PATIENCE = timedelta(seconds=10)
LOOK_EVERY = 0.05


@dataclass(frozen=True, slots=True)
class LoadedProcess:
    """A live web process and what it has loaded of one model."""

    host: str
    pid: int
    generation: int
    loaded_at: str | None


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What serves now. reason: why MLflow was not asked, when `synced` is false."""

    generation: int
    synced: bool
    reason: str
    processes: list[LoadedProcess]


def reload(
    registered_model: RegisteredModel, *, actor: User, patience: timedelta = PATIENCE
) -> Reloaded:
    """Follow MLflow's aliases now, then wait until every live web process has what serves.

    patience: how long to wait, for the worker and then for the processes. Raises
    PermissionDenied, and Unavailable when a process still lags after that.
    """
    if not actor.has_perm("models_app.reload_registeredmodel"):
        raise PermissionDenied("Reloading needs reload_registeredmodel.")
    synced, reason = syncing.wait_for_sync(patience)
    registered_model.refresh_from_db(fields=["generation"])
    generation = registered_model.generation
    give_up = time.monotonic() + patience.total_seconds()
    while True:
        processes = _live(registered_model.name)
        lagging = [one for one in processes if one.generation < generation]
        if not lagging:
            return Reloaded(generation, synced, reason, processes)
        if time.monotonic() > give_up:
            raise Unavailable(_lag(lagging, generation), code="process_lagging")
        time.sleep(LOOK_EVERY)


def _live(name: str) -> list[LoadedProcess]:
    alive = WebProcess.objects.filter(seen_at__gt=timezone.now() - ALIVE_WITHIN)
    found = []
    for process in alive.order_by("host", "pid"):
        said = process.generations.get(name, {})
        generation, loaded_at = said.get("generation", 0), said.get("loaded_at")
        found.append(LoadedProcess(process.host, process.pid, generation, loaded_at))
    return found


def _lag(lagging: list[LoadedProcess], generation: int) -> str:
    names = ", ".join(f"{one.host}:{one.pid} (generation {one.generation})" for one in lagging)
    return f"Not every web process serves generation {generation} yet: {names}."
