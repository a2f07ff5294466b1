"""The rows of a training set: made from a table, told apart by their digests, and back to a table.

Nothing here asks the database, so that a training elsewhere has the same rows as one here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from models_app.learning.changes import schema_changes
from models_app.learning.kinds import category_text
from models_app.learning.rows import digest_instance, golden_split
from models_app.learning.schema import Feature, Schema
from models_app.learning.tables import WEIGHT, Task, instances_of, targets_of, usable_rows
from models_app.models import RegisteredModel
from models_app.refusals import Refused

ROLE = "everlearn_role"
DIGEST = "everlearn_digest"
TRAIN, HELD_OUT = "train", "held_out"

MOST_TOLD = 20


class SchemaChanged(Refused):
    """The base data has other columns than the model was declared with."""

    default_code = "schema_changed"


@dataclass(slots=True)
class Row:
    """One instance with its right answer; `feedback`: the ids of those who said so.

    source: of the first of these, "" for base data. trusted: a person stands for one of these.
    """

    instance: dict[str, Any]
    target: Any
    digest: str
    weight: float
    feedback: list[Any]
    role: str = TRAIN
    source: str = ""
    trusted: bool = False


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
                "value there"
            )


def golden_rows(rows: Sequence[Row], task: str) -> list[Row]:
    """Those that should never train; which they are follows from the rows alone.

    Raises ValueError for too few rows.
    """
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
    return pd.DataFrame(columns)


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
