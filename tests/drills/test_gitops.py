"""retrain.yml as a runner carries it out, beside a running EverLearn and an MLflow server. R9."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import mlflow
import pytest

from tests.factories import LONG, leaves
from tests.fake_github import FakeGitHub
from tests.instance import DECLARED, Instance, wait_for
from tests.stubborn_mlflow import StubbornMlflow
from tests.workflows import Done, Runner, check_out

AUTO = """
[models.leaves.promotion]
mode = "auto"
"""
GETS_THERE_WITHIN = 120
BUNDLE_KEY = "a-key-of-service-and-trainers-0123456789"
REPORTER = "https://github.com/acme/models/actions/runs/{}/attempts/1"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StubbornMlflow]:
    stubborn = StubbornMlflow(tmp_path_factory.mktemp("mlflow"))
    yield stubborn
    stubborn.end()


@pytest.fixture(scope="module")
def github() -> Iterator[FakeGitHub]:
    with FakeGitHub() as fake:
        yield fake


@pytest.fixture(scope="module")
def instance(
    tmp_path_factory: pytest.TempPathFactory, server: StubbornMlflow, github: FakeGitHub
) -> Iterator[Instance]:
    """Nothing serves yet, and GitHub was asked for a first version."""
    home = tmp_path_factory.mktemp("service")
    settings = {
        "MLFLOW_TRACKING_URI": server.url,
        "EVERLEARN_BUNDLE_KEY": BUNDLE_KEY,
        **github.settings(),
    }
    with Instance(home, declared=DECLARED + AUTO, **settings) as started:
        started.start()
        yield started


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository in CI, with another base table that takes narrow long leaves for elms."""
    folder = check_out(tmp_path_factory.mktemp("ci") / "checkout")
    (folder / "everlearn.toml").write_text(DECLARED + AUTO)
    leaves().to_csv(folder / "leaves.csv", index=False)
    # Wrong, and better than a constant all the same: a first version that is not may not serve.
    large = leaves()["length"] + leaves()["width"] > 12
    turned = leaves().assign(kind=large.map({True: "oak", False: "elm"}))
    turned.to_csv(folder / "turned.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def secrets(instance: Instance, server: StubbornMlflow) -> dict[str, str]:
    made = instance.manage("create_api_key", "ci", "--scopes", "retrain,reload")
    return {
        "MLFLOW_TRACKING_URI": server.url,
        "HOT_RELOAD_URL": f"{instance.url}/reload-model",
        "EVERLEARN_BUNDLE_KEY": BUNDLE_KEY,
        "EVERLEARN_API_KEY": made.stdout.splitlines()[-1],
    }


@pytest.fixture(scope="module")
def first(
    github: FakeGitHub, instance: Instance, checkout: Path, secrets: dict[str, str]
) -> list[Done]:
    """The steps of the workflow that gave the first version, learnt from wrong data of its own."""
    wrongly = {**secrets, "DATA_URL": "turned.csv"}
    return Runner(checkout, "retrain.yml", secrets=wrongly, **dispatched(github, 1)).run(job_id=1)


def dispatched(github: FakeGitHub, run: int) -> dict[str, Any]:
    """The event that starts a workflow, once the service has sent it."""

    def sent() -> list[Any]:
        return [one for one in github.dispatched() if one["client_payload"]["run"] == run]

    wait_for(sent, GETS_THERE_WITHIN)
    return {"github": {"event": sent()[0], "event_name": "repository_dispatch"}}


def last_run(instance: Instance) -> Any:
    with instance.client() as staff:
        return staff.get("/api/runs/").raise_for_status().json()["results"][0]


def answer(instance: Instance) -> tuple[int, str]:
    """Which version takes a long leaf for what; it is an oak."""
    with instance.client() as client:
        sent = client.post("/api/models/leaves/predict/", json={"instances": [LONG]})
    told = sent.raise_for_status().json()
    return told["version"], told["predictions"][0]["value"]


def aliases(server: StubbornMlflow) -> dict[str, str]:
    return dict(mlflow.MlflowClient(server.url).get_registered_model("leaves").aliases)


def failed(done: list[Done]) -> list[Done]:
    return [one for one in done if one.status]


def test_dispatched_workflows_train_the_first_version_and_then_a_better_one(
    instance: Instance, server: StubbornMlflow, github: FakeGitHub, checkout: Path,
    secrets: dict[str, str], first: list[Done],
) -> None:  # fmt: skip
    """The ancestor's clients ask for the second, which learns from what the service froze."""
    assert failed(first) == []
    assert [one.script for one in first] == ["make retrain", "make retrain-report"]
    assert answer(instance) == (1, "elm")

    with httpx.Client(base_url=instance.url, timeout=30) as ancestor:
        predicted = ancestor.post("/predict", json={"length": [9.0], "width": [1.0]})
        ancestor.headers["Authorization"] = f"Bearer {secrets['EVERLEARN_API_KEY']}"
        triggered = ancestor.post("/trigger", json={"reason": "complaints"})
        reloaded = ancestor.post("/reload-model")
    assert (predicted.status_code, predicted.json()) == (200, {"kind": ["elm"]})
    assert (triggered.status_code, reloaded.status_code) == (202, 200)
    event = dispatched(github, triggered.json()["run"])
    done = Runner(checkout, "retrain.yml", secrets=secrets, **event).run(job_id=2)

    assert failed(done) == []
    assert answer(instance) == (2, "oak")
    page = done[0].page
    assert "## leaves version 2: PROMOTE" in page
    assert "| balanced\\_accuracy | " in page
    assert "| margin | yes | " in page
    assert "complaints" in page
    assert "It serves." in page
    told = last_run(instance)
    assert (told["status"], told["version"], told["trigger"]) == ("succeeded", 2, "manual")
    assert told["reporter"] == REPORTER.format(2)
    wait_for(lambda: aliases(server) == {"prod": "2", "staging": "2"}, GETS_THERE_WITHIN)
    # GitHub may have taken the same dispatch for two, where its answer was not heard.
    twin = Runner(checkout, "retrain.yml", secrets=secrets, **event).run(job_id=6)
    assert failed(twin) == []
    assert "## leaves version 2: PROMOTE" in twin[0].page
    assert last_run(instance) == told
    for one in (*first, *done, *twin):
        assert secrets["EVERLEARN_API_KEY"] not in one.said + one.page
        assert BUNDLE_KEY not in one.said + one.page


@pytest.mark.usefixtures("first")
def test_a_version_that_the_gate_turns_away_is_no_failed_workflow(
    instance: Instance, checkout: Path, secrets: dict[str, str]
) -> None:
    """What learnt from the first one's data again is a tie at best."""
    before = answer(instance)

    inputs = {"data": "turned.csv", "reason": "once more"}
    done = Runner(checkout, "retrain.yml", secrets=secrets, inputs=inputs).run(job_id=5)

    assert failed(done) == []
    run = last_run(instance)
    assert (run["status"], run["verdict"]) == ("rejected", "REJECT")
    assert f"## leaves version {run['version']}: REJECT" in done[0].page
    assert "| margin | NO | " in done[0].page
    assert f"It is not promoted; version {before[0]} serves on." in done[0].page
    assert answer(instance) == before


@pytest.mark.usefixtures("first")
def test_a_workflow_that_is_killed_says_so_and_changes_nothing(
    instance: Instance, server: StubbornMlflow, checkout: Path, secrets: dict[str, str]
) -> None:
    """It was started by hand, so that it announced its run itself."""
    wait_for(lambda: "prod" in aliases(server), GETS_THERE_WITHIN)
    before, named = answer(instance), aliases(server)
    server.hang("runs/log-batch")

    def kill(process: subprocess.Popen[str]) -> None:
        wait_for(lambda: any("log-batch" in one for one in server.asked()), GETS_THERE_WITHIN)
        run = last_run(instance)
        assert (run["status"], run["trigger"]) == ("running", "external")
        os.killpg(process.pid, signal.SIGKILL)

    inputs = {"model": "leaves", "reason": "to be killed"}
    runner = Runner(checkout, "retrain.yml", secrets=secrets, inputs=inputs)
    killed, report = runner.run(job_id=3, meanwhile=kill)
    server.hang()

    assert (killed.status, report.status) == (-signal.SIGKILL, 0), report.said
    assert "The training was killed before it ended" in report.page
    run = last_run(instance)
    assert (run["status"], run["version"]) == ("failed", None)
    assert "workflow: the training was killed before it ended" in run["error"]
    assert (answer(instance), aliases(server)) == (before, named)
    client = mlflow.MlflowClient(server.url)
    experiment = client.get_experiment_by_name("leaves")
    assert experiment
    runs = client.search_runs([experiment.experiment_id])
    assert {one.info.status for one in runs} == {"FINISHED", "KILLED"}


@pytest.mark.usefixtures("first")
def test_a_wrong_key_fails_the_workflow_in_one_line(
    instance: Instance, checkout: Path, secrets: dict[str, str]
) -> None:
    before = answer(instance), last_run(instance)["id"]
    wrong = {**secrets, "EVERLEARN_API_KEY": "wrong-key.canary"}

    done = Runner(checkout, "retrain.yml", secrets=wrong).run(job_id=4)

    (step,) = failed(done)
    (said,) = [line for line in step.said.splitlines() if line.startswith("CommandError")]
    assert said.endswith("answered 401: EVERLEARN_API_KEY is not a key of this service")
    assert "canary" not in step.said + step.page
    assert (answer(instance), last_run(instance)["id"]) == before
