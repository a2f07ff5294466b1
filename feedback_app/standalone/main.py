"""One training elsewhere, from what is asked to its end; nothing here asks a database.

With a service (HOT_RELOAD_URL and EVERLEARN_API_KEY) it carries out a run of the service, which
judges; else it registers what it learnt, and nobody is told. The alias `prod` is the service's.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from django.conf import settings

from feedback_app import failures
from feedback_app.standalone import lessons, notes, runs, service, settling, summary
from feedback_app.standalone.heartbeat import Interrupted
from feedback_app.standalone.job import Asked, Ended, Failed, Job
from models_app import registry
from models_app.datasets import DataRefused
from models_app.declaration import DeclarationRefused
from models_app.promotion import CHALLENGER_ALIAS
from models_app.refusals import Refused

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Those whose message says all that there is to say.
EXPECTED = (
    DataRefused,
    DeclarationRefused,
    Failed,
    lessons.LessonRefused,
    Refused,
    registry.RegistryAway,
    service.ServiceRefused,
)


def train(asked: Asked) -> int:
    """Train, register and have it judged; the exit status: 0, or 3 when it is not better.

    Raises Failed once all whom it concerns have been told, and UnderWay.
    """
    _forget_empty_variables()
    with notes.alone(), interruptible():
        job = Job(asked)
        try:
            ended = _carry_out(job)
        except (Exception, Interrupted) as error:
            for signum in SIGNALS:
                signal.signal(signum, signal.SIG_IGN)
            why = _reason(error)
            settling.settle(job.note, why, asked.say)
            raise Failed(why) from error
        job.reached(ended=True)
        summary.publish(ended.summary, asked.say)
        return ended.status


def _carry_out(job: Job) -> Ended:
    job.begin()
    _refuse_without_key()
    known = service.configured()
    return runs.carry_out(job, known) if known else _alone(job)


def _refuse_without_key() -> None:
    """Raise Failed where a version would be trained that the service then refuses."""
    own = settings.MLFLOW_TRACKING_URI.endswith(f"{settings.EVERLEARN_HOME}/mlflow.db")
    if not own and not settings.EVERLEARN_BUNDLE_KEY:
        raise Failed(
            "EVERLEARN_BUNDLE_KEY is not set, without which the service refuses what is trained "
            "here (signature_invalid); give this job the service's key"
        )


def _alone(job: Job) -> Ended:
    if job.asked.run:
        raise Failed(f"run {job.asked.run} is some service's, but HOT_RELOAD_URL is not set")
    job.find_registry()
    lesson = lessons.declared_lesson(job.note.model, job.asked.data)
    learnt = job.learn(lesson)
    job.register(lesson, learnt, {})
    lines = [
        f"Learnt from {len(lesson.train)} rows, measured on {len(lesson.unseen)} others.",
        f"It is in MLflow at {registry.tracking_uri()} as {CHALLENGER_ALIAS}.",
        "As HOT_RELOAD_URL is not set, nobody was told; a service that uses this MLflow finds it.",
    ]
    title = f"{job.note.model} version {job.note.version}: registered"
    return Ended(0, summary.Summary(title, lines, learnt.metrics))


def _forget_empty_variables() -> None:
    """A secret that nobody set is an empty variable in CI, which S3's client takes for a value."""
    for name in [name for name, value in os.environ.items() if not value]:
        if name.startswith("AWS_"):
            del os.environ[name]


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise Interrupted in the main thread when a signal asks this process to end."""

    def interrupt(*_: object) -> NoReturn:
        raise Interrupted

    before = {signum: signal.signal(signum, interrupt) for signum in SIGNALS}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _reason(error: BaseException) -> str:
    """Why it failed, in one line without secrets."""
    if isinstance(error, Interrupted):
        return "stopped by a signal"
    if isinstance(error, EXPECTED):
        return failures.plain(error)
    logger.error("the training failed", exc_info=error)
    return failures.told(error)
