"""Answer instances: the one function behind every door.

check against the schema ──► the client's quota ──► the champion's bundle ──► one row logged for
each ──► answer

An answer that was given is in the log, so the rows are committed before `predict` returns. The
log has every digit; a client without a key gets fewer (EVERLEARN_ANONYMOUS_DIGITS).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, cast

import numpy as np
import orjson
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from models_app import (
    counting,
    following,
    prediction_log,
    previewing,
    quotas,
    rounding,
    storing,
    tracing,
)
from models_app.bundles import Bundle
from models_app.following import Served
from models_app.learning.answers import Answers
from models_app.learning.explanation import contributions, significant
from models_app.learning.kinds import Columns
from models_app.learning.schema import MAX_PROBLEMS, InvalidInstances, Problem, Schema
from models_app.models import new_id
from models_app.quota import Quota
from models_app.quotas import Consumer
from models_app.refusals import (
    InvalidInput,
    ModelFailed,
    NotFound,
    NotReady,
    Refused,
    TooMuch,
)

MAX_INSTANCES = 1000
# Of a larger request the log names the first ones only; the rows have the request's time.
TRACED = 10
# Each feature of each instance to explain is replaced by each of a bundle's background rows.
MAX_EXPLAINED_ROWS = 20_000
# What these rows hold, at 8 bytes each, whatever else is answered meanwhile.
MAX_EXPLAINED_VALUES = 10_000_000
# Of each number in an explanation for callers without a key; all seven for those with one.
EXPLANATION_DIGITS = 3

# A version that fails on numbers below it is broken; beyond, its float32 may overflow.
ABSURD = 1e15

_SUBJECT_NEEDS_KEY = Problem(
    "subject",
    "subject_needs_key",
    "A subject can be named with an API key only; leave it out, or send a key.",
)
# What the database needs for a row beside its instance, and for each class's probability.
ROW_BYTES, CLASS_BYTES = 300, 24

JsonObject = dict[str, Any]
Keep = Callable[[list[JsonObject]], None]


@dataclass(frozen=True, slots=True)
class Answered:
    """What was answered, ready to be written as JSON; a prediction for each instance."""

    model: str
    version: int
    generation: int
    predictions: list[JsonObject]


def registered(name: str) -> Served:
    """The model of that name, whether anything serves or not. Raises NotFound."""
    try:
        return following.served()[name]
    except KeyError:
        raise NotFound(f"There is no model '{name[:63]}'.") from None


def default_name() -> str:
    """The name of the model behind the routes that name none. Raises NotReady without one."""
    for served in following.served().values():
        if served.is_default:
            return served.name
    raise NotReady("No model is declared as the default yet.")


def predict(
    name: str,
    instances: Sequence[object],
    *,
    client: User | None,
    subject: str = "",
    explain: bool = False,
    door: str = "native",
    consumer: Consumer | None = None,
) -> Answered:
    """Answer each instance with the champion of `name`, and log each answer.

    explain: also say what each feature contributed, for as many instances as that is cheap
    enough. door: which dialect asks. consumer: whose quota the rows use. Raises NotFound,
    NotReady, InvalidInput, TooMuch, QuotaExceeded, InvalidInstances, ModelFailed, ModelTooSlow
    or Unavailable; then nothing is logged.
    """
    served = registered(name)
    options = {"client": client, "subject": subject, "explain": explain, "consumer": consumer}
    return _counted(served, instances, door, **options)


def preview(
    name: str,
    number: int,
    instances: Sequence[object],
    *,
    client: User | None,
    subject: str = "",
    explain: bool = False,
    consumer: Consumer | None = None,
) -> Answered:
    """The same with one version, whether it serves or not; logged as a preview.

    The generation is that of the model meanwhile. Raises NotServable beside what `predict` does.
    """
    served = previewing.of_version(registered(name), number)
    options = {"client": client, "subject": subject, "explain": explain, "consumer": consumer}
    return _counted(served, instances, "preview", **options, is_preview=True)


def predict_rows(
    served: Served, instances: Sequence[object], *, client: User, keep: Keep
) -> Answered:
    """The same with what once served, for files of rows that are answered by one version.

    keep: called with the predictions, within the transaction that logs them.
    """
    consumer = Consumer.account_of(client)
    return _counted(served, instances, "batch", client=client, keep=keep, consumer=consumer)


def _counted(served: Served, instances: Sequence[object], door: str, **options: Any) -> Answered:
    began = perf_counter()
    try:
        answered = _answer(served, instances, **options)
    except (Refused, InvalidInstances) as refusal:
        counting.refused(served.name, door, getattr(refusal, "code", InvalidInput.default_code))
        raise
    seconds = perf_counter() - began
    counting.answered(
        served.name, served.number, door, rows=len(answered.predictions), seconds=seconds
    )
    return answered


def _answer(
    served: Served, instances: Sequence[object], *, consumer: Consumer | None, **options: Any
) -> Answered:
    if served.bundle is None:
        raise NotReady(
            f"Nothing serves '{served.name}' yet: no version was promoted, or none loads."
        )
    _refuse_too_many(instances)
    if options["client"] is None:
        if options.get("subject"):
            raise InvalidInput([_SUBJECT_NEEDS_KEY])
        storing.refuse_without_spare_room()
    schema = served.bundle.schema
    schema.check(instances)
    checked = schema.normalized(cast("Sequence[JsonObject]", instances))
    cost = _cost(served.bundle, checked, options.get("subject", ""))
    with quotas.spending(consumer, cost):
        return _answer_checked(served, served.bundle, checked, **options)


def _cost(bundle: Bundle, instances: Sequence[object], subject: str) -> Quota:
    """What answering uses of a quota."""
    rows = len(instances)
    # The subject stands in each row, and in an index.
    each = ROW_BYTES + CLASS_BYTES * len(bundle.classes) + 2 * len(subject.encode())
    return Quota(rows=rows, stored_bytes=len(orjson.dumps(instances)) + rows * each)


def _answer_checked(
    served: Served,
    bundle: Bundle,
    checked: Sequence[JsonObject],
    *,
    client: User | None,
    subject: str = "",
    explain: bool = False,
    is_preview: bool = False,
    keep: Keep | None = None,
) -> Answered:
    schema = bundle.schema
    columns = schema.columns(checked)
    answers = bundle.answer(columns, within=settings.EVERLEARN_PREDICT_TIMEOUT)
    _refuse_unusable(served, answers, checked)
    predictions = _predictions(answers)
    _warn(schema, checked, predictions)
    if explain:
        digits = EXPLANATION_DIGITS if client is None else None
        _explain(bundle, columns, answers, predictions, digits=digits)
    client_id = None if client is None else client.pk
    asked_by = {"client_id": client_id, "subject": subject, "preview": is_preview}
    rows = _rows(served, checked, predictions, asked_by)
    with storing.writing():
        if keep is None:
            prediction_log.append(rows)
        else:
            with transaction.atomic():
                prediction_log.append(rows)
                keep(predictions)
    tracing.note(predictions=[prediction["id"] for prediction in predictions[:TRACED]])
    told = predictions if client else rounding.for_anonymous(predictions, spread=bundle.spread)
    return Answered(served.name, served.number, served.generation, told)


def most_explained(bundle: Bundle) -> int:
    """How many instances can be explained at a time; 0 where one would be too much."""
    features = len(bundle.schema.features)
    rows = features * min(map(len, bundle.background.values()))
    if rows * features > MAX_EXPLAINED_VALUES:
        return 0
    return max(1, MAX_EXPLAINED_ROWS // rows)


def _refuse_too_many(instances: Sequence[object]) -> None:
    if not instances:
        raise InvalidInput([Problem("instances", "empty", "At least one instance is expected.")])
    if len(instances) > MAX_INSTANCES:
        raise TooMuch(
            f"{len(instances)} instances were sent, {MAX_INSTANCES} are allowed at a time.",
            code="too_many_instances",
        )


def _explain(
    bundle: Bundle,
    columns: Columns,
    answers: Answers,
    predictions: Sequence[JsonObject],
    *,
    digits: int | None,
) -> None:
    features, most = bundle.schema.features, most_explained(bundle)
    if most == 0:
        raise TooMuch(
            f"{len(features)} features are too many for an explanation; leave 'explain' out.",
            code="too_many_features",
        )
    if len(predictions) > most:
        raise TooMuch(
            f"{len(predictions)} instances were sent, {most} of this model can be explained at "
            "a time.",
            code="too_many_instances",
        )
    moved = contributions(
        columns,
        answers,
        background=bundle.background,
        features=features,
        ask=partial(bundle.answer, within=settings.EVERLEARN_PREDICT_TIMEOUT),
    )
    if digits is not None:
        moved = significant(moved, digits)
    for prediction, row in zip(predictions, moved.tolist(), strict=True):
        prediction["explanation"] = dict(zip(bundle.schema.names, row, strict=True))


def _warn(
    schema: Schema, instances: Sequence[JsonObject], predictions: Sequence[JsonObject]
) -> None:
    for instance, prediction in zip(instances, predictions, strict=True):
        if unseen := schema.unseen(instance):
            prediction["warnings"] = [
                {"code": "unseen_category", "attr": feature} for feature in unseen
            ]


def _refuse_unusable(served: Served, answers: Answers, instances: Sequence[JsonObject]) -> None:
    numbers = answers.values if answers.probabilities is None else answers.probabilities
    if numbers.dtype == object or (finite := np.isfinite(numbers)).all():
        return
    usable = finite if finite.ndim == 1 else finite.all(axis=1)
    absurd = [_absurd_number(index, instances[index]) for index in np.flatnonzero(~usable).tolist()]
    if None in absurd:
        raise ModelFailed(f"{served.name} v{served.number} answered with NaN or infinity.")
    raise InvalidInput([one for one in absurd[:MAX_PROBLEMS] if one])


def _absurd_number(index: int, instance: JsonObject) -> Problem | None:
    """The largest number of an instance, if it is what a version cannot compute with."""
    numbers = {name: abs(one) for name, one in instance.items() if type(one) in (int, float)}
    name = max(numbers, key=numbers.__getitem__, default="")
    if numbers.get(name, 0) < ABSURD:
        return None
    detail = "The model cannot compute with a number of this size."
    return Problem(f"instances.{index}.{name}", "not_finite", detail)


def _predictions(answers: Answers) -> list[JsonObject]:
    values = answers.values.tolist()
    if answers.probabilities is None:
        return [{"id": str(new_id()), "value": value} for value in values]
    rows = answers.probabilities.tolist()
    return [
        {
            "id": str(new_id()),
            "value": value,
            "probabilities": dict(zip(answers.classes, row, strict=True)),
        }
        for value, row in zip(values, rows, strict=True)
    ]


def _rows(
    served: Served,
    instances: Sequence[JsonObject],
    predictions: Sequence[JsonObject],
    asked_by: JsonObject,
) -> list[JsonObject]:
    about = {
        "registered_model_id": served.model_id,
        "version_id": served.version_id,
        "generation": served.generation,
        "at": timezone.now(),
        **asked_by,
    }
    return [
        {
            **about,
            "id": prediction["id"],
            "input": instance,
            "value": prediction["value"],
            "probabilities": prediction.get("probabilities"),
        }
        for instance, prediction in zip(instances, predictions, strict=True)
    ]
