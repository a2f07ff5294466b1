"""What a training elsewhere learns, and from which rows: as declared, or as the service froze it.

The rows that judge never train here either: those are chosen by the same rule, or named by the
service. Nothing here asks a database; a lesson's model is stored nowhere.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet
from django.conf import settings

from feedback_app.training_rows import (
    DIGEST,
    INSTANCE,
    ROLE,
    Row,
    digest_of,
    golden_rows,
    number_repeats,
    refuse_changed,
    rows_of,
    seed_of,
    table_of,
    tell_apart,
)
from models_app import datasets, declaration, inference
from models_app.declaration import DeclaredModel
from models_app.learning.tables import WEIGHT
from models_app.models import RegisteredModel
from models_app.refusals import Refused

Say = Callable[[str], None]

METADATA = b"everlearn"
# What names the rows of a training set; the service takes no more.
MOST_BYTES = 64 * 2**20


class LessonRefused(Exception):
    """There is nothing to learn here, or not as asked; the message is one line."""


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What is learnt from which rows.

    model: stored nowhere. recipe, installation: the service's where there is one. digest: of the
    rows. learnt_from: a Parquet file that names them, b"" where the service froze them itself.
    """

    model: RegisteredModel
    recipe: str
    train: pd.DataFrame
    unseen: pd.DataFrame
    digest: str
    seed: int
    learnt_from: bytes = b""
    installation: str = ""


def name_of(asked: str) -> str:
    """The declared model that is asked for; "" stands for the default, or the only one.

    Raises LessonRefused and DeclarationRefused.
    """
    declared = declaration.read(settings.EVERLEARN_MODELS)
    names = list(declared.models)
    name = asked or declared.default or (names[0] if len(names) == 1 else "")
    if name in names:
        return name
    if not asked:
        raise LessonRefused(f"say which model; {settings.EVERLEARN_MODELS} has no default")
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise LessonRefused(f"{settings.EVERLEARN_MODELS} declares no model {name!r}{hint}")


def declared_lesson(name: str, data: str) -> Lesson:
    """Base data alone, the declared or `data`; its golden rows are left out and measured.

    Raises DataRefused and other refusals of data, and ValueError.
    """
    declared, base = _declared(name), _source(name, data)
    model = RegisteredModel(
        name=name, data=base, target=declared.target, estimator=declared.estimator,
        **inference.learnt_from(declared, base, stored=None),
    )  # fmt: skip
    rows = rows_of(model, datasets.read_for(model)[0])
    tell_apart(model, rows)
    golden = {row.digest for row in golden_rows(rows, model.task)}
    unseen = [row for row in rows if row.digest in golden]
    return _lesson(model, [row for row in rows if row.digest not in golden], unseen, model.recipe)


def frozen_lesson(name: str, file: bytes, data: str, say: Say) -> Lesson:
    """What the service froze, with the rows of `data`, if given, in place of its base rows.

    say: is told where the checkout and the service differ. Raises LessonRefused when they do so
    in what is learnt, and like `declared_lesson`.
    """
    table, about = _read(file)
    model = _agreed(name, about, say)
    never, columns = frozenset(about["never"]), [*model.schema.names, model.target, WEIGHT]
    base = _other_rows(model, data, table) if data else _known_rows(model, say)
    if about.get("repeated"):
        number_repeats(base)
    unseen = [row for row in base if row.is_among(never)]
    if data and (rows := _with_base(model, table, base, about)) is not None:
        lesson = _lesson(model, rows, unseen, about["recipe"])
        return replace(lesson, installation=about["installation"])
    return Lesson(
        model=model,
        recipe=about["recipe"],
        train=table.reindex(columns=columns),
        unseen=_table(model, unseen),
        digest=about["snapshot_digest"],
        seed=about["seed"],
        installation=about["installation"],
    )


