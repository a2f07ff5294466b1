from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from models_app import reloading
from models_app.models import RegisteredModel, RegistrySync, WebProcess
from models_app.refusals import Unavailable
from tests.factories import make_champion, make_model, make_user

pytestmark = pytest.mark.django_db(transaction=True)

ClientWith = Callable[..., APIClient]


IMPATIENT = timedelta(seconds=0.3)


def reload() -> reloading.Reloaded:
    holder = make_user("grace", is_superuser=True)
    return reloading.reload(RegisteredModel.objects.get(), actor=holder, patience=IMPATIENT)


@pytest.fixture
def worker() -> Iterator[None]:
    """Answers requests to sync as a worker would whose MLflow is reachable."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.02):
            now = timezone.now()
            RegistrySync.objects.filter(requested_at__lte=now).update(
                started_at=now, finished_at=now, error=""
            )
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


def web_process(pid: int, generation: int, *, silent: float = 0) -> WebProcess:
    return WebProcess.objects.create(
        host="web-1",
        pid=pid,
        generations={"leaves": {"generation": generation, "loaded_at": "2024-05-31T12:00:00Z"}},
        seen_at=timezone.now() - timedelta(seconds=silent),
    )


def test_it_answers_once_the_worker_has_synced_and_every_process_has_loaded(
    worker: None, client_with: ClientWith
) -> None:
    make_champion()
    web_process(1, 1)
    web_process(2, 1)

    response = client_with("reload").post("/api/models/leaves/reload/")

    assert response.status_code == 200
    body = response.json()
    assert (body["generation"], body["synced"], body["reason"]) == (1, True, "")
    assert body["processes"] == [
        {"host": "web-1", "pid": pid, "generation": 1, "loaded_at": "2024-05-31T12:00:00Z"}
        for pid in (1, 2)
    ]


def test_the_default_model_is_reloaded_at_the_seed_route(
    worker: None, client_with: ClientWith
) -> None:
    make_champion()

    response = client_with("reload").post("/reload-model")

    assert (response.status_code, response.json()["generation"]) == (200, 1)


def test_a_worker_that_is_away_is_said_and_does_not_fail_the_reload() -> None:
    make_champion()
    web_process(1, 1)

    reloaded = reload()

    assert (reloaded.generation, reloaded.synced, len(reloaded.processes)) == (1, False, 1)
    assert "worker" in reloaded.reason


def test_a_process_that_lags_is_named(worker: None) -> None:
    make_champion()
    web_process(1, 1)
    web_process(4711, 0)

    with pytest.raises(Unavailable) as refusal:
        reload()

    assert refusal.value.code == "process_lagging"
    assert "web-1:4711" in refusal.value.detail
    assert "web-1:1 " not in refusal.value.detail


def test_a_process_that_fell_silent_is_not_waited_for(worker: None) -> None:
    make_champion()
    web_process(4711, 0, silent=30)

    assert reload().processes == []


def test_only_those_who_may_reload(api: APIClient, client_with: ClientWith) -> None:
    make_model()

    assert api.post("/reload-model").status_code == 401
    assert client_with("read", "promote").post("/reload-model").status_code == 403
    with pytest.raises(PermissionDenied):
        reloading.reload(RegisteredModel.objects.get(), actor=make_user())
