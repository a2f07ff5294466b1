"""Parts of the unseen rows, on which a challenger may be much worse although it is better on all.

Sign tests after Dixon & Mood (1946), The Statistical Sign Test, JASA 41, 557-566.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models_app.learning.checks import ROUNDING, Bout, Check, Finding
from models_app.learning.schema import Schema

SLICE_ROWS = 10
SLICE_FALL = 0.1
BINS = 4
# How often the segments of an equally good challenger may fail by chance, all together.
CHANCE = 0.05


def slice_findings(bout: Bout, segments: Mapping[str, NDArray[np.bool_]]) -> list[Finding]:
    """The worst class, and the worst segment of the golden rows. segments: masks of shape (n,)."""
    found = _classes(bout) if bout.task == "classification" else []
    return found + _segments(bout, segments)


def _classes(bout: Bout) -> list[Finding]:
    """By how much the recall of the worst hit class falls; classes of 10 rows and more.

    On golden rows alone only a fall that can hardly be chance counts, since they are few.
    """
    falls, losses = [], _losses(bout)
    for name in sorted(set(bout.targets.tolist())):
        members = bout.targets == name
        if members.sum() >= SLICE_ROWS:
            falls.append(float(losses[members].mean()))
        golden = members & bout.is_golden
        if golden.sum() >= SLICE_ROWS and _surprise(losses[golden]) > _threshold(1):
            falls.append(float(losses[golden].mean()))
    if not falls:
        return []
    worst = max(falls)
    passed = worst <= SLICE_FALL + ROUNDING
    return [Finding(Check("slices", passed, worst, SLICE_FALL), "REJECT")]


def _segments(bout: Bout, segments: Mapping[str, NDArray[np.bool_]]) -> list[Finding]:
    """By how much the worst segment of the golden rows falls beyond chance; 0 if none does.

    Of right answers, or in regression of the champion's mean error.
    """
    golden = [rows & bout.is_golden for rows in segments.values()]
    large = [rows for rows in golden if rows.sum() >= SLICE_ROWS]
    if not large:
        return []
    losses, threshold = _losses(bout), _threshold(len(large))
    falls = [float(losses[rows].mean()) for rows in large if _surprise(losses[rows]) > threshold]
    worst = max([0.0, *falls])
    return [Finding(Check("segments", worst <= SLICE_FALL + ROUNDING, worst, SLICE_FALL), "REJECT")]


def _losses(bout: Bout) -> NDArray[np.float64]:
    """What each row lost: 1 for an answer that was right, -1 for one that was wrong before."""
    if bout.task == "classification":
        was, is_now = (
            np.asarray(one.values == bout.targets, dtype=np.float64)
            for one in (bout.champion, bout.challenger)
        )
        return was - is_now
    before, after = (
        np.abs(one.values.astype(np.float64) - bout.targets.astype(np.float64))
        for one in (bout.champion, bout.challenger)
    )
    usual = float(before.mean())
    return (after - before) / usual if usual > 0 else np.zeros(len(before))


def _surprise(losses: NDArray[np.float64]) -> float:
    """How many standard deviations the sum is above zero, were each sign a toss of a coin."""
    size = math.sqrt(float(np.square(losses).sum()))
    return float(losses.sum()) / size if size > 0 else 0.0


def _threshold(tests: int) -> float:
    return NormalDist().inv_cdf(1 - CHANCE / tests)


def segments_of(
    instances: Sequence[Mapping[str, Any]], schema: Schema, is_golden: NDArray[np.bool_]
) -> dict[str, NDArray[np.bool_]]:
    """The quarters of each number among golden rows, and each category: masks of shape (n,)."""
    found: dict[str, NDArray[np.bool_]] = {}
    for feature in schema.features:
        values = [instance.get(feature.name) for instance in instances]
        if feature.kind == "number":
            found |= _quarters(feature.name, values, is_golden)
        elif feature.kind in ("category", "boolean"):
            found |= dict(_values(feature.name, values, is_golden))
    return found


def _quarters(
    name: str, values: Sequence[Any], is_golden: NDArray[np.bool_]
) -> dict[str, NDArray[np.bool_]]:
    numbers = np.array(values, dtype=np.float64)
    known = numbers[is_golden & np.isfinite(numbers)]
    if not len(known):
        return {}
    edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1]))
    places = np.searchsorted(edges, numbers, side="left")
    finite = np.isfinite(numbers)
    return {f"{name} {place}": finite & (places == place) for place in range(len(edges) + 1)}


def _values(
    name: str, values: Sequence[Any], is_golden: NDArray[np.bool_]
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    texts = np.array([str(value) for value in values], dtype=object)
    known, counts = np.unique(texts[is_golden].astype(str), return_counts=True)
    for value, count in zip(known, counts, strict=True):
        if count >= SLICE_ROWS:
            yield f"{name} {value}", np.asarray(texts == value, dtype=np.bool_)
