"""What others put into the queue's table is dropped before its function is even looked up."""

from __future__ import annotations

import os
import pickle
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.core import signing as django_signing
from django.utils import timezone
from django_q import core_signing
from django_q.conf import Conf
from django_q.models import OrmQ, Schedule
from django_q.signing import PickleSerializer, SignedPackage
from django_q.tasks import async_task

from feedback_app import broker, queueing, tasks

pytestmark = pytest.mark.django_db


def message(**fields: Any) -> dict[str, Any]:
    """As `async_task` makes one of ours, over-ridable."""
    ours = {"id": "1" * 32, "name": "run-7", "func": queueing.EXECUTE, "args": (7,), "kwargs": {}}
    return {**ours, **fields}


class Planted:
    """Leaves a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.marker),))


def put(payload: str) -> None:
    OrmQ.objects.create(key="everlearn", payload=payload, lock=timezone.now())


def taken() -> list[str]:
    """The functions that the cluster would carry out."""
    messages = broker.VettingBroker("everlearn").dequeue() or []
    return [SignedPackage.loads(payload)["func"] for _, payload in messages]


def test_our_own_messages_are_carried_out() -> None:
    queueing.wake(7)
    assert taken() == [queueing.EXECUTE]

    OrmQ.objects.all().delete()
    queueing.put_pulse()
    assert taken() == [queueing.PULSE]

    OrmQ.objects.all().delete()
    queueing.wake_batch(uuid.uuid4())
    assert taken() == [queueing.EXECUTE_BATCH]


@pytest.mark.parametrize(
    "fields",
    [
        {"func": "os.system", "args": ("touch marker",)},
        {"func": os.system},
        {"func": "feedback_app.tasks.os.system"},
        {"func": "feedback_app.retraining.fail_spent_runs", "args": ()},
        {"args": ("7; touch marker",)},
        {"args": (True,)},
        {"kwargs": {"run_id": 7}},
        {"hook": "os.system"},
        {"chain": [("os.system", ("touch marker",))]},
        {"sync": True},
    ],
)
def test_a_message_that_is_not_ours_is_dropped_and_logged(
    fields: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    put(SignedPackage.dumps(message(**fields)))

    assert taken() == []
    assert not OrmQ.objects.exists()
    assert "was dropped: it " in caplog.text


def test_a_message_signed_with_another_key_is_never_unpickled(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    forged = core_signing.dumps(
        message(args=(Planted(tmp_path / "marker"),)),
        key="another key", salt=Conf.PREFIX, serializer=PickleSerializer,
    )  # fmt: skip
    for payload in (forged, "nonsense", "", django_signing.dumps(message(args=[7]))):
        put(payload)

    assert [taken() for _ in range(4)] == [[], [], [], []]
    assert not OrmQ.objects.exists()
    assert not (tmp_path / "marker").exists()
    assert caplog.text.count("not signed by this installation") == 4
    assert pickle.dumps(Planted(tmp_path / "marker"))  # it would have left its mark


def test_good_messages_behind_bad_ones_still_arrive() -> None:
    async_task("os.system", "touch marker")
    queueing.wake(7)

    assert [*taken(), *taken()] == [queueing.EXECUTE]


def test_a_schedule_that_somebody_inserted_is_dropped_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    Schedule.objects.create(func="os.system", args="'touch marker'", schedule_type="I", minutes=1)

    tasks.pulse()

    assert not Schedule.objects.exists()
    assert "names 'os.system' was dropped" in caplog.text
