from __future__ import annotations

from importlib import import_module

import pytest
from django.conf import settings
from django_q.models import OrmQ

from feedback_app import queueing

PACKAGES = ("everlearn", "feedback_app", "models_app")

pytestmark = pytest.mark.django_db


def test_only_one_module_puts_messages_on_the_queue() -> None:
    callers = [
        path.relative_to(settings.BASE_DIR).as_posix()
        for package in PACKAGES
        for path in (settings.BASE_DIR / package).rglob("*.py")
        if "async_task" in path.read_text(encoding="utf-8")
    ]

    assert callers == ["feedback_app/queueing.py"]


def test_messages_name_functions_that_exist_and_carry_no_more_than_an_id() -> None:
    queueing.wake(7)
    queueing.put_pulse()

    messages = [message.task for message in OrmQ.objects.order_by("pk")]

    assert [(message["args"], message["kwargs"]) for message in messages] == [((7,), {}), ((), {})]
    for message in messages:
        module, _, function = message["func"].rpartition(".")
        assert callable(getattr(import_module(module), function))


def test_the_queue_neither_interrupts_a_run_nor_delivers_it_again_meanwhile() -> None:
    queueing.wake(7)

    (message,) = (message.task for message in OrmQ.objects.all())

    assert settings.EVERLEARN_RUN_TIMEOUT < message["timeout"] < settings.Q_CLUSTER["retry"]
    assert settings.Q_CLUSTER["catch_up"] is False
