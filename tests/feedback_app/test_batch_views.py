from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from feedback_app.models import BatchJob
from models_app.models import Prediction
from tests.factories import make_champion, make_model
from tests.feedback_app.batching import URL, leaves_csv, lines, result, send, shown, submitted, work

pytestmark = pytest.mark.django_db

ClientWith = Callable[..., APIClient]


@pytest.fixture
def client(client_with: ClientWith) -> APIClient:
    make_champion()
    return client_with("predict")


def test_a_file_is_predicted_in_the_background(client: APIClient) -> None:
    response = send(client, leaves_csv(3))

    assert response.status_code == 202
    job = BatchJob.objects.get()
    assert response.json() == {"job": str(job.pk), "status": "queued"}
    assert response["Location"] == f"/api/jobs/{job.pk}/"
    waiting = shown(client, job)
    assert (waiting["status"], waiting["result"]) == ("queued", None)

    work(job)

    done = shown(client, job)
    assert (done["id"], done["status"]) == (str(job.pk), "succeeded")
    assert done["progress"] == {"done": 3, "total": 3}
    answers = lines(result(client, job))
    assert [answer["value"] for answer in answers] == ["elm", "elm", "elm"]
    assert list(answers[0]) == [
        "length", "width", "prediction_id", "value", "probability_elm", "probability_oak",
        "error", "warnings",
    ]  # fmt: skip
    for answer in answers:
        logged: Any = Prediction.objects.get(pk=answer["prediction_id"])
        assert (logged.value, logged.client, logged.generation) == ("elm", job.requested_by, 1)
        assert logged.probabilities["elm"] == float(answer["probability_elm"])


def test_lines_of_json_come_back_as_such(client: APIClient) -> None:
    body = '{"length": 9, "width": 1}\n{"length": "9", "width": 1}\n{"width": 1}'
    job = submitted(client, body, "application/x-ndjson; charset=utf-8")
    work(job)

    response = client.get(f"/api/jobs/{job.pk}/result/", HTTP_ACCEPT="application/x-ndjson")
    answers = [json.loads(line) for line in b"".join(response.streaming_content).splitlines()]  # type: ignore[attr-defined]

    assert response["Content-Type"].startswith("application/x-ndjson")
    assert answers[0]["value"] == "oak"
    assert [error["attr"] for error in answers[1]["errors"]] == ["length"]
    assert answers[2]["errors"][0]["code"] == "required"
    assert Prediction.objects.count() == 1


def test_a_bad_row_is_answered_in_its_place_and_the_others_are_predicted(
    client: APIClient,
) -> None:
    rows = leaves_csv(1200).splitlines()
    rows[700] = "long,1"
    job = submitted(client, "\r\n".join(rows))

    work(job)

    answers = lines(result(client, job))
    assert [n for n, answer in enumerate(answers) if answer["error"]] == [699]
    assert "length" in answers[699]["error"]
    assert Prediction.objects.count() == 1199
    assert shown(client, job)["progress"] == {"done": 1200, "total": 1200}


def test_a_file_of_bad_rows_only_is_done_too(client: APIClient) -> None:
    job = submitted(client, "length,width\nx,y\n")
    work(job)

    assert shown(client, job)["status"] == "succeeded"
    assert not Prediction.objects.exists()


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        ("{}", "application/json", 415, "unsupported_media_type"),
        ("", "application/json", 415, "unsupported_media_type"),
        ("", "text/csv", 400, "empty"),
        (b"length,width\n\xff,1\n", "text/csv", 400, "invalid_utf8"),
        ("length,widht\n1,1\n", "text/csv", 400, "required"),
        ("length,width,a,a\n1,1\n", "text/csv", 400, "duplicate_name"),
        (" \n" * 9, "text/csv", 400, "empty"),
    ],
)
def test_what_cannot_be_a_file_of_rows_is_refused(
    client: APIClient, body: str | bytes, kind: str, status: int, code: str
) -> None:
    response = send(client, body, kind)

    assert (response.status_code, response.json()["errors"][0]["code"]) == (status, code)
    assert not BatchJob.objects.exists()


def test_a_body_may_be_longer_than_others_but_not_endless(client: Any) -> None:
    assert send(client, "length,width\n" + "1,1\n" * 400_000).status_code == 202

    response = client.generic(
        "POST", URL, b"x", content_type="text/csv", CONTENT_LENGTH=str(101 * 2**20)
    )

    assert (response.status_code, response.json()["errors"][0]["code"]) == (413, "body_too_large")


def test_jobs_are_their_clients_own_or_readers(client: APIClient, client_with: ClientWith) -> None:
    job = submitted(client, leaves_csv(1))
    work(job)

    for path in (f"/api/jobs/{job.pk}/", f"/api/jobs/{job.pk}/result/"):
        assert client_with("predict").get(path).status_code == 404
        assert client_with("read").get(path).status_code == 200
        assert APIClient().get(path).status_code == 401
    assert client_with("read").post(URL, b"").status_code == 403


def test_nothing_serves_yet(client_with: ClientWith) -> None:
    make_model()

    response = send(client_with("predict"), leaves_csv(1))

    assert (response.status_code, response.json()["errors"][0]["code"]) == (503, "model_not_ready")


def test_a_result_that_is_not_there_is_no_empty_file(client: APIClient) -> None:
    job = submitted(client, leaves_csv(1))

    response = client.get(f"/api/jobs/{job.pk}/result/")

    assert (response.status_code, response.json()["errors"][0]["code"]) == (409, "no_result")
