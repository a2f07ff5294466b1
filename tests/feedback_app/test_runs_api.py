from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings
from rest_framework.test import APIClient

from feedback_app import retraining
from feedback_app.attempts import carry_out
from feedback_app.models import RetrainingRun
from tests.conftest import KeyMaker
from tests.factories import leaves, make_champion, make_model
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
        ("/srv/data/leaves.csv", "data_not_allowed"),
        (".env", "data_not_allowed"),
        (".env.csv", "data_not_allowed"),
        (".hidden/leaves.csv", "data_not_allowed"),
        ("below/../leaves.csv", "data_not_allowed"),
        ("leaves", "data_not_allowed"),
        ("leaves.txt", "data_not_allowed"),
        ("leaves.csv.key", "data_not_allowed"),
        ("settings.py", "data_not_allowed"),
        ("~root/leaves.csv", "data_not_allowed"),
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


@pytest.mark.parametrize("leads_to", ["outside.csv", ".env", "folder/.hidden/x.csv", "notes.txt"])
def test_a_link_leads_a_run_to_no_other_file(
    client_with: KeyMaker, tmp_path: Path, leads_to: str
) -> None:
    folder = tmp_path / "folder"
    (folder / ".hidden").mkdir(parents=True)
    target = (
        tmp_path / leads_to if leads_to.startswith(("outside", "folder")) else folder / leads_to
    )
    target.write_text("secret\n1\n")
    (folder / "link.csv").symlink_to(target)
    make_model(data=str(folder / "leaves.csv"))

    answer = client_with("retrain").post("/api/models/leaves/retrain/", {"data": "link.csv"})

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "data_not_allowed")


def test_what_the_service_stores_is_no_data_for_a_run(client_with: KeyMaker) -> None:
    """Golden rows and what clients asked lie there, where the data may lie beside it."""
    stored = settings.EVERLEARN_HOME / "golden"
    stored.mkdir(exist_ok=True)
    (stored / "rows.parquet").write_bytes(b"PAR1")
    make_model(data=str(settings.EVERLEARN_HOME.parent / "leaves.csv"))
    data = f"{settings.EVERLEARN_HOME.name}/golden/rows.parquet"

    answer = client_with("retrain").post("/api/models/leaves/retrain/", {"data": data})

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "data_not_allowed")


CANARY = "canary-7f3a"
OTHER_FILES = {
    "columns of its own": f"{CANARY},{CANARY}2\n1,2\n",
    "a word for a number": f"length,width,kind\n{CANARY},1.0,oak\n1.0,1.0,elm\n",
    "one class": "length,width,kind\n" + f"1.0,1.0,{CANARY}\n" * 40,
    "no value of the target": f"length,width,kind\n{CANARY},1.0,\n",
    "a column twice": f"{CANARY},{CANARY},kind\n1,2,oak\n",
    "more cells than columns": f"length\n{CANARY},{CANARY}\n",
    "a target misspelt": f"length,width,kind{CANARY}\n1,2,oak\n",
    "a web page": f"<html>{CANARY}</html>",
    "nothing": "",
}


@pytest.mark.parametrize("content", OTHER_FILES.values(), ids=OTHER_FILES)
def test_no_error_tells_what_another_file_holds_or_where_it_lies(
    client_with: KeyMaker, tmp_path: Path, content: str
) -> None:
    make_champion(make_model(data=str(tmp_path / "leaves.csv")))
    (tmp_path / "other.csv").write_text(content)
    ci, reader = client_with("retrain"), client_with("read")
    run = ci.post("/api/models/leaves/retrain/", {"data": "other.csv"}).json()["run"]

    carry_out(claimed := must(retraining.claim(run)), claimed.attempts)

    report = {"reporter": "x", "status": "running"}
    to_ci = ci.post(f"/api/runs/{run}/report/", report)
    to_reader = reader.get(f"/api/runs/{run}/")
    assert to_reader.json()["status"] == "failed"
    assert to_reader.json()["error"].startswith(("data_refused: ", "schema_changed: "))
    assert to_ci.json()["error"] in ("data_refused", "schema_changed")
    for answer in (to_ci, to_reader, reader.get("/api/runs/")):
        assert CANARY not in answer.text
        assert str(tmp_path) not in answer.text


def test_of_another_file_a_run_tells_what_the_declared_columns_are_in_it(
    client_with: KeyMaker, tmp_path: Path
) -> None:
    make_champion(make_model(data=str(tmp_path / "leaves.csv")))
    leaves().drop(columns="kind").assign(width="x").to_csv(tmp_path / "other.csv", index=False)
    run = client_with("retrain").post("/api/models/leaves/retrain/", {"data": "other.csv"})

    carry_out(claimed := must(retraining.claim(run.json()["run"])), claimed.attempts)

    error = client_with("read").get(run["Location"]).json()["error"]
    assert "column 'width' was number and holds category; the target 'kind' is missing" in error


def test_who_may_read_learns_what_is_wrong_with_the_declared_data_and_not_where_it_lies(
    client_with: KeyMaker, tmp_path: Path
) -> None:
    path = tmp_path / "leaves.csv"
    leaves().assign(colour="green").to_csv(path, index=False)
    make_champion(make_model(data=str(path)))
    ci, reader = client_with("retrain"), client_with("read")

    errors = []
    for _ in range(2):
        run = ci.post("/api/models/leaves/retrain/").json()["run"]
        carry_out(claimed := must(retraining.claim(run)), claimed.attempts)
        errors.append(reader.get(f"/api/runs/{run}/").json()["error"])
        path.unlink(missing_ok=True)

    assert "column 'colour' is new" in errors[0]
    assert errors[1] == "data_refused: leaves.csv: no such file"


def must(run: RetrainingRun | None) -> RetrainingRun:
    assert run
    return run
