from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_app.learning.bounds import bounds_of, number_bound, outside
from models_app.learning.schema import Feature, Schema

SCHEMA = Schema(
    (
        Feature("age", "number"),
        Feature("note", "text", required=False),
        Feature("since", "datetime", required=False),
        Feature("color", "category", required=False),
        Feature("paid", "boolean", required=False),
    )
)
ROWS: list[dict[str, Any]] = [
    {"age": 20, "note": "short", "since": "2024-01-01", "color": "red", "paid": True},
    {"age": 60.5, "note": "x" * 700, "since": "2024-07-01T12:00:00Z"},
    {"age": 41},
]
BOUNDS = json.loads(json.dumps(bounds_of(SCHEMA, ROWS, [1.0, 5.0])))


@pytest.mark.parametrize(
    ("instance", "found"),
    [
        ({"age": 35}, []),
        ({"age": -20}, []),
        ({"age": 100}, []),
        ({"age": 111}, ["age"]),
        ({"age": -31, "note": "y" * 1401}, ["age", "note"]),
        ({"note": "y" * 1400}, []),
        ({"since": "2034-01-01"}, []),
        ({"since": "9999-12-31"}, ["since"]),
        ({"since": "0001-01-01T00:00:00Z"}, ["since"]),
        ({"age": None, "note": None, "since": None}, []),
        ({"color": "mauve", "paid": False, "unheard": 1e29}, []),
    ],
)
def test_what_lies_far_outside_of_the_base_data_is_named(
    instance: dict[str, Any], found: list[str]
) -> None:
    assert outside(BOUNDS, instance, 3.0) == found


@pytest.mark.parametrize(("value", "found"), [(9.0, []), (-3.0, []), (9.5, ["value"])])
def test_so_is_an_answer(value: float, found: list[str]) -> None:
    assert outside(BOUNDS, {}, value) == found


def test_a_class_has_no_bounds() -> None:
    assert outside(bounds_of(SCHEMA, ROWS, []), {"age": 30}, "oak") == []


@pytest.mark.parametrize(("age", "found"), [(10_000, []), (-10_000, []), (1e6, ["age"])])
def test_far_is_a_thousand_times_as_far(age: float, found: list[str]) -> None:
    assert outside(BOUNDS, {"age": age, "since": "9999-12-31"}, 3.0, far=True) == found


def test_a_feature_that_has_changed_its_kind_does_not_fit() -> None:
    assert outside(BOUNDS, {"age": "old"}, 3.0) == ["age"]


def test_trying_values_out_does_not_tell_the_largest_of_the_base_data() -> None:
    highs = {number_bound([0.0, largest])["high"] for largest in (90_100.0, 93_245.0, 94_999.0)}

    assert highs == {190_000.0}


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=9))
def test_the_base_data_lies_within_its_own_bounds(values: list[float]) -> None:
    """As far as a version can compute with it; and JSON can say the bounds."""
    bound = number_bound(values)

    assert math.isfinite(bound["low"])
    assert math.isfinite(bound["high"])
    assert bound["low"] <= bound["high"]
    usable = [value for value in values if abs(value) <= 1e30]
    assert all(bound["low"] <= value <= bound["high"] for value in usable)
