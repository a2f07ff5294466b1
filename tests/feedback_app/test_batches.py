from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.files.storage import default_storage
from django.utils import timezone
from rest_framework.test import APIClient

from feedback_app import batches, tasks
from feedback_app.models import BatchJob, BatchPart
from models_app import previewing, serving
from models_app.models import Prediction, RegisteredModel
from models_app.quota import Quota
from models_app.refusals import ModelFailed, Unavailable
from models_app.usage import Tracker
from tests.factories import make_champion
from tests.feedback_app.batching import (
    leaves_csv,
    lines,
    result,
    send,
    shown,
    submitted,
    work,
)

pytestmark = pytest.mark.django_db

ClientWith = Callable[..., APIClient]


@pytest.fixture
def client(client_with: ClientWith) -> APIClient:
    make_champion()
    return client_with("predict")


class Killed(BaseException):
    """As a SIGKILL: nobody tidies up."""


def killed_at(monkeypatch: pytest.MonkeyPatch, row: int) -> None:
    """The worker dies once the answers to that row are computed and stored, not committed."""
    keep = batches._keep

    def dies(job: BatchJob, rows: Any, predictions: Any) -> None:
        keep(job, rows, predictions)
        if job.done > row:
            raise Killed

    monkeypatch.setattr(batches, "_keep", dies)


@pytest.mark.django_db(transaction=True)
def test_a_killed_worker_neither_loses_nor_repeats_a_row(
    client: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "CHUNK", 10)
    job = submitted(client, leaves_csv(35))
    with monkeypatch.context() as patch:
        killed_at(patch, 15)
        with pytest.raises(Killed):
            work(job)
    assert shown(client, job)["progress"] == {"done": 10, "total": 35}
    assert "not free" in work(job)  # the lease of the dead holds for a while
    BatchJob.objects.update(leased_until=timezone.now() - timedelta(seconds=1))

    work(job)

    ids = [answer["prediction_id"] for answer in lines(result(client, job))]
    assert len(ids) == len(set(ids)) == 35
    assert {str(pk) for pk in Prediction.objects.values_list("pk", flat=True)} == set(ids)


@pytest.mark.django_db(transaction=True)
def test_a_job_that_goes_on_reads_the_rows_as_it_did_before(
    client: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "CHUNK", 4)
    rows = [f"{n};;{n % 10}.5;1;" for n in range(15)]
    rows[3] += "\n\n \n"
    rows[6] = '6;"two\r\nlines;";6.5'
    job = submitted(client, "\n".join(["row;;length;width", *rows]))
    with monkeypatch.context() as patch:
        killed_at(patch, 6)
        with pytest.raises(Killed):
            work(job)
    # What the model's data is read like by then is another matter.
    RegisteredModel.objects.update(reading={"separator": ",", "encoding": "cp1252"})
    BatchJob.objects.update(leased_until=timezone.now() - timedelta(seconds=1))

    work(job)

    answers = list(csv.DictReader(io.StringIO(result(client, job), newline=""), delimiter=";"))
    assert [answer["row"] for answer in answers] == [str(n) for n in range(15)]
    assert [bool(answer["error"]) for answer in answers] == [n == 6 for n in range(15)]
    assert Prediction.objects.count() == 14


def test_long_rows_are_answered_fewer_at_a_time(
    client: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "LARGEST_CHUNK", 1000)
    job = submitted(client, "length,width,note\n" + f"1,1,{'x' * 400}\n" * 9 + "1,1,\n" * 9)

    work(job)

    assert list(BatchPart.objects.values_list("first", flat=True)) == [0, 3, 6, 9]
    assert [len(answer["note"]) for answer in lines(result(client, job))] == [400] * 9 + [0] * 9


def test_a_file_without_a_row_has_a_result_with_its_header(client: APIClient) -> None:
    job = submitted(client, "length,width,note\n")

    work(job)

    assert result(client, job).startswith("length,width,note,prediction_id,value,")


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_lost_its_lease_writes_nothing(
    client: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "CHUNK", 10)
    job = submitted(client, leaves_csv(15))
    late = batches.claim(job.pk)
    assert late
    BatchJob.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    work(job)

    assert "lost" in batches.carry_out(late)

    assert Prediction.objects.count() == 15
    assert BatchPart.objects.count() == 2
    assert shown(client, job)["status"] == "succeeded"


def test_the_lease_is_kept_while_a_long_file_is_read(
    client: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "RENEW_EVERY", 10)
    job = submitted(client, leaves_csv(25))
    held = batches.claim(job.pk)
    assert held
    BatchJob.objects.update(leased_until=timezone.now())

    def leased() -> bool:
        return BatchJob.objects.filter(leased_until__gt=timezone.now()).exists()

    schema = previewing.as_served(job.version, generation=1).bundle.schema  # type: ignore[union-attr]
    with default_storage.open(job.input) as file:
        seen = [leased() for _ in batches._renewing(held, file, schema)]

    assert seen == [False] * 9 + [True] * 16


def test_jobs_take_turns(client: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "CHUNK", 5)
    monkeypatch.setattr(batches, "TURN", 0.0)
    first, second = (submitted(client, leaves_csv(15)) for _ in range(2))

    order = []
    while job := batches.next_job():
        order.append(job)
        work(job)

    assert order[:4] == [first, second, first, second]
    assert set(BatchJob.objects.values_list("status", "done")) == {("succeeded", 15)}


