"""Bounds of feedback: how far from the base data a value may lie before a person has to look.

Bounds come from base data alone, so that feedback that was accepted cannot widen them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from models_app.learning.kinds import LARGEST, parse_moment
from models_app.learning.schema import Feature, Schema

# One JSON object a bounded value: {"kind": "number", "low": -30.0, "high": 260.0}.
Bound = dict[str, Any]

TARGET = "target"
# A text may have this many characters, or twice those of the longest one in the base data.
SHORTEST_LIMIT = 1_000
# Dates go on after the data was gathered: ten times its span, and ten years at least.
SPANS, TEN_YEARS = 10, 3653.0
# So many times the bounds are far.
FAR = 1_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)


def bounds_of(
    schema: Schema, instances: Sequence[Mapping[str, Any]], numbers: Sequence[float]
) -> dict[str, Any]:
    """The bounds of `features` by name, and of the `target`, as JSON.

    numbers: the targets of a regression; empty in classification. Numbers may lie as far
    outside of the base data as it is wide, at either end.
    """
    features = {
        feature.name: bound
        for feature in schema.features
        if (bound := _bound_of(feature, instances)) is not None
    }
    return {"features": features, TARGET: number_bound(numbers) if numbers else None}


def number_bound(values: Collection[float]) -> Bound:
    """The bound of a number with these values, at least one.

    It is rounded outwards to one digit of the width, so that trying values out does not tell the
    largest one of the base data.
    """
    low, high = (max(-LARGEST, min(end, LARGEST)) for end in (min(values), max(values)))
    # Of a constant nothing tells how it varies: as much as it is large.
    width = max(high - low, max(abs(low), abs(high)) * 1e-9) if high > low else 0.0
    width = min(width or max(abs(high), 1.0), LARGEST)
    step = 10.0 ** math.floor(math.log10(width))
    widened = math.floor((low - width) / step) * step, math.ceil((high + width) / step) * step
    return {"kind": "number", "low": max(widened[0], -LARGEST), "high": min(widened[1], LARGEST)}


def outside(
    bounds: Mapping[str, Any], instance: Mapping[str, Any], target: Any, *, far: bool = False
) -> list[str]:
    """Which values lie outside: names of features, and `value` for the target.

    far: only numbers that lie so far outside that one row would spoil a training.
    """
    within = _anywhere_near if far else _within
    found = [
        name
        for name, bound in sorted(bounds.get("features", {}).items())
        if instance.get(name) is not None and not within(bound, instance[name])
    ]
    bound = bounds.get(TARGET)
    return found if bound is None or within(bound, target) else [*found, "value"]


def is_bearable(target: Any) -> bool:
    """Whether a version can compute with a right answer; an earlier release took any number."""
    return isinstance(target, str) or -LARGEST <= target <= LARGEST


def _bound_of(feature: Feature, instances: Sequence[Mapping[str, Any]]) -> Bound | None:
    if feature.kind not in _MEASURES:
        return None
    measure = _MEASURES[feature.kind]
    values = [measure(value) for row in instances if (value := row.get(feature.name)) is not None]
    if not values:
        return None
    if feature.kind == "number":
        return number_bound(values)
    low, high = min(values), max(values)
    if feature.kind == "text":
        return {"kind": "text", "low": 0.0, "high": max(2 * high, SHORTEST_LIMIT)}
    margin = max(SPANS * (high - low), TEN_YEARS)
    return {"kind": "datetime", "low": math.floor(low - margin), "high": math.ceil(high + margin)}


def _within(bound: Bound, value: Any) -> bool:
    try:
        measured = _MEASURES[bound["kind"]](value)
    except (TypeError, ValueError):
        return False  # the feature was of another kind then
    return bool(bound["low"] <= measured <= bound["high"])


def _anywhere_near(bound: Bound, value: Any) -> bool:
    if bound["kind"] != "number" or type(value) not in (int, float):
        return True
    middle = bound["low"] / 2 + bound["high"] / 2
    return bool(abs(value - middle) <= FAR * (bound["high"] - middle))


def _days(moment: str) -> float:
    return (parse_moment(moment) - _EPOCH) / _DAY


_MEASURES = {"number": float, "text": lambda text: float(len(text)), "datetime": _days}
