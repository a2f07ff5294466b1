"""Minutes of kill -9 under load, judged at the end: `make soak MINUTES=5`.

An instance serves recorded clients while any of its processes is killed every few seconds, and
staff retrain, promote and roll back. TEST_DATABASE=postgres puts it on PostgreSQL.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

import django

django.setup()

import httpx
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from tests import databases
from tests.drills import invariants
from tests.drills.history import Clients
from tests.drills.killing import KINDS, Killer
from tests.drills.promoting import promote
from tests.instance import Instance

RATE = 30
KILL_EVERY = 3.0
DECIDE_EVERY = 7.0
# Leases, back-off and a stalled queue, one after the other.
SETTLED_WITHIN = 300


class Staff:
    """Retrain, promote and roll back at random; what a kill cuts off is left at that."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._chance = Random(4)  # noqa: S311
        self.done: Counter[str] = Counter()

    def act(self) -> None:
        """Do one of them; a refusal (the gate said no, it is the one that serves) is fine."""
        action = self._chance.choice((self._retrain, self._promote, self._roll_back))
        with suppress(httpx.HTTPError):
            answer = action()
            assert answer.status_code in (200, 202, 409, 422), answer.text
            self.done[action.__name__.strip("_")] += answer.status_code in (200, 202)

    def _retrain(self) -> httpx.Response:
        return self._post("retrain", {})

    def _promote(self) -> httpx.Response:
        return self._post("promote", {"version": self._any_version()})

    def _roll_back(self) -> httpx.Response:
        return self._post("rollback", {"to": self._any_version()})

    def _any_version(self) -> int:
        listed = self._client.get("/api/models/leaves/versions/").json()["results"]
        return int(self._chance.choice(listed)["number"])

    def _post(self, what: str, body: dict[str, Any]) -> httpx.Response:
        return self._client.post(f"/api/models/leaves/{what}/", json={**body, "reason": "soak"})


def soak(instance: Instance, minutes: float, console: Console) -> bool:
    """Kill for so many minutes, show what came of it, and return whether all held."""
    killer = Killer(instance)
    with (
        instance.client() as client,
        Clients(instance.url, instance.key, rate=RATE) as clients,
        shown(minutes, console) as progress,
    ):
        staff = Staff(client)
        kill = every(KILL_EVERY, lambda: killer.kill_one(*KINDS))
        act = every(DECIDE_EVERY, staff.act)
        (task,) = progress.task_ids
        while not progress.finished:
            time.sleep(0.2)
            kill()
            act()
            tell(progress, task, len(clients.history), len(killer.killed))
    with console.status("waiting until every run has ended, then checking"):
        found, broken = invariants.examine(instance, clients.history, within=SETTLED_WITHIN)
    console.print(figures(clients, killer, staff, found, broken))
    for why in broken[:20]:
        console.print(f"  {why}", style="red", markup=False)
    return not broken


def every(seconds: float, action: Callable[[], object]) -> Callable[[], None]:
    """What may be called at any time and acts so often."""
    due = time.monotonic() + seconds

    def act_when_due() -> None:
        nonlocal due
        if time.monotonic() >= due:
            action()
            due = time.monotonic() + seconds

    return act_when_due


def shown(minutes: float, console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=console)
    progress.add_task("", total=minutes * 60)
    return progress


def tell(progress: Progress, task: TaskID, exchanges: int, kills: int) -> None:
    elapsed = progress.tasks[0].elapsed or 0.0
    progress.update(task, completed=elapsed, description=f"{exchanges} requests, {kills} kills")


def figures(clients: Clients, killer: Killer, staff: Staff, found: Any, broken: list[str]) -> Table:
    """What there is to say, one line each."""
    statuses = Counter(one.status or "cut off" for one in clients.history)
    fell_silent = killer.moments("web") + killer.moments("master")
    recovery = invariants.recovery_times(clients.history, fell_silent)
    kinds = Counter(kind for _, kind in killer.killed)
    runs = Counter(run["status"] for run in found.runs)
    lines = {
        "requests": words(statuses),
        "kills survived": f"{len(killer.killed)} ({words(kinds)})",
        "rows lost": str(sum("answered and is not" in why for why in broken)),
        "invariants broken": str(len(broken)),
        "answering again after a web process was killed": (
            f"median {median(recovery or [0]):.2f} s, at most {max(recovery or [0]):.2f} s"
        ),
        "generations": f"{len(found.deployments)} ({words(staff.done)})",
        "runs": words(runs),
        "attempts of a run": words(Counter(run["attempts"] for run in found.runs)),
    }
    table = Table("what", "figure", title="Soak")
    for name, figure in lines.items():
        table.add_row(name, figure)
    return table


def words(counted: Counter[Any]) -> str:
    return ", ".join(f"{count} × {name}" for name, count in sorted(counted.items(), key=str))


def main(minutes: float) -> int:
    console = Console()
    with (
        tempfile.TemporaryDirectory(prefix="everlearn-soak-") as home,
        databases.fresh(databases.suite_is_on()) as environ,
        Instance(Path(home), WEB_CONCURRENCY="3", **environ) as instance,
    ):
        with console.status("starting an instance"):
            instance.start()
            promote(instance, "leaves", times=1)
        return 0 if soak(instance, minutes, console) else 1


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
