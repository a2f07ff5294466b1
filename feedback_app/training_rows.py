"""The rows of a training set: made from a table, told apart by their digests, and back to a table.

Nothing here asks the database, so that a training elsewhere has the same rows as one here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from models_app.learning.changes import schema_changes
from models_app.learning.evidence import refuse_all_alike, refuse_unlearnable
from models_app.learning.kinds import category_text
from models_app.learning.rows import (
    are_repeats,
    digest_instance,
    digest_repeats,
    golden_split,
)
from models_app.learning.schema import Feature, Schema
from models_app.learning.tables import WEIGHT, Task, instances_of, targets_of, usable_rows
from models_app.models import RegisteredModel
from models_app.refusals import Refused

ROLE = "everlearn_role"
DIGEST = "everlearn_digest"
# The digest of the instance, in tables whose rows repeat few instances.
INSTANCE = "everlearn_instance"
TRAIN, HELD_OUT = "train", "held_out"

MOST_TOLD = 20


class SchemaChanged(Refused):
    """The base data has other columns than the model was declared with."""

    default_code = "schema_changed"


@dataclass(slots=True)
class Row:
    """One instance with its right answer; `feedback`: the ids of those who said so.

    digest: tells it from other rows. repeats: of its instance, where rows repeat few instances and
    `digest` is this row's alone; else "". source: of the first of `feedback`, "" for base data.
    trusted: a person stands for one of these.
    """

    instance: dict[str, Any]
    target: Any
    digest: str
    weight: float
    feedback: list[Any]
    role: str = TRAIN
    source: str = ""
    trusted: bool = False
    repeats: str = ""

    @property
    def instance_digest(self) -> str:
        """The digest of its instance, which other rows may have as well."""
        return self.repeats or self.digest

    def is_among(self, digests: Collection[str]) -> bool:
        """Whether the row, or every row of its instance, is one of these."""
        return self.digest in digests or self.instance_digest in digests


def rows_of(model: RegisteredModel, table: pd.DataFrame) -> list[Row]:
    """The rows of a table, in order. Raises ValueError when they do not fit the schema."""
    frame = usable_rows(table, model.target)
    instances = instances_of(frame, model.schema)
    _refuse_without_required(model.schema, instances)
    targets = targets_of(frame[model.target], cast("Task", model.task)).tolist()
    return [
        Row(instance, target, digest_instance(instance), 1.0, [])
        for instance, target in zip(instances, targets, strict=True)
    ]


def refuse_changed(
    model: RegisteredModel, table: pd.DataFrame, before: pd.DataFrame | None
) -> None:
    """Raise SchemaChanged unless the columns of base data are those that were declared.

    before: earlier rows of the model, if there are any.
    """
    task = cast("Task", model.task)
    changes = schema_changes(table, model.schema, target=model.target, task=task, before=before)
    if changes:
        told, more = changes[:MOST_TOLD], len(changes) - MOST_TOLD
        rest = f" and {more} more" if more > 0 else ""
        raise SchemaChanged(
            f"The data source is not what {model} was declared with: {'; '.join(told)}{rest}. If "
            "that is meant, manage.py apply takes its columns over as they are now."
        )


def _refuse_without_required(schema: Schema, instances: Sequence[dict[str, Any]]) -> None:
    for name in (feature.name for feature in schema.features if feature.required):
        if missing := sum(name not in instance for instance in instances):
            raise ValueError(
                f"column '{name}' is required, but {missing} of {len(instances)} rows have no "
                "value there. Fill them in, or declare the feature with required = false."
            )


def tell_apart(model: RegisteredModel, rows: Sequence[Row]) -> None:
    """Number base rows of which no golden ones were chosen yet, where they repeat few instances.

    Raises ValueError when nothing can be learnt from them.
    """
    digests, task = [row.digest for row in rows], cast("Task", model.task)
    targets = np.array([row.target for row in rows])
    refuse_unlearnable(targets, task, target=model.target)
    refuse_all_alike(digests)
    if are_repeats(digests, targets, task):
        number_repeats(rows)


def number_repeats(rows: Sequence[Row]) -> None:
    """Give each row a digest of its own, so that no row stands for those like it."""
    numbered = digest_repeats([row.digest for row in rows], [row.target for row in rows])
    for row, digest in zip(rows, numbered, strict=True):
        row.digest, row.repeats = digest, row.digest


def golden_rows(rows: Sequence[Row], task: str) -> list[Row]:
    """Those that should never train; which they are follows from the rows alone."""
    mask = golden_split([row.digest for row in rows], np.array([row.target for row in rows]), task)
    return [row for row, is_golden in zip(rows, mask, strict=True) if is_golden]


def digest_of(rows: Iterable[Row]) -> str:
    """SHA-256 over the canonical rows: role, weight, instance and target of each, in order."""
    digest = hashlib.sha256()
    for row in rows:
        line = json.dumps([row.role, row.weight, row.digest, row.target])
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()


def seed_of(digest: str) -> int:
    """The seed of a training: the same rows are learnt from in the same way."""
    return int(digest[:7], 16)


def table_of(model: RegisteredModel, rows: Sequence[Row]) -> pd.DataFrame:
    """Features, target, weight, role and digest of each row: what is stored of them."""
    columns = _feature_columns(model.schema, [row.instance for row in rows])
    columns[model.target] = pd.Series([row.target for row in rows])
    columns[WEIGHT] = pd.Series([row.weight for row in rows], dtype=np.float64)
    columns[ROLE] = pd.Series([row.role for row in rows], dtype="str")
    columns[DIGEST] = pd.Series([row.digest for row in rows], dtype="str")
    if any(row.repeats for row in rows):
        columns[INSTANCE] = pd.Series([row.instance_digest for row in rows], dtype="str")
    return pd.DataFrame(columns)


def digests_in(table: pd.DataFrame) -> frozenset[str]:
    """The digests of the rows of a stored table, and of their instances where rows repeat."""
    return frozenset(table[DIGEST]).union(table.get(INSTANCE, ()))


def _feature_columns(
    schema: Schema, instances: Sequence[dict[str, Any]]
) -> dict[str, pd.Series[Any]]:
    return {
        feature.name: _column(feature, [instance.get(feature.name) for instance in instances])
        for feature in schema.features
    }


def _column(feature: Feature, values: list[Any]) -> pd.Series[Any]:
    """One dtype a column, since JSON lets a category be 1 in one row and "1" in the next."""
    if feature.kind == "number":
        return pd.Series(values, dtype=np.float64)
    if feature.kind == "boolean":
        return pd.Series(values, dtype=object)
    texts = [None if value is None else category_text(value) for value in values]
    return pd.Series(texts, dtype="str")
