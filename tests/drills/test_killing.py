"""kill -9 at random while clients record what they were answered, on both databases."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import pytest

from tests import databases
from tests.drills import invariants
from tests.drills.history import Clients, Exchange
from tests.drills.killing import Killer, alive
from tests.instance import Instance, wait_for

BACK_WITHIN = 5.0
# The lease of a killed trainer, a stalled queue that has to be noticed, and the training itself.
RUN_ENDS_WITHIN = 180


@pytest.fixture(scope="module", params=databases.KINDS)
def instance(request, tmp_path_factory) -> Iterator[Instance]:
    home = tmp_path_factory.mktemp("killing")
    with (
        databases.fresh(request.param) as environ,
        Instance(home, WEB_CONCURRENCY="3", **environ) as started,
    ):
        started.start()
        yield started


def not_answered(history: Iterable[Exchange]) -> list[str]:
    """Why requests got no answer, or not the one that they asked for."""
    wrong = [one for one in history if one.status not in invariants.SUCCESS[one.kind]]
    return [one.why or f"{one.status} {one.answer}" for one in wrong]


def test_web_processes_that_are_killed_lose_nothing_that_was_answered(instance: Instance) -> None:
    """P2."""
    killer = Killer(instance)
    with Clients(instance.url, instance.key, rate=30) as clients:
        for _ in range(4):
            time.sleep(1.5)
            killer.kill_one("web")
        time.sleep(1.5)
        killer.kill_all("web")
        wait_for(lambda: len(alive(instance, "web")) == 3, BACK_WITHIN)
        fell_silent = max(killer.moments("web"))
        wait_for(lambda: clients.history.answered_since(fell_silent), BACK_WITHIN)
        time.sleep(1)

    found = invariants.check(instance, clients.history)

    assert len(found.predictions) > 100
    # Cut off, some of them, and nothing else: no time-out, no 500, no 503.
    wrong = not_answered(clients.history)
    assert [why for why in wrong if "Timeout" in why or why[0].isdigit()] == []
    assert max(invariants.recovery_times(clients.history, killer.moments("web"))) < BACK_WITHIN


def test_whatever_is_killed_no_row_is_lost_and_every_run_ends(instance: Instance) -> None:
    """P2 and T1 together: web and its master, queue and its guard, and a trainer at work."""
    killer = Killer(instance)
    with (
        instance.client() as staff,
        Clients(instance.url, instance.key, rate=15) as clients,
    ):
        asked = staff.post("/api/models/leaves/retrain/", json={"reason": "a drill"})
        assert asked.status_code == 202
        wait_for(lambda: alive(instance, "trainer"), RUN_ENDS_WITHIN)
        killer.kill_one("trainer")
        for kind in ("web", "queue", "master", "guard", "queue", "web"):
            time.sleep(1.5)
            killer.kill_one(kind)

    found = invariants.check(instance, clients.history, within=RUN_ENDS_WITHIN)
    assert {kind for _, kind in killer.killed} >= {"trainer", "web", "queue"}
    assert found.runs[-1]["attempts"] >= 2