def _lesson(model: RegisteredModel, rows: list[Row], unseen: list[Row], recipe: str) -> Lesson:
    """A lesson of rows that no service froze, so that MLflow has to be told which they are."""
    if not rows:
        raise LessonRefused("no row is left to train on once those that judge are kept apart")
    digest, table = digest_of(rows), table_of(model, rows)
    named = BytesIO()
    told = [name for name in (ROLE, DIGEST, INSTANCE) if name in table]
    table[told].to_parquet(named, index=False, compression="zstd")
    if len(named.getvalue()) > MOST_BYTES:
        raise LessonRefused(f"{len(rows)} rows are more than a service takes: 1.5 million or so")
    return Lesson(
        model=model,
        recipe=recipe,
        train=table[[*model.schema.names, model.target, WEIGHT]],
        unseen=_table(model, unseen),
        digest=digest,
        seed=seed_of(digest),
        learnt_from=named.getvalue(),
    )


def _table(model: RegisteredModel, rows: Sequence[Row]) -> pd.DataFrame:
    return table_of(model, rows)[[*model.schema.names, model.target]]


def _declared(name: str) -> DeclaredModel:
    return declaration.read(settings.EVERLEARN_MODELS).models[name]


def _source(name: str, data: str) -> str:
    path: Path = settings.EVERLEARN_MODELS
    return data or declaration.locate_data(_declared(name).data, path.parent)


def _read(file: bytes) -> tuple[pd.DataFrame, dict[str, Any]]:
    table = pyarrow.parquet.read_table(BytesIO(file))
    about = (table.schema.metadata or {}).get(METADATA)
    if about is None:
        raise LessonRefused("the service's training data does not say what is learnt from it")
    return table.to_pandas(), json.loads(about)


def _agreed(name: str, about: dict[str, Any], say: Say) -> RegisteredModel:
    """The service's model, unless this checkout would have learnt it in another way."""
    declared = _declared(name)
    # Also why no estimator is ever imported because somebody else's answer names it.
    ours = declared.model_dump(include={"task", "target", "metric", "estimator"})
    differing = [
        f"{key} is {value!r} here and {about[key]!r} there"
        for key, value in ours.items()
        if value is not None and value != about[key]
    ]
    if differing:
        raise LessonRefused(
            f"{settings.EVERLEARN_MODELS.name} and the service disagree on what {name} is: "
            f"{', '.join(differing)}; apply the file there, or update the checkout"
        )
    if other := list(_other_features(declared, about["schema"])):
        say(f"The service's schema is used, which differs from the file's in {', '.join(other)}.")
    return RegisteredModel(
        name=name, task=about["task"], target=about["target"], metric=about["metric"],
        estimator=about["estimator"], features=about["schema"], reading=about.get("reading", {}),
    )  # fmt: skip


def _other_features(declared: DeclaredModel, schema: list[dict[str, Any]]) -> Iterator[str]:
    known = {feature["name"]: feature for feature in schema}
    for name, feature in declared.features.items():
        said = feature.model_dump(exclude_none=True)
        if name not in known or any(known[name][key] != value for key, value in said.items()):
            yield name


def _other_rows(model: RegisteredModel, data: str, frozen: pd.DataFrame) -> list[Row]:
    other, _ = datasets.read_for(model, data)
    refuse_changed(model, other, frozen)
    return rows_of(model, other)


def _known_rows(model: RegisteredModel, say: Say) -> list[Row]:
    """The declared data's rows, to measure on those that never train; none where it is not."""
    try:
        return rows_of(model, datasets.read_for(model, _source(model.name, ""))[0])
    except (datasets.DataRefused, Refused, OSError, ValueError) as error:
        say(f"Nothing is measured here, only by the service: {' '.join(str(error).split())}")
        return []


def _with_base(
    model: RegisteredModel, table: pd.DataFrame, base: list[Row], about: dict[str, Any]
) -> list[Row] | None:
    """Other base rows with the frozen feedback, by the service's rule; None when they agree."""
    frozen = rows_of(model, table)
    for row, weight in zip(frozen, table[WEIGHT].tolist(), strict=True):
        row.weight = weight
    count = len(frozen) - about["feedback_rows"]
    feedback, never = frozen[count:], frozenset(about["never"])
    # Where rows repeat, those of feedback are observations beside those of the base data.
    said = set() if about.get("repeated") else {(row.digest, row.target) for row in feedback}
    kept = [row for row in base if not row.is_among(never) and (row.digest, row.target) not in said]
    same = [(row.instance_digest, row.target) for row in kept]
    if same == [(row.digest, row.target) for row in frozen[:count]]:
        return None
    return [*kept, *feedback]
