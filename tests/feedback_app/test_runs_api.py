from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from feedback_app.models import RetrainingRun
from tests.conftest import KeyMaker
from tests.factories import make_model
from tests.feedback_app.makers import make_run, make_running

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["/api/models/leaves/retrain/", "/trigger"])
def test_a_run_is_queued_and_its_place_told(client_with: KeyMaker, path: str) -> None:
    make_model()

    answer = client_with("retrain", "read").post(path, {"reason": "new harvest"})

    run = RetrainingRun.objects.get()
    assert answer.status_code == 202
    assert answer.json() == {"run": run.pk, "status": "queued"}
    assert answer["Location"] == f"/api/runs/{run.pk}/"
    assert (run.reason, run.trigger) == ("new harvest", "manual")


def test_a_run_needs_no_body(client_with: KeyMaker) -> None:
    make_model()

    assert client_with("retrain").post("/trigger").status_code == 202


def test_while_one_is_active_that_run_is_the_answer(client_with: KeyMaker) -> None:
    run = make_running(make_model())

    answer = client_with("retrain").post("/api/models/leaves/retrain/", {})

    assert answer.status_code == 200
    assert answer.json() == {"run": run.pk, "status": "running"}


@pytest.mark.parametrize("path", ["/api/models/leaves/retrain/", "/trigger", "/api/runs/1/cancel/"])
def test_retraining_asks_for_the_scope(api: APIClient, client_with: KeyMaker, path: str) -> None:
    make_model()

    assert api.post(path).status_code == 401
    assert client_with("read", "predict", "feedback").post(path).status_code == 403
    assert not RetrainingRun.objects.exists()


def test_what_is_wrong_with_a_request_is_named(client_with: KeyMaker) -> None:
    make_model()

    answer = client_with("retrain").post("/trigger", {"raeson": "x"})

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["attr"] == "raeson"


def test_an_unknown_model_is_not_found(client_with: KeyMaker) -> None:
    assert client_with("retrain").post("/api/models/unknown/retrain/").status_code == 404


def test_a_run_tells_how_far_it_is(client_with: KeyMaker) -> None:
    run = make_running(make_model(), step="search", done=3, total=8)

    body = client_with("read").get(f"/api/runs/{run.pk}/").json()

    assert body["progress"] == {"step": "search", "done": 3, "total": 8}
    assert (body["model"], body["status"], body["attempts"]) == ("leaves", "running", 1)
    assert {body[name] for name in ("snapshot", "version", "verdict", "error")} == {None}


def test_runs_are_listed_newest_first_and_filtered(client_with: KeyMaker) -> None:
    reader = client_with("read")
    old = make_run(make_model(), status="held")
    new = make_run(make_model("other"))

    assert ids(reader, "") == [new.pk, old.pk]
    assert ids(reader, "?model=leaves") == [old.pk]
    assert ids(reader, "?status=queued") == [new.pk]
    assert reader.get("/api/runs/?status=lost").status_code == 400


def test_a_run_can_be_cancelled_once(client_with: KeyMaker) -> None:
    run = make_run(make_model())
    manager = client_with("retrain")

    answer = manager.post(f"/api/runs/{run.pk}/cancel/")

    assert answer.status_code == 200
    assert answer.json()["status"] == "cancelled"
    RetrainingRun.objects.update(status="held")
    assert manager.post(f"/api/runs/{run.pk}/cancel/").status_code == 409


def test_an_unknown_run_is_not_found(client_with: KeyMaker) -> None:
    client = client_with("read", "retrain")

    assert client.get("/api/runs/999/").status_code == 404
    assert client.post("/api/runs/999/cancel/").status_code == 404


def ids(client: APIClient, query: str) -> list[int]:
    return [run["id"] for run in client.get(f"/api/runs/{query}").json()["results"]]


@pytest.mark.parametrize("data", ["leaves.csv", "./leaves.csv"])
def test_a_run_may_learn_from_a_file_beside_the_declared_data(
    client_with: KeyMaker, data: str
) -> None:
    model = make_model()

    answer = client_with("retrain").post("/api/models/leaves/retrain/", {"data": data})

    assert answer.status_code == 202
    assert RetrainingRun.objects.get().data == model.data


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("/etc/passwd", "data_not_allowed"),
        ("../leaves.csv", "data_not_allowed"),
        ("env:DATABASE_URL", "data_not_allowed"),
        (".", "data_not_allowed"),
        ("file:///etc/passwd", "data_not_allowed"),
        ("s3://bucket/x.csv", "data_not_allowed"),
        ("FILE:///etc/passwd", "data_not_allowed"),
        ("http://127.0.0.1/x.csv", "url_not_allowed"),
        ("http://localhost:5432/x.csv", "url_not_allowed"),
        ("http://2130706433/x.csv", "url_not_allowed"),
        ("http://0x7f.1/x.csv", "url_not_allowed"),
        ("http://0177.0.0.1/x.csv", "url_not_allowed"),
        ("http://[::1]/x.csv", "url_not_allowed"),
        ("http://[::ffff:127.0.0.1]/x.csv", "url_not_allowed"),
        ("http://[::ffff:7f00:1]/x.csv", "url_not_allowed"),
        ("http://169.254.169.254/latest/meta-data", "url_not_allowed"),
        ("http://[fd00:ec2::254]/latest/meta-data", "url_not_allowed"),
        ("http://10.1.2.3/x.csv", "url_not_allowed"),
        ("http://172.16.0.1/x.csv", "url_not_allowed"),
        ("http://192.168.1.1/x.csv", "url_not_allowed"),
        ("http://100.64.0.1/x.csv", "url_not_allowed"),
        ("http://0.0.0.0/x.csv", "url_not_allowed"),
        ("https://user:pass@example.com/x.csv", "url_not_allowed"),
    ],
)
def test_nothing_of_this_machine_or_its_network_is_read_because_a_client_says_so(
    client_with: KeyMaker, data: str, code: str
) -> None:
    make_model(data="/srv/data/leaves.csv")

    answer = client_with("retrain").post("/api/models/leaves/retrain/", {"data": data})

    problem = answer.json()["errors"][0]
    assert (answer.status_code, problem["code"], problem["attr"]) == (
        400, code, "data",
    )  # fmt: skip
    assert not RetrainingRun.objects.exists()
