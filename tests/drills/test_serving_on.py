"""What serves goes on serving: without MLflow and queue, through promotions and broken caches."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx
import psutil
import pytest

from tests.drills import invariants
from tests.drills.history import Clients, Exchange
from tests.drills.killing import Killer, alive
from tests.drills.mlflow_stub import MlflowStub
from tests.drills.promoting import promote
from tests.factories import LONG
from tests.instance import DECLARED, Instance, wait_for

WEB = 3
LIVE_WITHIN = 5.0
SEEN_WITHIN = 40.0


class Serving:
    """An instance that was restarted while its MLflow was stopped, and that MLflow."""

    def __init__(self, instance: Instance, mlflow: MlflowStub, client: httpx.Client) -> None:
        self.instance, self.mlflow, self.client = instance, mlflow, client
        self.back_after = 0.0

    def restart(self) -> None:
        """Start anew, noting how long the web processes took until they served."""
        self.instance.process = None
        timing = threading.Thread(target=self._time)
        timing.start()
        self.instance.start()
        timing.join()

    def _time(self) -> None:
        wait_for(lambda: self.instance.process and self.instance.below("gunicorn.conf.py"), 60)
        began = time.monotonic()
        wait_for(self.instance.ready, 60)
        self.back_after = time.monotonic() - began

    def wait_until_degraded(self, *names: str) -> None:
        wait_for(lambda: self.degraded() == list(names), SEEN_WITHIN)

    def degraded(self) -> list[str]:
        answer = self.client.get("/ready")
        assert answer.status_code == 200
        return list(answer.json()["degraded"])

    def generations(self) -> set[int]:
        """What the live web processes serve, by their own word."""
        # Asked for within seconds, so read without the time that Django takes to start.
        with closing(sqlite3.connect(self.instance.home / "db.sqlite3")) as database:
            said = database.execute(
                "SELECT generations FROM models_app_webprocess"
                " WHERE seen_at > strftime('%Y-%m-%d %H:%M:%f', 'now', '-5 seconds')"
            ).fetchall()
        return {json.loads(word)["leaves"]["generation"] for (word,) in said}

    def post(self, path: str, body: Any) -> httpx.Response:
        return self.client.post(path, json=body)

    def line(self) -> dict[str, Any]:
        (newest, *_) = self.client.get("/api/models/leaves/deployments/").json()["results"]
        return dict(newest)


@pytest.fixture(scope="module")
def serving(tmp_path_factory) -> Iterator[Serving]:
    mlflow = MlflowStub()
    with Instance(tmp_path_factory.mktemp("on"), WEB_CONCURRENCY=str(WEB)) as instance:
        instance.start()
        promote(instance, "leaves", times=1)
        instance.end(signal.SIGKILL)
        # Declared and never trained: nothing serves it.
        (instance.home / "everlearn.toml").write_text(
            f'{DECLARED}\n[models.second]\ndata = "leaves.csv"\ntarget = "kind"\npublic = true\n'
        )
        assert instance.manage("apply").returncode == 0
        (instance.home / "everlearn.toml").write_text(DECLARED)
        instance.environ["MLFLOW_TRACKING_URI"] = mlflow.uri
        mlflow.mode = "stopped"
        with instance.client() as client:
            found = Serving(instance, mlflow, client)
            found.restart()
            yield found
    if mlflow.mode != "stopped":
        mlflow.close()


def slowest_tenth(exchanges: list[Exchange]) -> float:
    """The 90th percentile of the seconds that predictions took; all must have been given."""
    assert {one.status for one in exchanges} == {200}
    return quantiles([one.ended - one.sent for one in exchanges], n=10)[-1]


def test_after_a_restart_without_mlflow_what_served_serves_again(serving: Serving) -> None:
    """L3, the cache full."""
    assert serving.back_after < 10
    wait_for(lambda: serving.generations() == {2}, 10)
    serving.wait_until_degraded("mlflow")


def test_what_was_never_promoted_says_so_and_serves_once_it_is(serving: Serving) -> None:
    """L3, nothing promoted yet."""
    path = "/api/models/second/predict/"

    refused = serving.post(path, {"instances": [LONG]})

    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (503, "model_not_ready")
    assert refused.headers["Retry-After"]
    for page in ("/", "/admin/login/", "/api/models/second/", "/api/models/second/versions/"):
        assert serving.client.get(page).status_code == 200
    features = {"model": "leaves", "features": LONG, "value": "oak"}
    assert serving.post("/api/feedback/", features).status_code == 201

    promote(serving.instance, "second", times=1)

    wait_for(lambda: serving.post(path, {"instances": [LONG]}).status_code == 200, LIVE_WITHIN)


def test_no_prediction_waits_for_mlflow_whatever_it_does(serving: Serving) -> None:
    """P1."""
    took: dict[str, list[Exchange]] = {}
    with Clients(serving.instance.url, serving.instance.key, rate=30) as clients:
        for mode in ("well", "hanging", "failing", "stopped"):
            serving.mlflow.mode = mode
            serving.wait_until_degraded(*["mlflow"] * (mode != "well"))
            seen = time.time()
            time.sleep(3)
            took[mode] = clients.history.predictions_since(seen)
    usual = slowest_tenth(took["well"])

    for exchanges in took.values():
        assert slowest_tenth(exchanges) < 1.2 * usual + 0.1
        # What asks MLflow would take as long as its client has patience, five seconds.
        assert max(one.ended - one.sent for one in exchanges) < 3
    invariants.check(serving.instance, clients.history)


def test_a_rollback_needs_neither_mlflow_nor_queue(serving: Serving) -> None:
    """R7."""
    serving.mlflow.mode = "stopped"
    serving.wait_until_degraded("mlflow")
    before = serving.line()
    with stopped(alive(serving.instance, "guard") + alive(serving.instance, "queue")):
        told = serving.post("/api/models/leaves/rollback/", {"reason": "complaints"})
        rolled_back = time.monotonic()
        assert told.status_code == 200
        assert told.json()["generation"] == before["generation"] + 1
        assert (told.json()["action"], told.json()["version"]) == ("rollback", 1)
        wait_for(lambda: serving.generations() == {told.json()["generation"]}, LIVE_WITHIN)
        assert time.monotonic() - rolled_back < LIVE_WITHIN
        serving.wait_until_degraded("mlflow", "queue")
    serving.mlflow.mode = "well"
    serving.wait_until_degraded()


class stopped:  # noqa: N801 - used as a word
    """Stop processes for a while, as a machine that swaps does."""

    def __init__(self, processes: list[psutil.Process]) -> None:
        assert processes
        self.processes = processes

    def __enter__(self) -> None:
        for process in self.processes:
            process.suspend()

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.resume()


def test_fifty_promotions_under_load_fail_no_request(serving: Serving) -> None:
    """L1, with a process that joins meanwhile."""
    before = serving.line()["generation"]
    (master,) = alive(serving.instance, "master")
    with Clients(serving.instance.url, serving.instance.key, rate=40, threads=8) as clients:
        promoting = threading.Thread(
            target=promote, args=(serving.instance, "leaves"), kwargs={"times": 50}
        )
        promoting.start()
        wait_for(lambda: serving.line()["generation"] > before, 60)
        master.send_signal(signal.SIGTTIN)
        wait_for(lambda: len(alive(serving.instance, "web")) == WEB + 1, 10)
        promoting.join()
        wait_for(lambda: serving.generations() == {before + 50}, LIVE_WITHIN)

    invariants.check(serving.instance, clients.history)
    assert {one.status for one in clients.history if one.kind == "predict"} == {200}
    served = {one.answer["generation"] for one in clients.history.predictions_since(0)}
    assert len(served) > 10


def test_web_processes_asked_to_renew_themselves_lose_no_request(serving: Serving) -> None:
    """L4, SIGHUP under load."""
    url, key = serving.instance.url, serving.instance.key
    (master,) = alive(serving.instance, "master")
    known = set(alive(serving.instance, "web"))
    # One that is kept alive may be closed just as the next request leaves, with any server.
    with Clients(url, key, rate=40, threads=8, kept_alive=False) as clients:
        wait_for(lambda: len(clients.history) > 20, 30)
        master.send_signal(signal.SIGHUP)
        wait_for(lambda: not known & set(alive(serving.instance, "web")), 30)
        renewed = time.time()
        wait_for(lambda: clients.history.answered_since(renewed), LIVE_WITHIN)

    invariants.check(serving.instance, clients.history)
    assert {one.status for one in clients.history if one.kind == "predict"} == {200}
    # Each ended by itself: a thread begun before the fork would have had it aborted.
    assert "SIGABRT" not in (serving.instance.home / "logs" / "web.log").read_text()


def test_a_corrupt_cache_is_fetched_again_and_a_full_one_done_without(serving: Serving) -> None:
    """L2."""
    serving.mlflow.mode = "well"
    cache = serving.instance.home / "cache" / "bundles"
    for break_it in (_corrupt, _put_a_file_there):
        break_it(cache)
        replace_web(serving)
        # Of the killed ones too, until they have been silent for a while.
        wait_for(lambda: serving.generations() == {serving.line()["generation"]}, 10)
        serving.wait_until_degraded()
        answer = serving.post("/api/models/leaves/predict/", {"instances": [LONG]})
        assert answer.status_code == 200
    cache.unlink()


def replace_web(serving: Serving) -> None:
    """Kill all web processes, and wait until others serve."""
    known = {process.pid for process in alive(serving.instance, "web")}
    Killer(serving.instance).kill_all("web")

    def replaced() -> bool:
        now = {process.pid for process in alive(serving.instance, "web")}
        return len(now) >= WEB and not now & known

    wait_for(replaced, 10)
    wait_for(serving.instance.ready, 10)


def _corrupt(cache: Path) -> None:
    for path in cache.rglob("*.*"):
        path.write_bytes(b"not what was stored")


def _put_a_file_there(cache: Path) -> None:
    shutil.rmtree(cache)
    cache.write_bytes(b"")


def test_a_rollback_to_a_bundle_that_is_gone_changes_nothing(serving: Serving) -> None:
    """R7, the second case. The last here: what it removes stays removed."""
    before = serving.line()
    versions = serving.client.get("/api/models/leaves/versions/").json()["results"]
    other = next(one for one in versions if one["number"] != before["version"])
    number, digest = other["number"], other["bundle_digest"]
    home = serving.instance.home
    shutil.rmtree(home / "storage" / "bundles" / digest)
    shutil.rmtree(home / "cache" / "bundles" / digest, ignore_errors=True)

    refused = serving.post("/api/models/leaves/rollback/", {"to": number, "reason": "try"})

    assert refused.status_code == 409
    assert refused.json()["errors"][0]["code"] == "bundle_unavailable"
    assert serving.line() == before
    assert serving.post("/api/models/leaves/predict/", {"instances": [LONG]}).status_code == 200
