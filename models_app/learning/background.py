"""Rows that stand for what is usual in the training data and belong to no one in it.

An explanation replaces a feature's value by those of some background rows. Rows of the training
data would be told apart from the answers; these are made of each column's quartiles, rounded,
and of categories that several rows share.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from models_app.learning import kinds
from models_app.learning.schema import Feature, Schema

QUARTILES = (0.25, 0.5, 0.75)
# A category that fewer rows have could be one person's.
SHARED_BY = 5


def background_rows(schema: Schema, instances: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Three instances, none of them a row: in each, every feature has a usual value.

    instances: all training rows, checked. Numbers and dates are quartiles, rounded to a step of
    a tenth to a half of the distance between the outer two; numbers that are all alike stay.
    Categories are those that at least five rows share, else the most frequent one. Texts are
    empty, as each may be somebody's. A feature without any value is left out.
    """
    usual = {one.name: _values(one, [row.get(one.name) for row in instances])
             for one in schema.features}  # fmt: skip
    return [
        {name: values[place] for name, values in usual.items() if values}
        for place in range(len(QUARTILES))
    ]


def _values(feature: Feature, given: Sequence[Any]) -> list[Any]:
    known = [value for value in given if value is not None]
    if feature.kind == "text":
        return [""] * len(QUARTILES)
    if not known:
        return []
    if feature.kind == "number":
        return _rounded([float(value) for value in known])
    if feature.kind == "boolean":
        return [bool(value >= 0.5) for value in np.quantile(np.array(known, float), QUARTILES)]
    if feature.kind == "datetime":
        moments = [kinds.parse_moment(value).timestamp() for value in known]
        return [_day(seconds) for seconds in _rounded(moments)]
    return _categories([kinds.category_text(value) for value in known])


def _rounded(numbers: list[float]) -> list[float]:
    quartiles = np.quantile(np.array(numbers), QUARTILES)
    distance = float(quartiles[-1] - quartiles[0])
    if not math.isfinite(distance) or distance <= 0:
        return [float(value) for value in quartiles]
    step = 10.0 ** math.floor(math.log10(distance / 2))
    return [float(f"{round(value / step) * step:.12g}") for value in quartiles.tolist()]


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def _categories(given: Sequence[str]) -> list[str]:
    ranked = Counter(given).most_common()
    shared = [pair for pair in ranked if pair[1] >= SHARED_BY] or ranked[:1]
    in_turn = [name for name, count in shared for _ in range(count)]
    return [in_turn[min(len(in_turn) - 1, int(part * len(in_turn)))] for part in QUARTILES]
