"""Everything that may ask for a run, in the same moment (T6)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from feedback_app import retraining, triggering
from feedback_app.models import RetrainingRun
from models_app.actors import system_user
from models_app.models import RegisteredModel
from tests.conftest import KeyMaker
from tests.factories import make_model
from tests.feedback_app.makers import make_feedback

ROUNDS = 20

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*asking: Callable[[], object]) -> list[object]:
    """What each of the functions returned, all begun in the same moment."""
    told: list[object] = []
    gate = threading.Barrier(len(asking))

    def ask(one: Callable[[], object]) -> None:
        gate.wait()
        told.append(one())
        connection.close()

    threads = [threading.Thread(target=ask, args=(one,)) for one in asking]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told


def test_all_triggers_at_once_give_one_run_with_which_the_others_are_answered(
    client_with: KeyMaker,
) -> None:
    policy = {"feedback": 1, "schedule": "* * * * *", "cooldown": "0s"}
    an_hour_ago = timezone.now() - timedelta(hours=1)
    model = make_model(retrain=policy, created_at=an_hour_ago)
    make_feedback(model)
    actor, caller = system_user("cli"), client_with("retrain")

    def through_api() -> object:
        return caller.post(f"/api/models/{model.name}/retrain/", {}).json()["run"]

    def through_cli() -> object:
        manual = RetrainingRun.Trigger.MANUAL
        return retraining.request(model, actor=actor, trigger=manual)[0].pk

    def through_policy() -> object:
        triggering.request_due_runs()
        active = retraining.active_run(RegisteredModel.objects.get())
        return active and active.pk

    for done in range(ROUNDS):
        told = at_once(through_api, through_api, through_cli, through_policy, through_policy)

        (run,) = RetrainingRun.objects.filter(status__in=RetrainingRun.ACTIVE)
        assert told == [run.pk] * 5
        assert RetrainingRun.objects.count() == done + 1
        retraining.cancel(run, actor=actor)
