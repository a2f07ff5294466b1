"""How MLflow and the queue are, as a web process can tell from a row: it asks neither of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from django.utils import timezone

from models_app.models import RegistrySync

# A pulse goes through the queue every three seconds; one worker is left for it.
PULSE_MISSED = 20.0
# A reconcile takes a fraction of this, and MLflow's client gives up after not much more.
SYNC_SLOW = 8.0


def say_pulse() -> None:
    """Leave word for every host that the queue works."""
    RegistrySync.objects.update_or_create(pk=1, defaults={"pulse_at": timezone.now()})


class Neighbours:
    """What was last seen of the worker's row. Ages are measured here: clocks may differ."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pulse: datetime | None = None
        self._sync: datetime | None = None
        self._pulse_seen = self._sync_seen = clock()
        self._syncing = self._sync_failed = False

    def look(self) -> None:
        """Read the row."""
        found = RegistrySync.objects.filter(pk=1).values_list(
            "pulse_at", "started_at", "finished_at", "error"
        )
        for pulse, started, finished, error in found:
            if pulse != self._pulse:
                self._pulse, self._pulse_seen = pulse, self._clock()
            if started != self._sync:
                self._sync, self._sync_seen = started, self._clock()
            self._syncing = bool(started and (finished is None or finished < started))
            self._sync_failed = bool(error)

    def away(self) -> list[str]:
        """Which of "mlflow" and "queue" does not do its part."""
        now = self._clock()
        hangs = self._syncing and now - self._sync_seen > SYNC_SLOW
        missed = now - self._pulse_seen > PULSE_MISSED
        return ["mlflow"] * (self._sync_failed or hangs) + ["queue"] * missed
