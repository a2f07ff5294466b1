"""Runs that a workflow of GitHub Actions trains: one dispatch each (R9)."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from feedback_app import dispatching, retraining, tasks
from feedback_app.attempts import carry_out
from feedback_app.models import RetrainingRun
from feedback_app.serializers import RunSerializer
from models_app.models import RegisteredModel
from tests.conftest import KeyMaker
from tests.factories import make_model
from tests.fake_github import ACCEPTED, REPOSITORY, TOKEN, Answer, FakeGitHub
from tests.feedback_app.makers import make_feedback, make_run

Status = RetrainingRun.Status
Starts = Callable[..., FakeGitHub]

pytestmark = pytest.mark.django_db

RESET = int(datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp())


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Iterator[Starts]:
    """github(answer, …) is a GitHub that trains this EverLearn's runs and is asked in haste."""
    monkeypatch.setattr(dispatching, "TIMEOUTS", (0.3, 0.3))
    started: list[FakeGitHub] = []

    def start(*answers: Answer) -> FakeGitHub:
        fake = FakeGitHub(*answers)
        started.append(fake)
        for name, value in fake.settings().items():
            setattr(settings, name, value)
        return fake

    yield start
    for fake in started:
        fake.__exit__(None, None, None)


@pytest.fixture(autouse=True)
def _nothing_tells_the_token(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever happens, the token is neither in a log nor on the row of a run."""
    caplog.set_level(logging.DEBUG)
    yield
    assert TOKEN not in caplog.text
    assert not RetrainingRun.objects.filter(error__contains=TOKEN).exists()


def carried_out(model: RegisteredModel | None = None, **fields: object) -> RetrainingRun:
    return taken_up(make_run(model or make_model(), **fields))


def taken_up(run: RetrainingRun) -> RetrainingRun:
    """A worker claims the run, whatever its pause, and carries out one attempt."""
    RetrainingRun.objects.filter(pk=run.pk).update(not_before=timezone.now())
    claimed = retraining.claim(run.pk)
    assert claimed
    carry_out(claimed, claimed.attempts)
    return RetrainingRun.objects.get(pk=run.pk)


def shown(run: RetrainingRun) -> dict[str, Any]:
    return dict(RunSerializer(RetrainingRun.objects.get(pk=run.pk)).data)


def test_a_run_is_frozen_and_dispatched_once(github: Starts) -> None:
    fake = github()

    run = carried_out(reason="new harvest")

    (asked,) = fake.asked
    assert (asked.method, asked.path) == ("POST", f"/repos/{REPOSITORY}/dispatches")
    assert asked.body == {
        "event_type": "retrain",
        "client_payload": {"model": "leaves", "run": run.pk, "reason": "new harvest"},
    }
    assert asked.headers["Authorization"] == f"Bearer {TOKEN}"
    assert asked.headers["Accept"] == "application/vnd.github+json"
    assert asked.headers["X-GitHub-Api-Version"] == "2022-11-28"
    assert (run.status, run.step, run.error, run.attempts) == (Status.RUNNING, "workflow", "", 1)
    assert run.handed_over_at
    assert run.snapshot


def test_data_at_an_address_is_told_and_a_path_of_this_machine_is_not(github: Starts) -> None:
    fake, model = github(), make_model()
    snapshot = carried_out(model).snapshot
    RetrainingRun.objects.update(status=Status.FAILED)

    address = "https://data.example/leaves.csv"
    carried_out(model, snapshot=snapshot, data=address)
    RetrainingRun.objects.update(status=Status.FAILED)
    carried_out(model, snapshot=snapshot, data=model.data)

    _, told, untold = (one["client_payload"] for one in fake.dispatched())
    assert told["data_url"] == address
    assert "data_url" not in untold


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(401, "Bad credentials"), "401: Bad credentials"),
        (Answer(404, "Not Found"), "404: Not Found"),
        (Answer(422, "Validation Failed"), "422: Validation Failed"),
        (
            Answer(
                403, "API rate limit exceeded",
                {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(RESET)},
            ),
            "403: API rate limit exceeded (again at 2030-01-02T03:04:05+00:00)",
        ),
        (
            Answer(403, "You have exceeded a secondary rate limit", {"Retry-After": "60"}),
            "403: You have exceeded a secondary rate limit (again in 60 s)",
        ),
        (Answer(429, "Too many", {"Retry-After": "soon"}), "429: Too many"),
        (Answer(301, "Moved Permanently", {"Location": "http://127.0.0.1:9/"}), "301"),
        (Answer(403), "403"),
        (Answer(404, "Not Found", cut_off=True), "404"),
    ],
)  # fmt: skip
def test_what_github_refuses_ends_the_run_and_says_why(
    github: Starts, answer: Answer, error: str
) -> None:
    """R9"""
    fake = github(answer)

    run = carried_out()

    assert (run.status, run.handed_over_at) == (Status.FAILED, None)
    assert run.error.startswith(f"github_refused: {fake.url.removeprefix('http://')} answered ")
    assert f"answered {error}" in run.error
    assert len(fake.asked) == 1


def test_a_token_that_is_sent_back_is_not_kept(github: Starts) -> None:
    github(Answer(401, f"Bad credentials: {TOKEN}"))

    assert "Bad credentials: …" in carried_out().error


@pytest.mark.parametrize("first", [Answer(500), Answer(503, "busy"), Answer(204, late=0.9)])
def test_a_github_that_fails_or_is_slow_is_asked_again_for_the_same_run(
    github: Starts, first: Answer
) -> None:
    """R9: what timed out may have been accepted; the run's id lets the workflow notice."""
    fake = github(first, ACCEPTED)

    run = taken_up(carried_out())

    assert (run.status, run.step, run.error) == (Status.RUNNING, "workflow", "")
    payloads = [one["client_payload"] for one in fake.dispatched()]
    assert [one["run"] for one in payloads] == [run.pk, run.pk]


@pytest.fixture
def unanswered(github: Starts, settings: Settings) -> Iterator[str]:
    """The address at which a configured GitHub does not answer."""
    github()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
        settings.EVERLEARN_GITHUB_API_URL = f"http://{address}"
        yield address


def test_while_github_does_not_answer_the_run_waits_in_the_queue_and_says_so(
    unanswered: str,
) -> None:
    run = carried_out()

    assert (run.status, run.step, run.leased_until) == (Status.QUEUED, "waiting_github", None)
    assert run.error == f"github_away: {unanswered} cannot be reached"
    assert run.not_before > timezone.now()
    assert run.pk not in retraining.runs_to_wake()


def test_waiting_for_github_costs_no_attempt_and_the_pauses_grow_to_a_minute(
    unanswered: str,
) -> None:
    run, pauses = make_run(make_model()), []
    for _ in range(8):
        begun = timezone.now()
        run = taken_up(run)
        pauses.append(round((run.not_before - begun).total_seconds(), -1))

    assert run.status == Status.QUEUED
    assert shown(run)["attempts"] == 0
    assert pauses[-3:] == [60, 60, 60]
    # A worker that dies now has its three attempts still.
    for counted in (1, 2, 3):
        RetrainingRun.objects.filter(pk=run.pk).update(not_before=timezone.now())
        claimed = retraining.claim(run.pk)
        assert claimed
        assert shown(run)["attempts"] == counted
        retraining.retry_or_fail(run.pk, claimed.attempts, "worker_lost: killed by SIGKILL")
    run.refresh_from_db()
    assert run.status == Status.FAILED


def test_a_run_that_waits_for_github_holds_no_slot(unanswered: str, settings: Settings) -> None:
    settings.EVERLEARN_CONCURRENT_RUNS = 1
    first = carried_out(make_model("leaves"))
    second = make_run(make_model("petals"))

    assert retraining.runs_to_wake() == [second.pk]
    assert taken_up(second).step == "waiting_github"
    first.refresh_from_db()
    assert first.status == Status.QUEUED


def test_a_run_that_has_waited_for_its_whole_time_limit_fails(
    unanswered: str, settings: Settings
) -> None:
    run = carried_out()
    long_ago = timezone.now() - timedelta(seconds=settings.EVERLEARN_RUN_TIMEOUT + 1)
    RetrainingRun.objects.update(started_at=long_ago)

    run = taken_up(run)

    assert run.status == Status.FAILED
    assert run.error.startswith(f"timeout: stopped after {settings.EVERLEARN_RUN_TIMEOUT} s; ")
    assert unanswered in run.error


def test_what_was_accepted_is_never_dispatched_again(github: Starts) -> None:
    """Not even when whoever dispatched it was killed just then, and not by any message or pulse."""
    fake = github()
    run = carried_out()

    retraining.retry_or_fail(run.pk, run.attempts, "worker_lost: killed by SIGKILL")
    assert tasks.execute_retraining(run.pk) == f"run {run.pk} is not free, or as many run as may"
    carry_out(run, run.attempts)
    tasks.pulse()

    assert len(fake.asked) == 1
    run.refresh_from_db()
    assert (run.status, run.step) == (Status.RUNNING, "workflow")


def test_a_run_that_a_workflow_announced_needs_no_dispatch(
    github: Starts, client_with: KeyMaker
) -> None:
    fake = github()
    make_model()
    asked = client_with("retrain").post("/trigger", {"external": True})
    run = retraining.claim(asked.json()["run"])
    assert run

    carry_out(run, run.attempts)

    run.refresh_from_db()
    assert run.handed_over_at
    assert fake.asked == []


def test_enough_feedback_dispatches_too(github: Starts) -> None:
    fake = github()
    make_feedback(make_model(retrain={"feedback": 1}))
    tasks.pulse()
    run = retraining.claim(RetrainingRun.objects.get().pk)
    assert run

    carry_out(run, run.attempts)

    (told,) = fake.dispatched()
    assert told["client_payload"]["run"] == run.pk
    assert "feedback" in told["client_payload"]["reason"]
