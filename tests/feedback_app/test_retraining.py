from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ
from pytest_django.fixtures import DjangoCaptureOnCommitCallbacks, Settings

from feedback_app import retraining
from feedback_app.models import RetrainingRun
from models_app.actors import system_user
from models_app.refusals import Conflict, NotFound
from tests.factories import make_model, make_user
from tests.feedback_app.makers import make_run, make_running

Status = RetrainingRun.Status

pytestmark = pytest.mark.django_db

MANUAL = RetrainingRun.Trigger.MANUAL


def a_minute_ago() -> datetime:
    return timezone.now() - timedelta(minutes=1)


def test_a_request_queues_a_run_and_wakes_a_worker(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        run, created = retraining.request(
            make_model(), actor=system_user("cli"), trigger=MANUAL, reason="try"
        )

    assert (created, run.status, run.reason) == (True, Status.QUEUED, "try")
    assert [message.task["args"] for message in OrmQ.objects.all()] == [(run.pk,)]


def test_a_second_request_is_answered_with_the_active_run() -> None:
    model = make_model()
    first, _ = retraining.request(model, actor=system_user("cli"), trigger=MANUAL)

    second, created = retraining.request(model, actor=system_user("cli"), trigger=MANUAL)

    assert (second, created) == (first, False)


def test_a_request_needs_the_permission() -> None:
    with pytest.raises(PermissionDenied):
        retraining.request(make_model(), actor=make_user(), trigger=MANUAL)

    assert not RetrainingRun.objects.exists()


def test_a_retired_model_is_not_retrained() -> None:
    model = make_model(retired_at=timezone.now(), is_default=False)

    with pytest.raises(NotFound):
        retraining.request(model, actor=system_user("cli"), trigger=MANUAL)


@pytest.mark.django_db(transaction=True)
def test_of_many_requests_at_once_one_run_comes() -> None:
    model, actor = make_model(), system_user("cli")
    created = []

    def request() -> None:
        created.append(retraining.request(model, actor=actor, trigger=MANUAL)[1])
        connection.close()

    threads = [threading.Thread(target=request) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(created) == [False] * 7 + [True]
    assert RetrainingRun.objects.count() == 1


@pytest.mark.parametrize("make", [make_run, make_running])
def test_an_active_run_can_be_cancelled(make: Callable[..., RetrainingRun]) -> None:
    run = retraining.cancel(make(make_model()), actor=system_user("cli"))

    assert run.status == Status.CANCELLED
    assert run.ended_at


def test_cancelling_twice_changes_nothing() -> None:
    run = retraining.cancel(make_run(make_model()), actor=system_user("cli"))

    assert retraining.cancel(run, actor=system_user("cli")).ended_at == run.ended_at


def test_a_run_that_ended_cannot_be_cancelled() -> None:
    run = make_run(make_model(), status=Status.HELD)

    with pytest.raises(Conflict):
        retraining.cancel(run, actor=system_user("cli"))


def test_cancelling_needs_the_permission() -> None:
    run = make_run(make_model())

    with pytest.raises(PermissionDenied):
        retraining.cancel(run, actor=make_user())

    assert RetrainingRun.objects.get().status == Status.QUEUED


def test_a_claim_counts_the_attempt_before_any_work() -> None:
    run = retraining.claim(make_run(make_model()).pk)

    assert run
    assert (run.status, run.attempts) == (Status.RUNNING, 1)
    assert run.leased_until
    assert run.leased_until > timezone.now()


def test_a_message_that_arrives_twice_claims_once() -> None:
    queued = make_run(make_model())
    retraining.claim(queued.pk)

    assert retraining.claim(queued.pk) is None


@pytest.mark.parametrize("run_id", [0, 999_999])
def test_a_message_for_an_unknown_run_is_dropped(run_id: int) -> None:
    assert retraining.claim(run_id) is None


def test_a_run_is_not_claimed_before_its_pause_is_over() -> None:
    run = make_run(make_model(), not_before=timezone.now() + timedelta(seconds=5))

    assert retraining.claim(run.pk) is None


def test_a_run_whose_worker_was_lost_is_taken_over_with_another_token() -> None:
    lost = make_running(make_model(), leased_until=a_minute_ago())

    run = retraining.claim(lost.pk)

    assert run
    assert run.attempts == 2
    assert run.started_at == lost.started_at
    assert not retraining.renew(run.pk, token=1)
    assert retraining.renew(run.pk, token=2)


def test_a_run_that_lost_three_workers_fails() -> None:
    lost = make_running(make_model(), leased_until=a_minute_ago(), attempts=3)

    assert retraining.claim(lost.pk) is None

    lost.refresh_from_db()
    assert lost.status == Status.FAILED
    assert lost.error.startswith("worker_lost")


def test_no_more_runs_are_claimed_than_may_run_at_once(settings: Settings) -> None:
    settings.EVERLEARN_CONCURRENT_RUNS = 1
    make_running(make_model("busy"))
    waiting = make_run(make_model("waiting"))

    assert retraining.claim(waiting.pk) is None
    assert retraining.runs_to_wake() == []


def test_waiting_and_lost_runs_are_woken_as_far_as_there_are_places(
    settings: Settings,
) -> None:
    settings.EVERLEARN_CONCURRENT_RUNS = 3
    make_running(make_model("busy"))
    lost = make_running(make_model("lost"), leased_until=a_minute_ago())
    make_run(make_model("pausing"), not_before=timezone.now() + timedelta(seconds=9))
    first = make_run(make_model("first"))
    make_run(make_model("second"))

    assert retraining.runs_to_wake() == [lost.pk, first.pk]


def test_an_attempt_that_died_is_tried_again_after_a_pause() -> None:
    run = make_running(make_model())

    retraining.retry_or_fail(run.pk, 1, "worker_lost: killed by SIGKILL")

    run.refresh_from_db()
    assert (run.status, run.leased_until) == (Status.QUEUED, None)
    assert run.not_before > timezone.now()
    assert run.error == "worker_lost: killed by SIGKILL"


def test_the_third_attempt_that_died_was_the_last() -> None:
    run = make_running(make_model(), attempts=3)

    retraining.retry_or_fail(run.pk, 3, "worker_lost: killed by SIGKILL")

    run.refresh_from_db()
    assert (run.status, run.error) == (Status.FAILED, "worker_lost: killed by SIGKILL")
    assert run.ended_at


def test_an_attempt_that_lost_its_lease_ends_nothing() -> None:
    run = make_running(make_model(), attempts=2)

    retraining.retry_or_fail(run.pk, 1, "late")
    retraining.fail(run.pk, 1, "late")

    run.refresh_from_db()
    assert (run.status, run.error) == (Status.RUNNING, "")
