"""retention.py, retention_rules.py and `manage.py prune`: what is deleted, and what never is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from everlearn import doctor
from feedback_app import retention, reviewing, screening
from feedback_app.models import (
    BatchJob,
    Erasure,
    Feedback,
    FeedbackReview,
    RetentionState,
)
from models_app.actors import system_user
from models_app.models import Deployment, ModelVersion, Prediction, TrainingSnapshot
from models_app.refusals import Gone, Unavailable
from models_app.strikes import Kind, Strike, count_failure
from models_app.usage import DailyUsage
from tests.factories import LONG, make_champion, make_rows, make_user
from tests.feedback_app.makers import make_feedback, make_prediction

pytestmark = pytest.mark.django_db

OLD = timedelta(days=401)
Status = Feedback.Status


def old() -> dict[str, Any]:
    return {"at": timezone.now() - OLD}


def pruned() -> dict[str, int]:
    return retention.prune(actor=system_user("cli"))


def test_old_predictions_go_and_younger_ones_stay() -> None:
    version = make_champion()
    gone = [make_prediction(version, **old()) for _ in range(3)]
    preview = make_prediction(version, preview=True, **old())
    younger = make_prediction(version, at=timezone.now() - timedelta(days=399))

    assert pruned()["predictions"] == 4

    assert list(Prediction.objects.all()) == [younger]
    assert {*gone, preview}.isdisjoint(Prediction.objects.all())


@pytest.mark.parametrize("status", Status)
def test_a_prediction_that_feedback_refers_to_is_never_deleted(status: Status) -> None:
    version = make_champion()
    about = make_prediction(version, **old())
    word = make_feedback(version.registered_model, prediction=about, status=status)

    pruned()

    word.refresh_from_db()
    assert word.prediction == about
    assert word.features == LONG


def test_old_feedback_stays_as_it_is_while_it_stands_or_waits_or_has_trained() -> None:
    version = make_champion()
    model = version.registered_model
    snapshot = TrainingSnapshot.objects.create(
        registered_model=model, digest="5f" * 32, rows=1, feedback_rows=1
    )
    kept = [
        make_feedback(model, status=status, prediction=make_prediction(version, **old()), **old())
        for status in (Status.ACCEPTED, Status.PENDING, Status.QUARANTINED)
    ]
    for status in (Status.REJECTED, Status.SUPERSEDED):
        trained = make_feedback(
            model, status=status, prediction=make_prediction(version, **old()), **old()
        )
        trained.snapshots.add(snapshot)
        kept.append(trained)
    before = list(Feedback.objects.order_by("pk").values())

    assert pruned()["feedback"] == 0

    assert list(Feedback.objects.order_by("pk").values()) == before
    assert Prediction.objects.count() == len(kept)


def test_of_rejected_and_superseded_feedback_the_content_goes_and_the_decision_stays() -> None:
    version = make_champion()
    word = make_feedback(
        version.registered_model, prediction=make_prediction(version, **old()),
        comment="call me", source="address:203.0.113.9", **old(),
    )  # fmt: skip
    reviewer = make_user(is_superuser=True)
    reviewing.review(word, actor=reviewer, decision="reject", reason="spam")

    assert (pruned()["feedback"], pruned()["feedback"]) == (1, 0)

    word.refresh_from_db()
    assert (word.status, word.features, word.value, word.comment) == (Status.REJECTED, {}, "", "")
    assert "203.0.113.9" not in word.source
    assert FeedbackReview.objects.get().feedback == word
    # Nothing refers to the prediction any more.
    assert not Prediction.objects.exists()
    with pytest.raises(Gone):
        reviewing.review(word, actor=reviewer, decision="accept", reason="after all")


def test_what_serves_and_what_may_serve_again_is_not_touched() -> None:
    model = make_rows()
    version = ModelVersion.objects.get()
    make_prediction(version, **old())
    Erasure.objects.create(
        subject_hash="0" * 64, actor=system_user("cli"), predictions=1, feedback=0
    )
    tables = (ModelVersion, TrainingSnapshot, Deployment, Erasure)
    for table in tables:
        name = "at" if table in (Deployment, Erasure) else "created_at"
        if table is not Deployment:  # which only grows
            table.objects.update(**{name: timezone.now() - OLD})
    before = [list(table.objects.values()) for table in tables]

    pruned()

    assert [list(table.objects.values()) for table in tables] == before
    answer = APIClient().post(f"/api/models/{model}/predict/", {"instances": [LONG]})
    assert answer.status_code == 200


def test_jobs_counters_failures_and_old_log_files_go_too(settings: Any, tmp_path: Path) -> None:
    version = make_champion()
    ended = {"registered_model": version.registered_model, "version": version, "generation": 1,
             "requested_by": system_user("cli"), "format": "csv", "status": "succeeded",
             "ended_at": timezone.now() - OLD}  # fmt: skip
    BatchJob.objects.create(**ended)
    with_files = BatchJob.objects.create(**ended, input="batches/rows.csv")
    today = timezone.now().date()
    for days in (0, 89, 91):
        DailyUsage.objects.create(subject="network:a", day=today - timedelta(days=days))
    count_failure(Kind.KEY, "192.0.2.1")
    Strike.objects.update(ends_at=timezone.now() - timedelta(days=2))
    settings.EVERLEARN_HOME = tmp_path
    (tmp_path / "logs").mkdir()
    (tmp_path / "storage/batches").mkdir(parents=True)
    for name, touched in (("old.partial", 0), ("new.partial", time.time()), ("rows.csv", 0)):
        (tmp_path / "storage/batches" / name).write_text("rows")
        os.utime(tmp_path / "storage/batches" / name, (touched, touched))
    for name in ("web.log", "web.log.1", "web.log.2"):
        (tmp_path / "logs" / name).write_text("a line")
        if name != "web.log.1":
            os.utime(tmp_path / "logs" / name, (0, 0))

    assert pruned() == {
        "feedback": 0, "predictions": 0, "batch jobs": 1, "daily usage": 1, "logs": 1,
        "partial files": 1, "strikes": 1, "sessions": 0,
    }  # fmt: skip

    assert list(BatchJob.objects.all()) == [with_files]
    left = {path.name for path in (tmp_path / "storage/batches").iterdir()}
    assert left == {"new.partial", "rows.csv"}
    # The one that is written to stays, however old its last line is.
    assert {path.name for path in (tmp_path / "logs").iterdir()} == {"web.log", "web.log.1"}


def test_off_keeps_everything(settings: Any) -> None:
    settings.EVERLEARN_RETAIN = dict.fromkeys(settings.EVERLEARN_RETAIN)
    version = make_champion()
    make_prediction(version, **old())
    make_feedback(version.registered_model, status=Status.REJECTED, **old())

    assert sum(pruned().values()) == 0
    assert all(due.count == 0 for due in retention.dry_run(actor=system_user("cli")))


def _days_later(days: float) -> None:
    """As if all that the worker noted lay so much longer back."""
    for state in RetentionState.objects.all():
        for name in ("announced_at", "looked_at"):
            if at := getattr(state, name):
                setattr(state, name, at - timedelta(days=days))
        state.save()


def test_the_worker_deletes_only_what_it_has_announced_for_a_day(
    caplog: pytest.LogCaptureFixture, boss: Client
) -> None:
    version = make_champion()
    make_prediction(version, **old())
    retention.apply_if_due()

    assert Prediction.objects.count() == 1
    assert "1 from before" in caplog.text
    assert "EVERLEARN_RETAIN_PREDICTIONS=off" in caplog.text
    findings = [str(one) for one in doctor.CHECKS["retention"]()]
    assert "1 predictions kept longer than 400d: deleted from" in findings[0]
    assert "predictions" in boss.get("/admin/feedback_app/retentionstate/").text
    for days in (0, 0.9):
        _days_later(days)
        retention.apply_if_due()
        assert Prediction.objects.count() == 1

    _days_later(0.2)
    retention.apply_if_due()

    assert not Prediction.objects.exists()
    assert RetentionState.objects.get(kind="predictions").deleted == 1
    # From now on it goes daily.
    make_prediction(version, **old())
    retention.apply_if_due()
    assert Prediction.objects.count() == 1
    _days_later(1.1)
    retention.apply_if_due()
    assert not Prediction.objects.exists()


def test_a_shorter_time_is_announced_anew(settings: Any) -> None:
    version = make_champion()
    make_prediction(version, **old())
    retention.apply_if_due()
    make_prediction(version, at=timezone.now() - timedelta(days=40))
    settings.EVERLEARN_RETAIN |= {"predictions": timedelta(days=30)}

    _days_later(2)
    retention.apply_if_due()
    assert Prediction.objects.count() == 2

    _days_later(2)
    retention.apply_if_due()
    assert not Prediction.objects.exists()


def test_a_dry_run_deletes_nothing_and_lets_the_worker_begin(
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_prediction(make_champion(), **old())

    call_command("prune")

    assert "predictions without feedback: 1 from before" in capsys.readouterr().out
    assert Prediction.objects.count() == 1
    retention.apply_if_due()
    assert not Prediction.objects.exists()


def test_the_command_deletes_when_it_is_told_to(capsys: pytest.CaptureFixture[str]) -> None:
    make_prediction(make_champion(), **old())

    call_command("prune", "--yes")

    assert "1 predictions" in capsys.readouterr().out
    assert not Prediction.objects.exists()


def test_only_superusers_prune() -> None:
    make_prediction(make_champion(), **old())
    max_ = make_user("max", groups=("manager",))

    for change in (retention.prune, retention.dry_run):
        with pytest.raises(PermissionDenied):
            change(actor=max_)
    with pytest.raises(CommandError):
        call_command("prune", "--yes", actor="max")
    assert Prediction.objects.exists()


def test_two_workers_do_not_look_at_once() -> None:
    retention.apply_if_due()
    looked = dict(RetentionState.objects.values_list("kind", "looked_at"))

    retention.apply_if_due()

    assert dict(RetentionState.objects.values_list("kind", "looked_at")) == looked


def test_feedback_on_a_prediction_that_has_just_been_deleted_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between the look for it and the word that is stored."""
    about = make_prediction(make_champion(), **old())
    screen = screening.screen

    def meanwhile(*args: Any, **options: Any) -> None:
        pruned()
        screen(*args, **options)

    monkeypatch.setattr(screening, "screen", meanwhile)
    answer = APIClient().post("/api/feedback/", {"prediction": str(about.pk), "value": "elm"})

    assert answer.status_code == 410
    assert not Feedback.objects.exists()


