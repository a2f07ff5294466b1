"""A training elsewhere under way: learn, register, and note what was reached."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from feedback_app.pauses import growing
from feedback_app.standalone import lessons, notes
from feedback_app.standalone.lessons import Lesson
from feedback_app.standalone.notes import Note
from feedback_app.standalone.summary import Summary
from models_app import registry, training
from models_app.learnt import Learnt
from models_app.promotion import CHALLENGER_ALIAS
from models_app.registry import RegistryAway, RegistryRefused

FIRST_CONTACT, LATER = 10.0, 300.0  # seconds that MLflow may be away, before and after learning
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 10.0
LEARNT_FROM = "learnt_from.parquet"

T = TypeVar("T")


class Failed(Exception):
    """The training ended without a verdict; the message is one line."""


@dataclass(frozen=True, slots=True)
class Asked:
    """model: "" for the default. data: in place of the base data. run: the service's, 0 for none.

    show: is told step, done and total. say: is told a line.
    """

    model: str
    data: str
    reason: str
    run: int
    show: training.Progress
    say: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a training ended: the exit status, and what people are told."""

    status: int
    summary: Summary


class Job:
    """note: what was reached, kept in a file. step: with done and total, as last shown."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.note = Note(model=asked.model, run=asked.run, reporter=notes.reporter())
        self.step = ("waiting", 0, 1)

    def begin(self) -> None:
        """Note which model it is about. Raises LessonRefused and DeclarationRefused."""
        # First as it was asked for: whoever waits for the run hears of a refusal, too.
        self.reached()
        self.reached(model=lessons.name_of(self.asked.model))

    def reached(self, **what: Any) -> None:
        """Keep what was reached in the note."""
        self.note = notes.update(self.note, **what)

    def show(self, step: str, done: int, total: int) -> None:
        """Show how far it is, and have it reported."""
        self.step = (step, done, total)
        self.asked.show(step, done, total)

    def find_registry(self) -> None:
        """Raise RegistryAway unless MLflow answers: before anything is learnt in vain."""
        self.show("looking for MLflow", 0, 1)
        patiently(registry.count_models, FIRST_CONTACT)

    def learn(self, lesson: Lesson) -> Learnt:
        """Learn it as a worker would. Raises ValueError and BundleRefused."""
        learnt = training.learn(
            lesson.model,
            train=lesson.train,
            unseen=lesson.unseen,
            snapshot_digest=lesson.digest,
            seed=lesson.seed,
            on_progress=self.show,
            beside={LEARNT_FROM: lesson.learnt_from} if lesson.learnt_from else {},
        )
        return replace(learnt, recipe=lesson.recipe)

    def register(self, lesson: Lesson, learnt: Learnt, tags: Mapping[str, str]) -> None:
        """Log and register it, as `staging`; tags: beside the usual. Raises RegistryAway."""
        self.show("registering", 0, 1)
        told = {"everlearn.workflow": self.note.reporter, **tags}
        if lesson.learnt_from:
            digest = hashlib.sha256(lesson.learnt_from).hexdigest()
            told["everlearn.learnt_from_digest"] = digest
        name = self.note.model
        logged = patiently(
            lambda: training.register(
                name, learnt, tags=told, mlflow_run_id=self.note.mlflow_run_id,
                on_run=lambda run_id: self.reached(mlflow_run_id=run_id),
            ),
            LATER,
        )  # fmt: skip
        self.reached(version=logged.number)
        patiently(lambda: registry.set_alias(name, CHALLENGER_ALIAS, logged.number), LATER)


def patiently(ask: Callable[[], T], seconds: float) -> T:
    """What MLflow answers, asked again for so long while it is away. Raises RegistryAway."""
    deadline = time.monotonic() + seconds
    for pause in growing(FIRST_PAUSE, LONGEST_PAUSE):
        try:
            return ask()
        except RegistryRefused:
            raise
        except RegistryAway:
            if time.monotonic() + pause > deadline:
                raise
        time.sleep(pause)
    raise AssertionError("the pauses never end")
