"""`manage.py train --standalone` and `retrain_report` as processes, against a real MLflow.

Their database refuses every connection, so that whatever would ask it fails.
"""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from django.conf import settings

from tests import environments
from tests.factories import leaves
from tests.instance import DECLARED, wait_for
from tests.stubborn_mlflow import StubbornMlflow

REFUSES = "postgres://nobody:canary-password@127.0.0.1:9/none"
BUNDLE_KEY = "a-key-that-the-service-has-too-0123456789"
# Two of them start at once on busy processors.
STARTS_WITHIN = 60


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StubbornMlflow]:
    stubborn = StubbornMlflow(tmp_path_factory.mktemp("mlflow"))
    yield stubborn
    stubborn.end()


class Checkout:
    """A checkout in CI, where `make retrain` would run; its page is GitHub's."""

    def __init__(self, home: Path, **environ: str) -> None:
        home.mkdir()
        leaves().to_csv(home / "leaves.csv", index=False)
        (home / "everlearn.toml").write_text(DECLARED)
        self.page = home / "summary.md"
        self.environ = environments.of_another(
            home,
            DATABASE_URL=REFUSES,
            EVERLEARN_MODELS=str(home / "everlearn.toml"),
            GITHUB_STEP_SUMMARY=str(self.page),
            **{"EVERLEARN_BUNDLE_KEY": BUNDLE_KEY, **environ},
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "manage.py", *words],
            cwd=settings.BASE_DIR, env=self.environ, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit status, and all that was said."""
    out, err = process.communicate(timeout=STARTS_WITHIN)
    return process.returncode, out + err


def status_of(server: StubbornMlflow, run_id: str) -> str:
    return str(mlflow.MlflowClient(server.url).get_run(run_id).info.status)


def run_ids(server: StubbornMlflow, model: str) -> list[str]:
    client = mlflow.MlflowClient(server.url)
    experiment = client.get_experiment_by_name(model)
    found = client.search_runs([experiment.experiment_id]) if experiment else []
    return [run.info.run_id for run in found]


def test_without_a_service_a_version_is_registered_as_staging_and_nobody_is_told(
    tmp_path: Path, server: StubbornMlflow
) -> None:
    checkout = Checkout(tmp_path / "home", MLFLOW_TRACKING_URI=server.url)

    status, said = ended(checkout.start("train", "--standalone", "--reason", "try it"))

    assert (status, "leaves version 1: registered" in said) == (0, True), said
    assert "nobody was told" in said
    assert "canary" not in said + checkout.page.read_text()
    assert "| balanced\\_accuracy |" in checkout.page.read_text()
    client = mlflow.MlflowClient(server.url)
    version = client.get_model_version("leaves", "1")
    assert client.get_registered_model("leaves").aliases == {"staging": "1"}
    assert version.tags.keys() >= {"everlearn.bundle_digest", "everlearn.recipe"}
    folder = client.get_logged_model(str(version.source).removeprefix("models:/")).artifact_location
    named = mlflow.artifacts.download_artifacts(
        f"{folder}/everlearn/learnt_from.parquet", dst_path=str(tmp_path), tracking_uri=server.url
    )
    assert (
        hashlib.sha256(Path(named).read_bytes()).hexdigest()
        == version.tags["everlearn.learnt_from_digest"]
    )
    assert status_of(server, str(version.run_id)) == "FINISHED"


def test_a_training_that_is_stopped_or_killed_leaves_no_run_open(
    tmp_path: Path, server: StubbornMlflow
) -> None:
    first, second = (
        Checkout(tmp_path / name, MLFLOW_TRACKING_URI=server.url) for name in ("one", "two")
    )
    before = set(run_ids(server, "leaves"))
    server.hang("runs/log-batch")
    stopped, killed = (one.start("train", "--standalone") for one in (first, second))
    wait_for(lambda: len(set(run_ids(server, "leaves")) - before) == 2, STARTS_WITHIN)
    stopped.send_signal(signal.SIGTERM)
    killed.kill()

    status, said = ended(stopped)
    assert (status, "CommandError: stopped by a signal\n" in said) == (1, True), said
    ended(killed)
    status, said = ended(second.start("retrain_report"))
    server.hang()

    assert (status, "The training was killed before it ended" in said) == (0, True), said
    assert "Stopped by a signal" in first.page.read_text()
    assert "killed before it ended" in second.page.read_text()
    runs = set(run_ids(server, "leaves")) - before
    assert {status_of(server, run) for run in runs} == {"KILLED"}
    assert ended(second.start("retrain_report")) == (
        0,
        "The training of leaves has ended, and whom it concerns has been told.\n",
    )


def test_what_is_away_or_missing_is_told_in_one_line(
    tmp_path: Path, server: StubbornMlflow
) -> None:
    away = "http://127.0.0.1:9"
    at_service = {"HOT_RELOAD_URL": f"{away}/reload-model", "EVERLEARN_API_KEY": "canary.key"}
    cases = {
        "mlflow": ({"MLFLOW_TRACKING_URI": away}, f"MLflow at {away}: "),
        "service": (
            {"MLFLOW_TRACKING_URI": server.url, **at_service},
            f"the service at {away} cannot be reached",
        ),
        "key": ({"EVERLEARN_API_KEY": "canary.key"}, "but HOT_RELOAD_URL is not"),
        "place": (at_service, "MLFLOW_TRACKING_URI is not set"),
    }
    started = {
        name: Checkout(tmp_path / name, **environ).start("train", "--standalone")
        for name, (environ, _) in cases.items()
    }

    for name, process in started.items():
        out, err = process.communicate(timeout=STARTS_WITHIN)
        assert process.returncode == 1
        assert len(err.splitlines()) == 1, err
        assert err.startswith("CommandError: ")
        assert cases[name][1] in err
        assert "canary" not in out + err
        assert "failed" in (tmp_path / name / "summary.md").read_text()


def test_without_the_services_key_nothing_is_trained_that_it_would_refuse(
    tmp_path: Path, server: StubbornMlflow
) -> None:
    checkout = Checkout(tmp_path / "home", MLFLOW_TRACKING_URI=server.url, EVERLEARN_BUNDLE_KEY="")

    status, said = ended(checkout.start("train", "leaves", "--standalone"))

    assert status == 1
    (told,) = [line for line in said.splitlines() if line.startswith("CommandError")]
    assert "EVERLEARN_BUNDLE_KEY is not set" in told
