"""What is odd about the columns of a table, which `apply --plan` warns of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from models_app.learning.schema import Feature, Schema
from models_app.learning.tables import Task

FEWEST_ROWS = 20
# Each value this many times on average, so that it is no accident that one class goes with it.
OFTEN = 5
ORDERED = 0.9999


def warnings_of(
    rows: pd.DataFrame, schema: Schema, *, target: str, task: Task
) -> dict[str, list[str]]:
    """Sentences by the name of the feature that they warn of. rows: read, each with a target."""
    found: dict[str, list[str]] = defaultdict(list)
    if len(rows) < FEWEST_ROWS:
        return found
    for feature in schema.features:
        series = rows[feature.name]
        found[feature.name] += _identifies(series, feature)
        found[feature.name] += _tells_target(series, rows[target], feature, target, task)
    return found


def counts_rows(series: pd.Series[Any]) -> bool:
    """Whether a column holds whole numbers, each one more than the one before."""
    numbers = pd.to_numeric(series, errors="coerce").to_numpy(dtype=np.float64)
    return bool(len(numbers) > 1 and (np.diff(numbers) == 1).all())


def _identifies(series: pd.Series[Any], feature: Feature) -> Iterator[str]:
    known = series.dropna()
    different = known.nunique()
    if different == 1 and len(known) == len(series):
        yield "It has the same value in every row, so that nothing can be learnt from it."
    if different < len(series):
        return
    if feature.kind == "number" and counts_rows(known.sort_values()):
        yield (
            "It counts the rows: each value is one more than another. If it names rows, name it in "
            "ignore."
        )
    elif feature.kind in ("category", "text") and not known.str.contains(r"\s").any():
        yield "It is different in every row. If it names rows, name it in ignore."


def _tells_target(
    series: pd.Series[Any], answers: pd.Series[Any], feature: Feature, target: str, task: Task
) -> Iterator[str]:
    leak = f"If it is known only after '{target}', name it in ignore."
    if task == "regression":
        if feature.kind == "number" and _orders(series, answers):
            yield f"It puts the rows into the same order as '{target}'. {leak}"
        return
    different = series.nunique()
    if different < 2 or different * OFTEN > len(series):
        return
    classes = answers.groupby(series, dropna=False).nunique()
    # A number may well decide by a threshold; one that has a value a class is another name for it.
    if feature.kind == "number" and different != answers.nunique():
        return
    if (classes == 1).all() and answers.nunique() > 1:
        yield f"Each of its values goes with one class of '{target}' only. {leak}"


def _orders(series: pd.Series[Any], answers: pd.Series[Any]) -> bool:
    if series.nunique() * 2 < len(series):
        return False
    first, second = series.rank(), answers.rank()
    return bool(abs(first.corr(second)) >= ORDERED)
