from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_app.learning.kinds import category_text, collapse_white_space, parse_moment
from models_app.learning.schema import Feature, InvalidInstances, Problem, Schema

SCHEMA = Schema(
    (
        Feature("alcohol", "number"),
        Feature("color", "category", required=False, categories=("1", "red", "true")),
        Feature("note", "text", required=False),
        Feature("organic", "boolean", required=False),
        Feature("bottled", "datetime", required=False),
    )
)
GOOD = {"alcohol": 13.2, "color": "red", "note": "dry", "organic": True, "bottled": "2024-05-31"}


def problems(*instances: object) -> list[Problem]:
    with pytest.raises(InvalidInstances) as caught:
        SCHEMA.check(instances)
    return caught.value.problems


def only_problem(**changes: Any) -> tuple[str, str]:
    (problem,) = problems({**GOOD, **changes})
    return problem.attr, problem.code


def column(name: str, *values: Any) -> list[Any]:
    rows = [{"alcohol": 1.0} | ({} if value is None else {name: value}) for value in values]
    return list(SCHEMA.columns(rows)[name])


def test_instances_of_every_kind_pass() -> None:
    SCHEMA.check([GOOD, {"alcohol": 13}, {"alcohol": -1e30, "color": None, "bottled": None}])


@pytest.mark.parametrize("name", ["color", "note"])
def test_a_text_has_ten_thousand_characters_at_most(name: str) -> None:
    SCHEMA.check([{**GOOD, name: "é" * 10_000}])

    assert only_problem(**{name: "x" * 10_001}) == (f"instances.0.{name}", "value_too_long")


@pytest.mark.parametrize("value", ["1", True, [1.0], {}])
def test_a_number_takes_nothing_but_numbers(value: object) -> None:
    assert only_problem(alcohol=value) == ("instances.0.alcohol", "invalid_type")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e31, -3e38, 1e300, 10**400])
def test_a_number_is_one_that_a_version_can_compute_with(value: float) -> None:
    assert only_problem(alcohol=value) == ("instances.0.alcohol", "not_finite")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("color", 1.5),
        ("color", 10**400),
        ("note", 3),
        ("organic", 1),
        ("organic", "true"),
        ("bottled", "31 May 2024"),
        ("bottled", 20240531),
        ("bottled", "9999-12-31T23:59:59-14:00"),
    ],
)
def test_each_kind_refuses_other_types(name: str, value: object) -> None:
    assert only_problem(**{name: value}) == (f"instances.0.{name}", "invalid_type")


def test_a_required_feature_may_be_neither_missing_nor_null() -> None:
    found = problems({}, {"alcohol": None})

    assert [(one.attr, one.code) for one in found] == [
        ("instances.0.alcohol", "required"),
        ("instances.1.alcohol", "null"),
    ]


def test_an_unknown_feature_is_refused_with_the_nearest_name() -> None:
    (problem,) = problems({"alcohol": 1.0, "colour": "red"})

    assert (problem.attr, problem.code) == ("instances.0.colour", "unknown_feature")
    assert "'color'" in problem.detail


@pytest.mark.parametrize("instance", [None, 3, "alcohol", [13.2]])
def test_an_instance_is_an_object(instance: object) -> None:
    assert problems(instance)[0].code == "invalid_instance"


def test_all_problems_are_collected_up_to_a_hundred() -> None:
    found = problems(*({"alcohol": "x", "color": 1.5} for _ in range(80)))

    assert len(found) == 100
    assert found[-1].attr == "instances.49.color"


def test_the_prefix_names_where_the_instances_stand() -> None:
    with pytest.raises(InvalidInstances, match=r"^features\.0\.alcohol: "):
        SCHEMA.check([{}], prefix="features")


