from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from models_app import neighbours, syncing
from models_app.models import RegistrySync
from models_app.neighbours import Neighbours

pytestmark = pytest.mark.django_db


class Clock:
    """Seconds that pass when told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def synced(error: str = "", *, ended: bool = True) -> None:
    started = timezone.now()
    finished = started + timedelta(seconds=1) if ended else started - timedelta(seconds=12)
    RegistrySync.objects.update_or_create(
        pk=1, defaults={"started_at": started, "finished_at": finished, "error": error}
    )


def test_nothing_is_away_just_after_the_start() -> None:
    looking = Neighbours(Clock())

    looking.look()

    assert looking.away() == []


def test_a_queue_whose_pulse_stays_away_is_named_until_it_comes_back() -> None:
    clock = Clock()
    looking = Neighbours(clock)
    neighbours.say_pulse()
    looking.look()

    clock.now += 19
    looking.look()
    assert looking.away() == []
    clock.now += 2
    looking.look()
    assert looking.away() == ["queue"]

    neighbours.say_pulse()
    looking.look()
    assert looking.away() == []


def test_an_mlflow_that_did_not_answer_is_named_until_it_does() -> None:
    looking = Neighbours(Clock())

    synced("MLflow at http://mlflow: refused")
    looking.look()
    assert looking.away() == ["mlflow"]

    synced()
    looking.look()
    assert looking.away() == []


def test_an_mlflow_that_hangs_is_named_before_its_client_gives_up() -> None:
    clock = Clock()
    looking = Neighbours(clock)

    synced(ended=False)
    looking.look()
    assert looking.away() == []
    clock.now += 9
    looking.look()

    assert looking.away() == ["mlflow"]


def test_asking_for_a_sync_and_pulsing_leave_each_other_alone() -> None:
    neighbours.say_pulse()
    pulsed = RegistrySync.objects.get().pulse_at
    asked = syncing.ask()

    row = RegistrySync.objects.get()

    assert (row.pulse_at, row.requested_at) == (pulsed, asked)
