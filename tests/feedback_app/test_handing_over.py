"""Runs that a workflow elsewhere trains: what it may say of them, and what it may not (R9)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from feedback_app import attempts, retraining, tasks
from feedback_app.models import RetrainingRun
from models_app.models import Deployment, RegistrySync
from tests.conftest import KeyMaker
from tests.factories import make_champion, make_model, make_version
from tests.feedback_app.makers import make_away, make_feedback, make_run, make_running

Status = RetrainingRun.Status

pytestmark = pytest.mark.django_db

OURS = "https://github.example/acme/wine/actions/runs/7"


@pytest.fixture
def workflow(client_with: KeyMaker) -> APIClient:
    """The workflow's client, with the scopes that it is usually given."""
    return client_with("retrain", "reload")


def report(client: APIClient, run: RetrainingRun, **said: Any) -> Any:
    body = {"reporter": OURS, "status": "running", **said}
    return client.post(f"/api/runs/{run.pk}/report/", body)


def code_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["errors"][0]["code"]


def test_a_run_that_a_workflow_announces_is_frozen_and_handed_over(
    workflow: APIClient, settings: Settings
) -> None:
    make_feedback(make_model(), features={"length": 20.0, "width": 1.0}, value="elm")
    asked = workflow.post("/api/models/leaves/retrain/", {"reason": "nightly", "external": True})
    assert asked.status_code == 202
    run = retraining.claim(asked.json()["run"])
    assert run

    attempts.carry_out(run, run.attempts)

    run.refresh_from_db()
    assert (run.trigger, run.status, run.step) == ("external", Status.RUNNING, "workflow")
    assert run.snapshot
    assert run.snapshot.feedback_rows == 1
    assert run.handed_over_at
    patience = timedelta(seconds=settings.EVERLEARN_RUN_TIMEOUT)
    assert run.leased_until == run.handed_over_at + patience
    assert (run.version, run.mlflow_run_id) == (None, "")


def test_no_worker_touches_a_run_that_a_workflow_has(settings: Settings) -> None:
    settings.EVERLEARN_CONCURRENT_RUNS = 1
    run = make_away(make_model("away"), leased_until=timezone.now() - timedelta(seconds=1))
    waiting = make_run(make_model("waiting"))

    assert retraining.runs_to_wake() == [waiting.pk]
    assert retraining.claim(run.pk) is None
    # Whoever handed it over may still look after its child, or find it dead.
    assert not retraining.renew(run.pk, token=1)
    retraining.retry_or_fail(run.pk, 1, "worker_lost: killed by SIGKILL")
    retraining.fail_spent_runs()

    run.refresh_from_db()
    assert (run.status, run.error, run.attempts) == (Status.RUNNING, "", 1)
    assert retraining.claim(waiting.pk)


def test_each_report_renews_the_lease_and_says_how_far_it_is(workflow: APIClient) -> None:
    run = make_away(make_model())
    before = timezone.now()

    answer = report(workflow, run, progress={"step": "search", "done": 3, "total": 8})

    run.refresh_from_db()
    assert answer.status_code == 200
    assert answer.json()["progress"] == {"step": "search", "done": 3, "total": 8}
    assert (answer.json()["status"], answer.json()["reporter"]) == ("running", OURS)
    assert run.leased_until
    assert timedelta(0) <= run.leased_until - before - timedelta(seconds=120) < timedelta(seconds=9)


def test_the_first_who_reports_is_the_only_one(workflow: APIClient) -> None:
    run = make_away(make_model())
    report(workflow, run)

    assert code_of(report(workflow, run, reporter="a twin")) == (409, "run_taken")

    assert report(workflow, run).status_code == 200
    assert RetrainingRun.objects.get().reporter == OURS


def test_a_workflow_that_fails_ends_its_run_and_says_why(workflow: APIClient) -> None:
    run = make_away(make_model())

    said = "MLflow at https://ci:hunter2@mlflow.example/: 503 " + "x" * 9000
    answer = report(workflow, run, status="failed", error=said)

    run.refresh_from_db()
    assert (answer.status_code, answer.json()["status"]) == (200, "failed")
    assert run.error.startswith("workflow: MLflow at https://mlflow.example/: 503 x")
    assert len(run.error) == retraining.LONGEST_ERROR
    assert run.ended_at
    assert not run.active