def test_one_job_is_worked_on_at_a_time(client: APIClient) -> None:
    first, second = (submitted(client, leaves_csv(5)) for _ in range(2))

    assert batches.claim(first.pk)

    assert batches.claim(second.pk) is None
    assert batches.next_job() is None


def test_a_job_that_kills_its_workers_fails(client: APIClient) -> None:
    job = submitted(client, leaves_csv(5))
    for _ in range(batches.MAX_ATTEMPTS):
        assert batches.claim(job.pk)
        BatchJob.objects.update(leased_until=timezone.now() - timedelta(seconds=1))

    tasks.pulse()

    told = shown(client, job)
    assert told["status"] == "failed"
    assert told["error"].startswith("worker_lost")


def test_a_busy_database_is_waited_for(client: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    job = submitted(client, leaves_csv(5))

    def busy(*_: Any, **__: Any) -> None:
        raise Unavailable("busy", code="storage_busy")

    with monkeypatch.context() as patch:
        patch.setattr(serving, "predict_rows", busy)
        for _ in range(batches.MAX_ATTEMPTS + 2):
            work(job)
    assert shown(client, job)["status"] == "queued"

    work(job)

    assert shown(client, job)["status"] == "succeeded"


def test_a_row_that_the_model_answers_with_nonsense_is_found(
    client: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submitted(client, leaves_csv(9) + "7.25,1\n" + leaves_csv(4).partition("\n")[2])
    real = serving.predict_rows

    def choosy(served: Any, instances: Any, **options: Any) -> Any:
        if any(row["length"] == 7.25 for row in instances):
            raise ModelFailed("NaN")
        return real(served, instances, **options)

    monkeypatch.setattr(serving, "predict_rows", choosy)
    work(job)

    answers = lines(result(client, job))
    assert [n for n, answer in enumerate(answers) if answer["error"]] == [9]
    assert Prediction.objects.count() == 13


def test_a_promotion_does_not_change_a_job_that_was_begun(client: APIClient) -> None:
    job = submitted(client, "length,width\n9,1\n")
    make_champion(RegisteredModel.objects.get(), turned=True)

    work(job)

    assert (shown(client, job)["version"], shown(client, job)["generation"]) == (1, 1)
    assert lines(result(client, job))[0]["value"] == "oak"


def test_a_job_can_be_cancelled_by_whoever_asked_for_it(
    client: APIClient, client_with: ClientWith
) -> None:
    job = submitted(client, leaves_csv(5))
    path = f"/api/jobs/{job.pk}/cancel/"

    assert client_with("read").post(path).status_code == 403
    assert client.post(path).json()["status"] == "cancelled"
    work(job)

    assert not Prediction.objects.exists()
    finished = submitted(client, leaves_csv(5))
    work(finished)
    assert client.post(f"/api/jobs/{finished.pk}/cancel/").status_code == 409


def test_a_job_of_a_retired_model_is_cancelled(client: APIClient) -> None:
    job = submitted(client, leaves_csv(5))
    RegisteredModel.objects.update(retired_at=timezone.now())

    work(job)

    assert shown(client, job)["status"] == "cancelled"
    assert "retired" in shown(client, job)["error"]


def test_files_go_after_a_week(client: APIClient) -> None:
    job = submitted(client, leaves_csv(5))
    work(job)
    name = BatchPart.objects.get().file
    assert default_storage.exists(name)
    assert not default_storage.exists(job.input)  # nobody needs it any more
    BatchJob.objects.update(ended_at=timezone.now() - timedelta(days=8))

    tasks.pulse()

    assert not default_storage.exists(name)
    assert not default_storage.exists(job.input)
    assert shown(client, job)["result"] is None
    assert Prediction.objects.count() == 5


def test_a_file_beyond_the_rows_that_are_left_fails_before_its_first_row(
    client: APIClient, settings: Any
) -> None:
    settings.EVERLEARN_KEY_QUOTA = Quota(rows=10)
    assert work(fitting := submitted(client, leaves_csv(6)))
    assert shown(client, fitting)["status"] == "succeeded"
    job = submitted(client, leaves_csv(5))

    work(job)

    told = shown(client, job)
    assert told["status"] == "failed"
    assert "quota_exceeded" in told["error"]
    assert "4 are left" in told["error"]
    assert Prediction.objects.count() == 6
    # Another process knows of it, as the worker left word.
    assert Tracker().used(f"account:{job.requested_by_id}").rows == 6
    work(submitted(client, leaves_csv(4)))
    answer = send(client, leaves_csv(1))
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (429, "quota_exceeded")
    assert answer["Retry-After"]


def test_a_file_beyond_the_bytes_that_are_left_is_refused_and_leaves_nothing(
    client: APIClient, settings: Any
) -> None:
    settings.EVERLEARN_KEY_QUOTA = Quota(stored_bytes=100_000)

    for _ in range(2):
        answer = send(client, leaves_csv(30_000))
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (429, "quota_exceeded")

    assert not BatchJob.objects.exists()
    assert send(client, leaves_csv(1_000)).status_code == 202


def test_a_file_that_is_refused_in_the_middle_leaves_nothing_on_the_disk(
    client: APIClient,
) -> None:
    """S13. Or any key could fill the disk with what is refused."""
    storage = django_settings.EVERLEARN_HOME / "storage"
    before = {path for path in storage.rglob("*") if path.is_file()}

    assert send(client, leaves_csv(30_000).encode() + b"\0").status_code == 400

    assert {path for path in storage.rglob("*") if path.is_file()} == before
