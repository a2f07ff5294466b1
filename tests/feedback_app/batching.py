"""What tests of batch jobs do again and again."""

from __future__ import annotations

import csv
import io
from typing import Any

from rest_framework.test import APIClient

from feedback_app import tasks
from feedback_app.models import BatchJob

URL = "/api/models/leaves/predict-batch/"


def send(client: Any, body: str | bytes, kind: str = "text/csv") -> Any:
    return client.generic("POST", URL, body, content_type=kind)


def leaves_csv(rows: int) -> str:
    return "length,width\n" + "".join(f"{n % 10}.5,1\n" for n in range(rows))


def submitted(client: APIClient, body: str | bytes, kind: str = "text/csv") -> BatchJob:
    response = send(client, body, kind)
    assert response.status_code == 202, response.content
    return BatchJob.objects.get(pk=response.json()["job"])


def work(job: BatchJob) -> str:
    return tasks.execute_batch(job.pk.int)


def shown(client: APIClient, job: BatchJob) -> Any:
    return client.get(f"/api/jobs/{job.pk}/").json()


def result(client: APIClient, job: BatchJob) -> str:
    response = client.get(shown(client, job)["result"])
    assert response.status_code == 200
    return b"".join(response.streaming_content).decode()  # type: ignore[attr-defined]


def lines(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))
