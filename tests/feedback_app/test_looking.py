"""Looks at data sources: unchanged data starts no run, and new rows start one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from django.conf import LazySettings
from django.utils import timezone

from feedback_app import looking, retraining, triggering
from feedback_app.models import RetrainingRun, SourceLook
from models_app import datasets
from models_app.actors import system_user
from models_app.models import RegisteredModel, TrainingSnapshot
from tests.data_server import Source, sends, serving
from tests.factories import leaves, make_model, make_version
from tests.feedback_app.makers import make_feedback, make_run

pytestmark = pytest.mark.django_db

Status = RetrainingRun.Status
EACH_MINUTE = {"schedule": "* * * * *"}
CSV = leaves().to_csv(index=False).encode()
MORE = leaves(125).to_csv(index=False).encode()


@pytest.fixture
def source(settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    settings.EVERLEARN_DATA_ALLOW = (ip_network("127.0.0.1/32"),)
    monkeypatch.setenv("EVERLEARN_DATA_ALLOW", "127.0.0.1/32")  # for those who count
    with serving() as server:
        server.answers["/leaves.csv"] = sends(CSV, ETag='"one"')
        yield server


def trained(source: Source, **retrain: Any) -> RegisteredModel:
    """A model whose version came of the source two hours ago, which is before its last slot."""
    then = timezone.now() - timedelta(hours=2)
    model = make_model(data=source.at("/leaves.csv"), retrain=retrain, created_at=then)
    version = make_version(model)
    snapshot = TrainingSnapshot.objects.create(
        registered_model=model, digest="0" * 64, rows=9, feedback_rows=0
    )
    _, state = datasets.read_for(model)
    make_run(
        model, status=Status.SUCCEEDED, snapshot=snapshot, version=version, source=asdict(state),
        created_at=then, started_at=then, ended_at=then, trigger="schedule",
    )  # fmt: skip
    source.asked.clear()
    return model


def due_after_a_look() -> list[str]:
    """What the next pulses ask for, the worker looking in between."""
    first = triggering.request_due_runs()
    looking.look_where_wanted()
    return [run.trigger for run in (*first, *triggering.request_due_runs())]


def test_a_slot_with_unchanged_data_and_no_feedback_starts_no_run(source: Source) -> None:
    model = trained(source, **EACH_MINUTE)

    assert due_after_a_look() == []
    assert source.asked == []  # its headers say enough
    look = SourceLook.objects.get(registered_model=model)
    assert look.passed_over_at
    assert (look.error, look.begun_at) == ("", None)


def test_feedback_after_a_slot_that_was_passed_over_waits_for_the_next(source: Source) -> None:
    model = trained(source, schedule=f"0 {timezone.now().hour} * * *")
    assert due_after_a_look() == []

    make_feedback(model)

    assert due_after_a_look() == []
    SourceLook.objects.update(passed_over_at=timezone.now() - timedelta(days=1))
    RetrainingRun.objects.update(created_at=timezone.now() - timedelta(days=1))
    assert due_after_a_look() == ["schedule"]


def test_a_slot_with_changed_data_starts_one_run(source: Source) -> None:
    trained(source, **EACH_MINUTE)
    source.answers["/leaves.csv"] = sends(CSV, ETag='"two"')

    assert due_after_a_look() == ["schedule"]
    assert due_after_a_look() == []


def test_a_slot_with_new_feedback_starts_a_run_without_asking_the_source(source: Source) -> None:
    model = trained(source, **EACH_MINUTE)
    source.looked_at.clear()
    make_feedback(model)

    assert due_after_a_look() == ["schedule"]
    assert source.looked_at == []


def test_a_source_that_is_away_is_noted_and_the_run_is_started_to_say_why(source: Source) -> None:
    trained(source, **EACH_MINUTE)
    source.answers.clear()

    assert due_after_a_look() == ["schedule"]
    look = SourceLook.objects.get()
    assert look.found is None
    assert "no such file" in look.error


def test_a_source_that_tells_no_version_starts_a_run_each_time(source: Source) -> None:
    source.answers["/leaves.csv"] = sends(CSV)
    trained(source, **EACH_MINUTE)

    assert due_after_a_look() == ["schedule"]


def test_a_person_s_request_runs_whatever_the_data(source: Source) -> None:
    model = trained(source, **EACH_MINUTE)

    _, created = retraining.request(
        model, actor=system_user("cli"), trigger=RetrainingRun.Trigger.MANUAL
    )

    assert created


def test_a_run_that_made_no_version_is_not_the_last_word_on_its_data(source: Source) -> None:
    trained(source, **EACH_MINUTE)
    RetrainingRun.objects.update(version=None, status=Status.FAILED)

    assert due_after_a_look() == ["schedule"]


def test_a_slot_that_nobody_looks_for_is_due_in_the_end(source: Source) -> None:
    trained(source, **EACH_MINUTE)

    assert triggering.request_due_runs() == []
    SourceLook.objects.update(waiting_since=timezone.now() - timedelta(minutes=3))
    assert len(triggering.request_due_runs()) == 1


def test_two_workers_do_not_look_at_once(source: Source) -> None:
    model = trained(source, **EACH_MINUTE)
    SourceLook.objects.create(registered_model=model, begun_at=timezone.now())

    looking.look(model)
    assert SourceLook.objects.get().at is None

    SourceLook.objects.update(begun_at=timezone.now() - timedelta(hours=1))
    looking.look(model)
    assert SourceLook.objects.get().at is not None


@pytest.mark.django_db(transaction=True)
def test_enough_new_rows_start_a_run_and_are_counted_once(source: Source) -> None:
    trained(source, new_rows=5)

    assert due_after_a_look() == []
    assert source.asked == []  # what the snapshot was made of needs no counting

    source.answers["/leaves.csv"] = sends(MORE, ETag='"two"')
    SourceLook.objects.update(at=timezone.now() - timedelta(hours=1))
    assert due_after_a_look() == ["new_rows"]
    run = RetrainingRun.objects.first()
    assert run
    assert run.reason.startswith("5 new rows in the data source")
    assert source.asked == ["/leaves.csv"]

    run.delete()
    SourceLook.objects.update(at=timezone.now() - timedelta(hours=1))
    assert due_after_a_look() == ["new_rows"]
    assert source.asked == ["/leaves.csv"]


@pytest.mark.django_db(transaction=True)
def test_rows_that_cannot_be_counted_are_no_new_rows(source: Source) -> None:
    trained(source, new_rows=1)
    source.answers["/leaves.csv"] = sends(b"\x1f\x8b and so on", ETag='"two"')

    assert due_after_a_look() == []
    assert "gzip" in SourceLook.objects.get().error