def _many(count: int) -> ModelVersion:
    version = make_champion()
    made = {"registered_model": version.registered_model, "version": version, "generation": 1,
            "input": LONG, "value": "oak", **old()}  # fmt: skip
    Prediction.objects.bulk_create([Prediction(**made) for _ in range(count)], batch_size=1000)
    return version


@pytest.mark.django_db(transaction=True)
def test_a_killed_prune_left_whole_batches_and_the_next_one_goes_on() -> None:
    """V4. kill -9 in the middle; what feedback refers to is there before and after."""
    version = _many(6000)
    words = [
        make_feedback(version.registered_model, prediction=one)
        for one in Prediction.objects.order_by("?")[:5]
    ]
    manage = [sys.executable, str(django_settings.BASE_DIR / "manage.py"), "prune", "--yes"]
    process = subprocess.Popen(manage, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(2)]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()

    assert all(line.endswith("rows …\n".encode()) for line in said)
    assert 5 < Prediction.objects.count() < 6000
    pruned()

    assert {one.pk for one in Prediction.objects.all()} == {word.prediction_id for word in words}


@pytest.mark.django_db(transaction=True)
def test_others_write_within_a_second_while_it_deletes() -> None:
    """V4."""
    version = _many(6000)
    done = threading.Event()
    waits: list[float] = []

    def write() -> Iterator[float]:
        while not done.is_set():
            began = time.monotonic()
            make_prediction(version)
            yield time.monotonic() - began

    def keep_writing() -> None:
        waits.extend(write())
        connection.close()

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        assert pruned()["predictions"] == 6000
    finally:
        done.set()
        writer.join()
    assert len(waits) > 10
    assert max(waits) < 1


def test_a_database_that_is_busy_ends_the_look_and_the_next_one_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _many(900)
    retention.dry_run(actor=system_user("cli"))
    rest, rests = retention.Pace.rest, iter((True, False))

    def interrupted(pace: retention.Pace, took: float) -> None:
        if not next(rests, True):
            raise Unavailable("busy")
        rest(pace, took)

    with monkeypatch.context() as patched:
        patched.setattr(retention.Pace, "rest", interrupted)
        with pytest.raises(Unavailable):
            retention.apply_if_due()
    assert 0 < Prediction.objects.count() < 900
    # Once the lease of the one that was cut off is over.
    RetentionState.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    retention.apply_if_due()

    assert not Prediction.objects.exists()
