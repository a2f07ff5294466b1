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
from tests.instance import DECLARED, Instance, wait_for
from tests.stubborn_mlflow import StubbornMlflow
from tests.workflows import Done, Runner, check_out

PETALS = """
[models.petals]
data = "leaves.csv"
target = "kind"
estimator = "logistic"
public = true
[models.petals.promotion]
mode = "auto"
"""
GETS_THERE_WITHIN = 120


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StubbornMlflow]:
    stubborn = StubbornMlflow(tmp_path_factory.mktemp("mlflow"))
    yield stubborn
    stubborn.end()


@pytest.fixture(scope="module")
def instance(
    tmp_path_factory: pytest.TempPathFactory, server: StubbornMlflow
) -> Iterator[Instance]:
    """Serves `leaves`; `petals` is declared, and nobody has trained it yet."""
    home = tmp_path_factory.mktemp("service")
    with Instance(home, MLFLOW_TRACKING_URI=server.url) as started:
        started.start()
        (home / "everlearn.toml").write_text(DECLARED + PETALS)
        assert started.manage("apply").returncode == 0
        yield started


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository in CI, with another base table in which elms and oaks are exchanged."""
    folder = check_out(tmp_path_factory.mktemp("ci") / "checkout")
    (folder / "everlearn.toml").write_text(DECLARED + PETALS)
    leaves().to_csv(folder / "leaves.csv", index=False)
    turned = leaves().assign(kind=leaves()["kind"].map({"elm": "oak", "oak": "elm"}))
    turned.to_csv(folder / "turned.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def secrets(instance: Instance, server: StubbornMlflow) -> dict[str, str]:
    made = instance.manage("create_api_key", "ci", "--scopes", "retrain,reload")
    return {
        "MLFLOW_TRACKING_URI": server.url,
        "HOT_RELOAD_URL": f"{instance.url}/reload-model",
        "EVERLEARN_API_KEY": made.stdout.splitlines()[-1],
    }


@pytest.fixture(scope="module")
def first(instance: Instance, checkout: Path, secrets: dict[str, str]) -> list[Done]:
    """The steps of a workflow by hand, which gave `petals` its first version, learnt wrongly."""
    inputs = {"model": "petals", "data": "turned.csv", "reason": "by hand"}
    return Runner(checkout, "retrain.yml", secrets=secrets, inputs=inputs).run(job_id=1)


def ask(instance: Instance, path: str) -> Any:
    with instance.client() as staff:
        return staff.get(path).raise_for_status().json()


def last_run(instance: Instance) -> Any:
    return ask(instance, "/api/runs/?model=petals")["results"][0]


def answer(instance: Instance) -> tuple[int, str]:
    """Which version takes a long leaf for what; it is an oak."""
    with instance.client() as client:
        sent = client.post("/api/models/petals/predict/", json={"instances": [LONG]})
    told = sent.raise_for_status().json()
    return told["version"], told["predictions"][0]["value"]


def aliases(server: StubbornMlflow) -> dict[str, str]:
    found = mlflow.MlflowClient(server.url).get_registered_model("petals")
    return dict(found.aliases)


def failed(done: list[Done]) -> list[Done]:
    return [one for one in done if one.status]


def test_a_workflow_trains_the_first_version_and_then_a_better_one(
    instance: Instance, server: StubbornMlflow, checkout: Path, secrets: dict[str, str],
    first: list[Done],
) -> None:  # fmt: skip
    """The second learns from what the service froze."""
    assert failed(first) == []
    assert [one.script for one in first] == ["make retrain", "make retrain-report"]
    assert answer(instance) == (1, "elm")
    assert last_run(instance)["trigger"] == "external"

    with instance.client() as staff:
        asked = {"reason": "dispatched", "external": True}
        run = staff.post("/api/models/petals/retrain/", json=asked).json()["run"]
    payload = {"model": "petals", "run": run, "reason": "dispatched"}
    event = {"github": {"event": {"client_payload": payload}}}
    done = Runner(checkout, "retrain.yml", secrets=secrets, **event).run(job_id=2)

    assert failed(done) == []
    assert answer(instance) == (2, "oak")
    page = done[0].page
    assert "## petals version 2: PROMOTE" in page
    assert "| balanced\\_accuracy | " in page
    assert "| margin | yes | " in page
    assert "It serves." in page
    told = last_run(instance)
    assert (told["id"], told["status"], told["version"]) == (run, "succeeded", 2)
    assert told["reporter"] == "https://github.com/acme/models/actions/runs/2/attempts/1"
    wait_for(lambda: aliases(server) == {"prod": "2", "staging": "2"}, GETS_THERE_WITHIN)
    for one in done:
        assert secrets["EVERLEARN_API_KEY"] not in one.said + one.page


@pytest.mark.usefixtures("first")
def test_a_workflow_that_is_killed_says_so_and_changes_nothing(
    instance: Instance, server: StubbornMlflow, checkout: Path, secrets: dict[str, str]
) -> None:
    before, named = answer(instance), aliases(server)
    server.hang("runs/log-batch")

    def kill(process: subprocess.Popen[str]) -> None:
        wait_for(lambda: any("log-batch" in one for one in server.asked()), GETS_THERE_WITHIN)
        assert last_run(instance)["status"] == "running"
        os.killpg(process.pid, signal.SIGKILL)

    inputs = {"model": "petals", "reason": "to be killed"}
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
    experiment = client.get_experiment_by_name("petals")
    assert experiment
    runs = client.search_runs([experiment.experiment_id])
    assert {one.info.status for one in runs} == {"FINISHED", "KILLED"}


@pytest.mark.usefixtures("first")
def test_a_wrong_key_fails_the_workflow_in_one_line(
    instance: Instance, checkout: Path, secrets: dict[str, str]
) -> None:
    before = answer(instance), last_run(instance)["id"]
    wrong = {**secrets, "EVERLEARN_API_KEY": "wrong-key.canary"}

    done = Runner(checkout, "retrain.yml", secrets=wrong, inputs={"model": "petals"}).run(job_id=4)

    (step,) = failed(done)
    (said,) = [line for line in step.said.splitlines() if line.startswith("CommandError")]
    assert said.endswith("answered 401: EVERLEARN_API_KEY is not a key of this service")
    assert "canary" not in step.said + step.page
    assert (answer(instance), last_run(instance)["id"]) == before


def test_the_ancestors_clients_go_on(instance: Instance, secrets: dict[str, str]) -> None:
    bearer = {"Authorization": f"Bearer {secrets['EVERLEARN_API_KEY']}"}
    with httpx.Client(base_url=instance.url, headers=bearer, timeout=30) as ci:
        predicted = ci.post("/predict", json={"length": [9.0], "width": [1.0]})
        triggered = ci.post("/trigger", json={"reason": "as ever"})
        reloaded = ci.post("/reload-model")

    assert (predicted.status_code, predicted.json()) == (200, {"kind": ["oak"]})
    assert triggered.status_code == 202
    assert (reloaded.status_code, reloaded.json()["synced"]) == (200, True)
    run = f"/api/runs/{triggered.json()['run']}/"
    wait_for(lambda: ask(instance, run)["verdict"], GETS_THERE_WITHIN)