def test_numbers_are_encoded_with_nan_for_what_is_missing() -> None:
    schema = Schema((Feature("a", "number"), Feature("b", "number", required=False)))

    columns = schema.columns([{"a": 1, "b": 2.5}, {"a": 2**70}, {"a": -3, "b": None}])

    assert columns["a"].dtype == columns["b"].dtype == np.float64
    np.testing.assert_array_equal(columns["a"], [1.0, float(2**70), -3.0])
    np.testing.assert_array_equal(columns["b"], [2.5, np.nan, np.nan])


def test_booleans_are_encoded_as_numbers() -> None:
    np.testing.assert_array_equal(column("organic", True, False, None), [1.0, 0.0, np.nan])


def test_categories_are_encoded_as_text() -> None:
    assert column("color", "red", 1, True, None) == ["red", "1", "true", ""]


def test_runs_of_white_space_in_text_become_one_space() -> None:
    assert column("note", "a \n\t b", "a\tb", "", None) == ["a b", "a\tb", "", ""]


def test_a_date_is_encoded_in_parts_of_utc() -> None:
    columns = SCHEMA.columns([{"alcohol": 1.0, "bottled": "2024-06-01T01:30:00+02:00"}])

    parts = ("year", "month", "day", "weekday", "hour")
    assert [columns[f"bottled__{part}"][0] for part in parts] == [2024, 5, 31, 4, 23]
    since = datetime(2024, 5, 31, 23, 30, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    assert columns["bottled__days"][0] == since.total_seconds() / 86_400


def test_a_time_without_a_zone_is_utc() -> None:
    assert parse_moment("2024-05-31T12:00") == parse_moment("2024-05-31T12:00:00Z")


def test_columns_come_in_the_order_of_their_names() -> None:
    assert tuple(SCHEMA.columns([GOOD])) == SCHEMA.column_names


def test_no_rows_give_empty_columns() -> None:
    assert {values.shape for values in SCHEMA.columns([]).values()} == {(0,)}


def test_only_categories_that_no_training_row_had_are_unseen() -> None:
    assert SCHEMA.unseen({"alcohol": 1.0, "color": "blue"}) == ["color"]
    for instance in ({"color": "red"}, {"color": 1}, {"color": None}, {}):
        assert SCHEMA.unseen(instance) == []


def test_a_schema_that_nothing_was_trained_with_warns_of_nothing() -> None:
    assert Schema((Feature("color", "category"),)).unseen({"color": "red"}) == []


def test_a_schema_comes_back_from_its_json() -> None:
    assert Schema.from_json(SCHEMA.to_json()) == SCHEMA


@pytest.mark.parametrize(
    "features",
    [
        [{"name": "a"}],
        [{"name": "a", "kind": "numbr", "required": True}],
        [{"name": "", "kind": "number", "required": True}],
        [{"name": "a", "kind": "number", "required": True}] * 2,
        ["a"],
    ],
)
def test_json_that_is_no_schema_is_refused(features: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"schema|kind|taken"):
        Schema.from_json(features)


def test_a_feature_may_not_take_the_name_of_a_part_of_a_date() -> None:
    with pytest.raises(ValueError, match="taken"):
        Schema((Feature("t", "datetime"), Feature("t__year", "number")))


@given(st.text())
def test_collapsing_white_space_twice_changes_nothing_more(text: str) -> None:
    once = collapse_white_space(text)

    assert collapse_white_space(once) == once


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from([*SCHEMA.names, "other"]), json_values))
def test_whatever_json_is_sent_is_either_refused_or_encoded(instance: dict[str, Any]) -> None:
    if next(SCHEMA.problems(instance, "instances.0"), None) is None:
        columns = SCHEMA.columns([instance])
        assert not any(np.isinf(values).any() for values in columns.values() if values.dtype != "O")
    else:
        assert problems(instance)


@given(st.booleans() | st.integers() | st.text())
def test_a_category_and_its_text_are_the_same_category(value: str | int | bool) -> None:
    assert category_text(category_text(value)) == category_text(value)
