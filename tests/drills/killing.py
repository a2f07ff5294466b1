"""Kill the processes of an instance without a word, as a machine short of memory does."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import psutil

from tests.instance import Instance

KINDS = ("web", "master", "queue", "trainer", "guard")


def alive(instance: Instance, kind: str) -> list[psutil.Process]:
    """The processes of a kind.

    web: those that answer. master: the one that starts them anew. queue: the cluster. guard: the
    one that watches it. trainer: those of the runs under way.
    """
    if kind in ("web", "master"):
        started = instance.below("gunicorn.conf.py")
        return [one for one in started if (_parent(one) in started) == (kind == "web")]
    return instance.below({"queue": "cluster", "trainer": "run_training", "guard": "worker"}[kind])


def _parent(process: psutil.Process) -> psutil.Process | None:
    with suppress(psutil.NoSuchProcess):
        return process.parent()
    return None


@dataclass
class Killer:
    """Kills at random, the same each time, and notes when and what."""

    instance: Instance
    chance: Random = field(default_factory=lambda: Random(4))  # noqa: S311
    killed: list[tuple[float, str]] = field(default_factory=list)

    def kill_one(self, *kinds: str) -> None:
        """Kill one process of one of these kinds, if there is any."""
        # The kind first: there are many processes of some, and one of others.
        for kind in self.chance.sample(kinds, len(kinds)):
            if there := alive(self.instance, kind):
                return self._kill(kind, self.chance.choice(there))
        return None

    def kill_all(self, kind: str) -> None:
        """Kill every process of a kind at once."""
        for process in alive(self.instance, kind):
            self._kill(kind, process)

    def _kill(self, kind: str, process: psutil.Process) -> None:
        with suppress(psutil.NoSuchProcess):
            process.kill()
            self.killed.append((time.time(), kind))

    def moments(self, kind: str) -> list[float]:
        """When processes of a kind were killed, in seconds since 1970."""
        return [moment for moment, killed in self.killed if killed == kind]