def test_that_a_version_is_registered_is_a_hint_and_promotes_nothing(workflow: APIClient) -> None:
    """R9"""
    champion = make_champion()
    run = make_away(champion.registered_model)
    version = make_version(champion.registered_model)
    RegistrySync.objects.all().delete()

    answer = report(workflow, run, status="registered", version=version.number)

    assert (answer.status_code, answer.json()["version"]) == (200, None)
    assert RegistrySync.objects.exists()
    assert Deployment.objects.count() == 1
    assert RetrainingRun.objects.get().active


@pytest.mark.parametrize("status", ["running", "failed", "registered"])
@pytest.mark.parametrize("ended", ["succeeded", "held", "failed", "cancelled"])
def test_a_report_on_a_run_that_has_ended_changes_nothing(
    workflow: APIClient, ended: str, status: str
) -> None:
    """R9: a replayed report. And so a workflow learns that somebody cancelled its run."""
    run = make_away(make_model(), status=ended, reporter=OURS, step="")

    for _ in range(2):
        answer = report(workflow, run, status=status)
        assert (answer.status_code, answer.json()["status"]) == (200, ended)

    again = RetrainingRun.objects.get()
    assert (again.status, again.step, again.error) == (ended, "", "")


def test_a_run_that_came_back_for_its_verdict_is_no_longer_the_workflows(
    workflow: APIClient,
) -> None:
    run = make_away(make_model(), reporter=OURS, step="gate", error="")
    RetrainingRun.objects.update(version=make_version(run.registered_model))

    answer = report(workflow, run, status="failed", error="too late")

    assert (answer.status_code, answer.json()["status"]) == (200, "running")
    assert answer.json()["gate"]["verdict"] == "PROMOTE"
    assert RetrainingRun.objects.get().step == "gate"


@pytest.mark.parametrize("make", [make_run, make_running])
def test_a_run_that_is_still_here_is_asked_for_again_in_a_moment(
    workflow: APIClient, make: Any
) -> None:
    run = make(make_model())

    answer = report(workflow, run)

    assert code_of(answer) == (409, "run_not_handed_over")
    assert answer["Retry-After"] == "2"


def test_who_may_not_retrain_may_not_report(api: APIClient, client_with: KeyMaker) -> None:
    """R9"""
    run = make_away(make_model())

    assert report(api, run, status="failed").status_code == 401
    api.credentials(HTTP_AUTHORIZATION="Bearer wrongkey.0123456789abcdef0123456789abcdef")
    assert report(api, run, status="failed").status_code == 401
    reader = client_with("read", "predict", "feedback", "reload")
    assert report(reader, run, status="failed").status_code == 403
    assert RetrainingRun.objects.get().active


@pytest.mark.parametrize(
    ("said", "attr"),
    [
        ({"status": "promoted"}, "status"),
        ({"reporter": "x" * 201}, "reporter"),
        ({"reporter": ""}, "reporter"),
        ({"verdict": "PROMOTE"}, "verdict"),
        ({"version": "3"}, "version"),
        ({"progress": {"step": "fit", "done": -1, "total": 2}}, "progress.done"),
        ({"progress": {"step": "fit", "done": 1}}, "progress.total"),
        ({"error": 5}, "error"),
    ],
)
def test_what_is_wrong_with_a_report_is_named(
    workflow: APIClient, said: dict[str, Any], attr: str
) -> None:
    answer = report(workflow, make_away(make_model()), **said)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["attr"] == attr


def test_a_report_on_an_unknown_run_is_not_found(workflow: APIClient) -> None:
    assert workflow.post(
        "/api/runs/99/report/", {"reporter": OURS, "status": "running"}
    ).status_code == 404  # fmt: skip


@pytest.mark.parametrize(
    ("reporter", "why"), [(OURS, "for 120 s"), ("", "for 3600 s")], ids=["died", "never began"]
)
def test_a_run_whose_workflow_is_lost_fails_and_says_so(
    workflow: APIClient, reporter: str, why: str
) -> None:
    lost = timezone.now() - timedelta(seconds=1)
    run = make_away(make_model("lost"), reporter=reporter, leased_until=lost, attempts=3)
    alive = make_away(make_model("alive"))

    tasks.pulse()

    run.refresh_from_db()
    assert (run.status, run.ended_at is None) == (Status.FAILED, False)
    assert run.error == f"workflow_lost: nothing was heard from the workflow {why}"
    alive.refresh_from_db()
    assert alive.active
    assert report(workflow, run).json()["status"] == "failed"


def test_its_page_says_who_trains_it(manager: Client) -> None:
    run = make_away(make_model(), reporter=OURS)

    page = manager.get(reverse("admin:feedback_app_retrainingrun_change", args=[run.pk]))

    assert OURS in page.content.decode()
