"""everlearn/metrics.py and what it reads."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from prometheus_client.parser import text_string_to_metric_families
from rest_framework.test import APIClient

from everlearn import metric_files
from models_app.models import RegisteredModel
from tests.factories import LONG, make_champion
from tests.feedback_app.makers import make_feedback, make_run

pytestmark = pytest.mark.django_db

ClientWith = Callable[..., APIClient]
ELSEWHERE = {"REMOTE_ADDR": "192.0.2.1"}
PREDICT = "/api/models/leaves/predict/"


def told(client: APIClient) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample, by its name and labels."""
    response = client.get("/metrics", HTTP_ACCEPT="application/openmetrics-text")
    assert response.status_code == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.content.decode())
        for sample in family.samples
    }


def labels(**given: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(given.items()))


def test_this_host_and_readers_may_look_and_others_may_not(
    api: APIClient, client_with: ClientWith
) -> None:
    assert api.get("/metrics").status_code == 200
    assert api.get("/metrics", **ELSEWHERE).status_code == 401  # type: ignore[arg-type]
    assert client_with("predict").get("/metrics", **ELSEWHERE).status_code == 403  # type: ignore[arg-type]
    assert client_with("read").get("/metrics", **ELSEWHERE).status_code == 200  # type: ignore[arg-type]


def test_whom_a_proxy_speaks_for_is_not_of_this_host(api: APIClient) -> None:
    assert api.get("/metrics", HTTP_X_FORWARDED_FOR="127.0.0.1").status_code == 401


def test_predictions_are_counted_by_model_version_and_door(api: APIClient) -> None:
    make_champion()
    mine = labels(model="leaves", version="1", door="native")
    before = told(api)

    api.post(PREDICT, {"instances": [LONG] * 3})
    api.post(PREDICT, {"instances": [{**LONG, "width": "wide"}]})
    api.post("/predict", {"length": [1.0], "width": [1.0]})

    after = told(api)

    def grown(name: str, **given: str) -> float:
        key = (name, labels(model="leaves", **given))
        return after[key] - before.get(key, 0)

    assert grown("everlearn_requests_total", version="1", door="native") == 1
    assert grown("everlearn_rows_total", version="1", door="native") == 3
    assert grown("everlearn_requests_total", version="1", door="seed") == 1
    assert grown("everlearn_errors_total", door="native", code="invalid") == 1
    assert after["everlearn_prediction_seconds_count", mine] >= 1


def test_it_tells_what_serves_and_what_waits(api: APIClient) -> None:
    model: RegisteredModel = make_champion().registered_model
    make_run(model)
    make_feedback(model)

    after = told(api)

    assert after["everlearn_generation", labels(model="leaves")] == 1
    assert after["everlearn_version", labels(model="leaves")] == 1
    assert after["everlearn_runs", labels(status="queued")] == 1
    assert after["everlearn_feedback", labels(model="leaves", status="accepted")] == 1
    assert after["everlearn_ready", ()] == 1


def test_its_counts_do_not_tell_what_contradicts_a_golden_row(api: APIClient) -> None:
    model = make_champion().registered_model
    make_feedback(model, status="quarantined", public_status="accepted", reasons=["golden_row"])
    make_feedback(model)

    after = told(api)

    assert after["everlearn_feedback", labels(model="leaves", status="accepted")] == 2
    assert ("everlearn_feedback", labels(model="leaves", status="quarantined")) not in after


def _in_processes(home: Path, *sources: str) -> str:
    """What the last of some processes prints, each of which shares the counts."""
    environ = os.environ | {metric_files.VARIABLE: str(home / "metrics")}
    output = ""
    for source in sources:
        done = subprocess.run(
            [sys.executable, "-c", source],
            cwd=settings.BASE_DIR, env=environ, capture_output=True, text=True, check=True,
        )  # fmt: skip
        output = done.stdout
    return output


def test_what_a_process_counted_outlives_it(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv(metric_files.VARIABLE, "")
    metric_files.begin(tmp_path)
    count = (
        "import os; from everlearn import metric_files; assert metric_files.take_room(os.getpid());"
        "from models_app import counting;"
        "counting.answered('leaves', 1, 'native', rows=2, seconds=0.01);"
        "metric_files.give_back(os.getpid()); os.kill(os.getpid(), 0); print(os.getpid())"
    )
    show = (
        "from prometheus_client import CollectorRegistry, generate_latest, multiprocess;"
        "registry = CollectorRegistry(); multiprocess.MultiProcessCollector(registry);"
        "print(generate_latest(registry).decode())"
    )

    shown = _in_processes(tmp_path, count, count, show)

    assert 'everlearn_rows_total{door="native",model="leaves",version="1"} 4.0' in shown
    sizes = {path.stat().st_size for path in (tmp_path / "metrics").glob("counter_*.db")}
    assert max(sizes) < metric_files.ROOM


def test_without_room_nothing_is_counted_and_nothing_breaks(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv(metric_files.VARIABLE, str(tmp_path / "away"))

    assert not metric_files.take_room(1)


def test_a_new_server_begins_to_count_anew(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv(metric_files.VARIABLE, "")
    old = tmp_path / "metrics" / "counter_1.db"
    old.parent.mkdir()
    old.write_bytes(b"old")

    metric_files.begin(tmp_path)

    assert not old.exists()
    assert os.environ[metric_files.VARIABLE] == str(tmp_path / "metrics")
