"""R9: runs that GitHub is asked to train, on a whole instance beside a fake GitHub."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings

from tests import environments
from tests.drills.killing import Killer
from tests.fake_github import ACCEPTED, TOKEN, Answer, FakeGitHub
from tests.instance import Instance, wait_for

OURS = "https://github.example/acme/wine/actions/runs/1"
PATIENCE = 60
PULSES = 10.0  # seconds in which the worker looks several times for what there is to do


@pytest.fixture(scope="module")
def github() -> Iterator[FakeGitHub]:
    with FakeGitHub(Answer(502), ACCEPTED) as fake:
        yield fake


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory, github: FakeGitHub) -> Iterator[Instance]:
    """Nothing serves yet, and its first run was dispatched."""
    home = tmp_path_factory.mktemp("service")
    # The workflow writes MLflow's files into a home of its own.
    roots = tmp_path_factory.getbasetemp().as_uri()
    with Instance(home, EVERLEARN_ARTIFACT_ROOTS=roots, **github.settings()) as started:
        started.start()
        waits_for_its_workflow(started, 1)
        yield started


@pytest.fixture
def run(instance: Instance, github: FakeGitHub) -> Iterator[int]:
    """The id of a run that GitHub was asked to train, and of which nobody has reported yet."""
    github.answers = [ACCEPTED]
    with instance.client() as staff:
        staff.post("/api/runs/1/cancel/")  # the one that the first start asked for
        asked: int = staff.post("/trigger").json()["run"]
        waits_for_its_workflow(instance, asked)
        yield asked
        staff.post(f"/api/runs/{asked}/cancel/")


def shown(instance: Instance, run: int) -> Any:
    with instance.client() as staff:
        return staff.get(f"/api/runs/{run}/").raise_for_status().json()


def waits_for_its_workflow(instance: Instance, run: int) -> None:
    wait_for(lambda: shown(instance, run)["handed_over_at"], PATIENCE)


def dispatched(github: FakeGitHub, run: int) -> list[Any]:
    payloads = [one["client_payload"] for one in github.dispatched()]
    return [payload for payload in payloads if payload["run"] == run]


def served(client: httpx.Client) -> tuple[int | None, int]:
    """Which version serves, and in which generation."""
    model = client.get("/api/models/leaves/").raise_for_status().json()
    return model["version"], model["generation"]


def report(client: httpx.Client, run: int, **said: Any) -> httpx.Response:
    body = {"reporter": OURS, "status": "running", **said}
    return client.post(f"/api/runs/{run}/report/", json=body)


def test_the_first_start_asks_github_once_more_after_a_502(
    instance: Instance, github: FakeGitHub
) -> None:
    assert instance.key  # without waiting for anybody's workflow

    told = {"model": "leaves", "run": 1, "reason": "declared"}
    assert dispatched(github, 1) == [told, told]


def test_after_a_204_nothing_dispatches_again_whoever_is_killed(
    instance: Instance, github: FakeGitHub, run: int
) -> None:
    (worker,) = instance.below("manage.py", "worker")
    killer = Killer(instance)
    for kind in ("guard", "queue", "trainer"):
        killer.kill_all(kind)
    wait_for(lambda: instance.has_another("worker", worker), PATIENCE)

    with instance.client() as client:
        again = client.post("/trigger")
    time.sleep(PULSES)

    assert (again.status_code, again.json()["run"]) == (200, run)
    assert len(dispatched(github, run)) == 1
    told = shown(instance, run)
    assert (told["status"], told["progress"]["step"]) == ("running", "workflow")
    assert (told["attempts"], told["error"]) == (1, None)


def test_only_the_right_key_and_the_first_reporter_are_heard(instance: Instance, run: int) -> None:
    made = instance.manage("create_api_key", "onlooker", "--scopes", "read,predict,feedback")
    onlooker = {"Authorization": f"Bearer {made.stdout.splitlines()[-1]}"}
    wrong = {"Authorization": "Bearer abcdefgh.0123456789abcdef0123456789abcdef"}
    for headers, status in (({}, 401), (wrong, 401), (onlooker, 403)):
        with httpx.Client(base_url=instance.url, headers=headers) as client:
            assert report(client, run, status="failed").status_code == status

    with instance.client() as workflow:
        assert report(workflow, run).json()["reporter"] == OURS
        assert report(workflow, run, reporter="a twin", status="failed").status_code == 409
    assert shown(instance, run)["status"] == "running"


def test_a_report_alone_promotes_nothing(instance: Instance, run: int) -> None:
    with instance.client() as workflow:
        before = served(workflow)
        for _ in range(2):
            assert report(workflow, run, status="registered", version=1).status_code == 200
        time.sleep(PULSES)
        assert served(workflow) == before
    assert shown(instance, run)["version"] is None


def test_the_workflow_that_was_dispatched_has_its_version_served(
    instance: Instance, github: FakeGitHub, run: int, tmp_path: Path
) -> None:
    (told,) = dispatched(github, run)
    environ = environments.of_another(
        tmp_path,
        MLFLOW_TRACKING_URI=f"sqlite:///{instance.home}/mlflow.db",
        HOT_RELOAD_URL=f"{instance.url}/reload-model",
        EVERLEARN_API_KEY=instance.key,
        EVERLEARN_BUNDLE_KEY=(instance.home / "bundle_key").read_text().strip(),
        EVERLEARN_MODELS=instance.environ["EVERLEARN_MODELS"],
    )
    words = ["train", told["model"], "--standalone", "--run", str(told["run"])]
    done = subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=settings.BASE_DIR, env=environ, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    judged = shown(instance, run)
    assert (judged["status"], judged["verdict"], judged["error"]) == ("succeeded", "PROMOTE", None)
    with instance.client() as client:
        assert served(client) == (judged["version"], 1)


def test_a_report_that_is_replayed_changes_nothing(instance: Instance, run: int) -> None:
    with instance.client() as workflow:
        ended = report(workflow, run, status="failed", error="no memory left").json()
        again = [report(workflow, run, status=one) for one in ("failed", "registered", "running")]

    assert (ended["status"], ended["error"]) == ("failed", "workflow: no memory left")
    assert [(one.status_code, one.json()) for one in again] == [(200, ended)] * 3


def test_what_github_refuses_ends_the_run_and_nothing_tells_the_token(
    instance: Instance, github: FakeGitHub
) -> None:
    github.answers = [Answer(401, f"Bad credentials {TOKEN}")]
    with instance.client() as client:
        client.post("/api/runs/1/cancel/")
        refused = client.post("/trigger").json()["run"]
    wait_for(lambda: shown(instance, refused)["status"] == "failed", PATIENCE)

    assert "answered 401: Bad credentials" in shown(instance, refused)["error"]
    assert len(dispatched(github, refused)) == 1
    files = [path for path in instance.home.rglob("*") if path.is_file()]
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]
