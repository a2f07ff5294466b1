from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from feedback_app import triggering
from feedback_app.models import Feedback, RetrainingRun
from models_app.models import RegisteredModel, TrainingSnapshot
from tests.factories import make_model
from tests.feedback_app.makers import make_feedback, make_run

pytestmark = pytest.mark.django_db

TWO = {"feedback": 2}


def trained(
    model: RegisteredModel, hours_ago: float = 2, trigger: str = "feedback"
) -> RetrainingRun:
    at = timezone.now() - timedelta(hours=hours_ago)
    snapshot = TrainingSnapshot.objects.create(
        registered_model=model, digest="0" * 64, rows=9, feedback_rows=0
    )
    return make_run(
        model, status=RetrainingRun.Status.HELD, snapshot=snapshot, trigger=trigger,
        created_at=at, started_at=at, ended_at=at,
    )  # fmt: skip


def test_enough_accepted_feedback_asks_for_one_run_and_says_why() -> None:
    model = make_model(retrain=TWO)
    for _ in range(3):
        make_feedback(model)

    (run,) = triggering.request_due_runs()

    assert run.trigger == RetrainingRun.Trigger.FEEDBACK
    assert run.reason == "3 accepted feedback since the last snapshot; the policy asks for 2"
    assert run.requested_by.username == "everlearn"
    assert triggering.request_due_runs() == []


@pytest.mark.parametrize("status", ["pending", "quarantined", "rejected", "superseded"])
def test_only_accepted_feedback_counts(status: str) -> None:
    model = make_model(retrain=TWO)
    make_feedback(model)
    make_feedback(model, status=status)

    assert triggering.request_due_runs() == []


def test_feedback_that_a_snapshot_took_up_does_not_count_again() -> None:
    model = make_model(retrain=TWO)
    for _ in range(3):
        make_feedback(model, at=timezone.now() - timedelta(hours=3))
    trained(model)
    make_feedback(model)

    assert triggering.feedback_since_last_snapshot(model) == 1
    assert triggering.request_due_runs() == []


def test_nothing_is_due_within_the_cool_down() -> None:
    model = make_model(retrain={**TWO, "cooldown": "1h"})
    trained(model, hours_ago=0.5)
    for _ in range(3):
        make_feedback(model)

    assert triggering.request_due_runs() == []


@pytest.mark.parametrize("trigger", ["manual", "external"])
def test_a_run_that_somebody_asked_for_cools_nothing_down(trigger: str) -> None:
    model = make_model(retrain={**TWO, "cooldown": "1h"})
    trained(model, hours_ago=0.5, trigger=trigger)
    for _ in range(3):
        make_feedback(model)

    assert len(triggering.request_due_runs()) == 1


def test_slots_that_passed_while_nobody_looked_ask_for_one_run() -> None:
    model = make_model(
        retrain={"schedule": "*/5 * * * *"}, created_at=timezone.now() - timedelta(days=1)
    )

    (run,) = triggering.request_due_runs()
    RetrainingRun.objects.update(status=RetrainingRun.Status.HELD, ended_at=timezone.now())

    assert (run.registered_model, run.trigger) == (model, RetrainingRun.Trigger.SCHEDULE)
    assert triggering.request_due_runs() == []


def test_models_without_a_policy_and_retired_ones_are_left_alone() -> None:
    quiet = make_model("quiet")
    retired = make_model("retired", retrain=TWO, retired_at=timezone.now(), is_default=False)
    for model in (quiet, retired) * 3:
        make_feedback(model)

    assert triggering.request_due_runs() == []


def test_a_policy_that_cannot_be_read_does_not_keep_others_from_training() -> None:
    broken = make_model("broken", retrain={"feedback": 1, "cooldown": "soon"})
    sound = make_model("sound", retrain={"feedback": 1})
    make_feedback(broken)
    make_feedback(sound)

    assert [run.registered_model for run in triggering.request_due_runs()] == [sound]
    assert Feedback.objects.count() == 2
