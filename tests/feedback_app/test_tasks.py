from __future__ import annotations

import pytest
from django_q.models import OrmQ

from feedback_app import heartbeat, tasks
from feedback_app.models import RetrainingRun
from tests.factories import make_model
from tests.feedback_app.makers import make_feedback, make_run, make_running

pytestmark = pytest.mark.django_db


def messages() -> list[tuple[int, ...]]:
    return [message.task["args"] for message in OrmQ.objects.order_by("pk")]


def test_a_pulse_asks_for_what_is_due_and_wakes_what_waits() -> None:
    waiting = make_run(make_model("waiting"))
    model = make_model("learning", retrain={"feedback": 1})
    make_feedback(model)

    said = tasks.pulse()

    due = RetrainingRun.objects.get(registered_model=model)
    assert said == "1 due, 2 woken"
    assert messages() == [(waiting.pk,), (due.pk,)]


def test_a_pulse_is_seen_by_the_watcher() -> None:
    before = heartbeat.last_beat()

    tasks.pulse()

    assert heartbeat.last_beat() > before


def test_pulses_in_an_idle_system_wake_nobody() -> None:
    make_running(make_model())

    assert tasks.pulse() == "0 due, 0 woken"
    assert messages() == []


def test_a_message_that_arrives_twice_trains_once() -> None:
    run = make_running(make_model())

    assert tasks.execute_retraining(run.pk) == f"run {run.pk} is not free, or as many run as may"
    run.refresh_from_db()
    assert run.attempts == 1
